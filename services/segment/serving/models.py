"""Models of a running server: each loaded into a pipeline, and which of them take requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import structlog

from services.errors import Unavailable
from services.segment.engines.recheck import rechecked
from services.segment.manifest import ModelParity, verify_files
from services.segment.metrics import Depth, QueueMetrics
from services.segment.serving.pipeline import Pipeline
from services.segment.serving.repository import Identity, RegisteredModel, Repository
from services.segment.settings import SegmentSettings
from services.segment.statistics import ModelStatistics

_log = structlog.get_logger(__name__)


class Loaded:
    """A model's pipelines, one for each device that it runs on, and how many callers use them.

    `measured_here` is its exactness on this processor, if that had to be measured.
    """

    def __init__(
        self,
        model: RegisteredModel,
        pipelines: tuple[Pipeline, ...],
        measured_here: ModelParity | None,
    ) -> None:
        self.model = model
        self.measured_here = measured_here
        self._pipelines = pipelines
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline with the least work."""
        return min(self._pipelines, key=lambda pipeline: pipeline.load)

    @property
    def statistics(self) -> ModelStatistics:
        """What the model has computed."""
        return self._pipelines[0].statistics

    @property
    def depth(self) -> Depth:
        """What the queues hold now."""
        return sum((pipeline.depth for pipeline in self._pipelines), Depth())

    @property
    def backlog(self) -> float:
        """Engine seconds that waiting work will take."""
        return sum(pipeline.backlog for pipeline in self._pipelines)

    @contextmanager
    def use(self) -> Iterator[Loaded]:
        """Keep the pipelines open during the block."""
        self._users += 1
        self._unused.clear()
        try:
            yield self
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def close(self) -> None:
        """Wait until nobody uses the pipelines, and close them. New uses must not start."""
        await self._unused.wait()
        for pipeline in self._pipelines:
            await pipeline.close()


@dataclass(frozen=True)
class _Table:
    """What requests can find, replaced as a whole: the models, and those that are loaded."""

    repository: Repository = field(default_factory=lambda: Repository(()))
    loaded: Mapping[Identity, Loaded] = field(default_factory=dict)


class Models:
    """Opens models, resolves requests to models, and closes models that no request uses."""

    def __init__(
        self, settings: SegmentSettings, give_up: Callable[[str], None] = lambda _: None
    ) -> None:
        """`give_up` is called with the reason, in the event loop, if an engine fails for good."""
        self._settings = settings
        self._give_up = give_up
        self.choice = settings.choice
        self._table = _Table()
        self._opened: dict[Identity, Loaded] = {}
        self._draining: dict[asyncio.Task[None], Identity] = {}
        self._pool = ThreadPoolExecutor(settings.pool_threads, thread_name_prefix="picture")
        self.metrics = QueueMetrics(len(settings.devices))

    @property
    def repository(self) -> Repository:
        """The models that requests find, and those that are not served because of their licence."""
        return self._table.repository

    @property
    def loaded(self) -> Mapping[Identity, RegisteredModel]:
        """Every model that is loaded and not retired."""
        return {identity: loaded.model for identity, loaded in self._opened.items()}

    @property
    def serving(self) -> frozenset[Identity]:
        """Models that requests find."""
        return frozenset(self._table.loaded)

    @property
    def draining(self) -> frozenset[Identity]:
        """Models that take no more requests but finish those they have."""
        return frozenset(self._draining.values())

    @property
    def load(self) -> tuple[float, float]:
        """Recent pictures a second, and utilization of all engines: see `recent_work`."""
        waiting = sum(loaded.backlog for loaded in self._table.loaded.values())
        return self.metrics.recent.load(waiting)

    def measured_here(self, model: RegisteredModel) -> ModelParity | None:
        """Return a served model's exactness on this processor, if it had to be measured."""
        loaded = self._table.loaded.get(model.identity)
        return loaded.measured_here if loaded else None

    @contextmanager
    def lease(self, model: RegisteredModel) -> Iterator[Loaded]:
        """Yield the running model for a model of `repository`; it stays open until the block ends.

        Raises LicenseNotAccepted, or Unavailable if the model was replaced since it was found.
        """
        model.require_accepted()
        loaded = self._table.loaded.get(model.identity)
        if loaded is None:
            raise Unavailable(f"the model {model.manifest.name!r} was replaced; try again")
        with loaded.use():
            yield loaded

    async def open(self, model: RegisteredModel) -> None:
        """Check, open and warm a model, in a thread; requests do not find it yet.

        Raises InvalidArgument, naming the file and what is wrong with it; PreconditionFailed if the
        model was not measured to be exact enough in the settings' number type, or is not on this
        processor; or any other error that keeps it from working.
        """
        loop = asyncio.get_running_loop()

        def give_up(reason: str) -> None:
            loop.call_soon_threadsafe(self._give_up, reason)

        self._opened[model.identity] = await asyncio.to_thread(self._open, model, give_up)

    def publish(self, listed: Collection[RegisteredModel], serving: Collection[Identity]) -> None:
        """Let requests find `serving`, which are loaded, and `listed`, which may not be served.

        Every other loaded model is retired: it finishes its requests and is closed.
        """
        loaded = {identity: self._opened[identity] for identity in serving}
        models = [item.model for item in loaded.values()]
        keys = {model.key for model in models}
        shown = [model for model in listed if not model.accepted and model.key not in keys]
        old, self._table = self._table, _Table(Repository([*models, *shown]), loaded)
        for identity in loaded.keys() - old.loaded.keys():
            watched = loaded[identity]
            self.metrics.of(*watched.model.key).watch(partial(_depth, watched))
        for identity in self._opened.keys() - loaded.keys():
            task = asyncio.create_task(self._retire(self._opened.pop(identity)))
            self._draining[task] = identity
            task.add_done_callback(self._draining.pop)

    async def close(self) -> None:
        """Close every model and end every thread. No request may be open."""
        self.publish((), ())
        await asyncio.gather(*self._draining)
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)

    async def _retire(self, loaded: Loaded) -> None:
        await loaded.close()
        key = loaded.model.key
        if all(other.model.key != key for other in self._table.loaded.values()):
            self.metrics.forget(*key)
        _log.info("model closed", **_names(loaded.model))

    def _open(self, model: RegisteredModel, give_up: Callable[[str], object]) -> Loaded:
        """Return a model with a pipeline for each device that models run on."""
        settings = self._settings
        verify_files(model.directory, model.manifest)
        choice = self.choice.of(model.manifest)
        choice.require_available()
        choice.require_trusted(model.manifest)
        measured_here = rechecked(
            choice, model.directory, model.manifest, threads=settings.cpu_threads
        )
        metrics = self.metrics.of(*model.key)
        pipelines = []
        for device in settings.devices:
            engine = choice.open(
                model.directory,
                model.manifest,
                threads=settings.cpu_threads,
                gpu=settings.on_gpu(device),
                max_batch_size=settings.batch_size,
            )
            pipeline = Pipeline(
                model.manifest, engine, settings.limits, self._pool, metrics, give_up=give_up
            )
            pipeline.warm()
            pipelines.append(pipeline)
        _log.info(
            "model loaded",
            engine=choice.engine,
            precision=choice.precision,
            **_names(model),
        )
        return Loaded(model, tuple(pipelines), measured_here)


def _names(model: RegisteredModel) -> dict[str, str]:
    name, version, digest = model.identity
    return {"model": name, "version": version, "digest": digest}


def _depth(loaded: Loaded) -> Depth:
    return loaded.depth
