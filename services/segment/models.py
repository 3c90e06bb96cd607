"""The models of a running server: registered in a repository, each loaded into a pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from services.segment.engine import OnnxEngine
from services.segment.manifest import verify_files
from services.segment.metrics import QueueMetrics
from services.segment.pipeline import Pipeline
from services.segment.repository import RegisteredModel, Repository, discover
from services.segment.settings import SegmentSettings

_log = structlog.get_logger(__name__)


class Models:
    """Loads what the settings name, and finds what a request means."""

    def __init__(self, settings: SegmentSettings) -> None:
        self._settings = settings
        self._pipelines: dict[tuple[str, str], Pipeline] = {}
        self._pool = ThreadPoolExecutor(settings.pool_threads, thread_name_prefix="picture")
        self.repository = Repository(())
        self.metrics = QueueMetrics()

    async def load(self) -> None:
        """Read, check and warm every model; those whose licence isn't accepted are only listed.

        Raises InvalidArgument naming the directory or file and what is wrong with it.
        """
        settings = self._settings
        self.repository = await asyncio.to_thread(
            discover, settings.models, settings.accepted_licenses
        )
        for model in self.repository:
            if model.accepted:
                self._pipelines[model.key] = await asyncio.to_thread(self._open, model)
            else:
                _log.warning(
                    "listed but not served: its licence is not accepted",
                    model=model.manifest.name,
                    license=model.manifest.license.id,
                    setting=settings.variable("accepted_licenses"),
                )

    @contextmanager
    def lease(self, model: RegisteredModel) -> Iterator[Pipeline]:
        """Yield the pipeline of a model, which stays open meanwhile. Raises LicenseNotAccepted."""
        model.require_accepted()
        yield self._pipelines[model.key]

    async def close(self) -> None:
        """End every thread. No request may be open."""
        for pipeline in self._pipelines.values():
            await pipeline.close()
        self._pipelines.clear()
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def _open(self, model: RegisteredModel) -> Pipeline:
        settings = self._settings
        verify_files(model.directory, model.manifest)
        engine = OnnxEngine(
            model.directory,
            model.manifest,
            device=settings.device,
            threads=settings.cpu_threads,
        )
        metrics = self.metrics.of(*model.key)
        pipeline = Pipeline(model.manifest, engine, settings.limits, self._pool, metrics)
        pipeline.warm()
        _log.info(
            "model loaded",
            model=model.manifest.name,
            version=model.manifest.version,
            digest=model.digest,
            engine=engine.name,
        )
        return pipeline
