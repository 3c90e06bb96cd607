"""The models of a running server: registered in a repository, each loaded into a pipeline."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog

from services.segment.manifest import verify_files
from services.segment.metrics import Depth, QueueMetrics
from services.segment.pipeline import Pipeline
from services.segment.repository import RegisteredModel, Repository, discover
from services.segment.settings import SegmentSettings

_log = structlog.get_logger(__name__)


class Models:
    """Loads what the settings name, and finds what a request means."""

    def __init__(self, settings: SegmentSettings) -> None:
        self._settings = settings
        self.choice = settings.choice
        self._pipelines: dict[tuple[str, str], tuple[Pipeline, ...]] = {}
        self._pool = ThreadPoolExecutor(settings.pool_threads, thread_name_prefix="picture")
        self.repository = Repository(())
        self.metrics = QueueMetrics()

    async def load(self) -> None:
        """Read, check and warm every model; those whose licence isn't accepted are only listed.

        Raises InvalidArgument naming the directory or file and what is wrong with it, or what is
        missing that the settings ask for; PreconditionFailed for a model that was not measured to
        be exact enough in the number type that they ask for.
        """
        settings = self._settings
        await asyncio.to_thread(self.choice.require_available)
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

    def pipeline(self, model: RegisteredModel) -> Pipeline:
        """Return the pipeline of a model with the least to do. Raises LicenseNotAccepted."""
        model.require_accepted()
        return min(self._pipelines[model.key], key=lambda pipeline: pipeline.load)

    async def close(self) -> None:
        """End every thread. No request may be open."""
        for pipelines in self._pipelines.values():
            for pipeline in pipelines:
                await pipeline.close()
        self._pipelines.clear()
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    def _open(self, model: RegisteredModel) -> tuple[Pipeline, ...]:
        """Return a pipeline for each place that models run at."""
        settings = self._settings
        verify_files(model.directory, model.manifest)
        metrics = self.metrics.of(*model.key)
        pipelines = []
        for place in settings.places:
            engine = self.choice.open(
                model.directory,
                model.manifest,
                threads=settings.cpu_threads,
                gpu=place,
                max_batch=settings.max_batch,
            )
            pipeline = Pipeline(model.manifest, engine, settings.limits, self._pool, metrics)
            pipeline.warm()
            pipelines.append(pipeline)
        metrics.watch(lambda: sum((one.depth for one in pipelines), Depth()))
        _log.info(
            "model loaded",
            model=model.manifest.name,
            version=model.manifest.version,
            digest=model.digest,
            engine=self.choice.engine,
            precision=self.choice.precision,
        )
        return tuple(pipelines)
