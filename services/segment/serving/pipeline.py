"""Runs one model: picture to tensor, tensor to logits in batches, logits to a label map."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.errors import AssayError, InvalidArgument
from services.segment.batching.batcher import Batcher
from services.segment.batching.cost import SizedCost
from services.segment.batching.scheduler import Scheduler, Trace
from services.segment.batching.ticket import Admission, Limits
from services.segment.engines.engine import (
    CompilesSizes,
    Engine,
    Floats,
    Labels,
    OnDevice,
    Output,
    PreparesPictures,
)
from services.segment.images import outputs, upsample
from services.segment.images.decode import NOTICES, PILLOW_LIMIT
from services.segment.images.outputs import GivenSize, ModelSize, Outputs, Segmentation, Wanted
from services.segment.images.preprocess import Preprocessor
from services.segment.images.threshold import ground_shift, shifted
from services.segment.manifest import Manifest, Resampler
from services.segment.metrics import Depth, ModelMetrics
from services.segment.serving.engine_guard import EngineGuard
from services.segment.serving.fitting import FittingBatches
from services.segment.statistics import ModelStatistics, Spent
from services.segment.windows import strips
from services.segment.windows.options import Inference as How
from services.segment.windows.options import Settled, Size, settled
from services.segment.windows.run import InWindows

# Timed runs at the start, after one untimed run; they determine the first deadlines.
_WARM_RUNS = 2
# Sides in pixels of square maps made at the start, to learn the cost of making maps.
_WARM_SIDES = (64, 512, 2048)
_BLANK = Image.new("RGB", (1, 1))

R = TypeVar("R")
_Measured = tuple[Size, int]
_AS_THE_MODEL = How()


@dataclass(frozen=True)
class Inference:
    """Requested results for one picture: `labels` (height, width), `logits` (h, w, C) float32."""

    labels: Labels | None
    logits: NDArray[np.float32] | None


@dataclass(frozen=True)
class _Prepared:
    tensor: Floats | OnDevice
    map_size: tuple[int, int]
    units: int  # of work after the model, in pixels of a plain label map


@dataclass(frozen=True)
class _Work:
    """What a caller of `segment` requested of one picture."""

    decode: Callable[[], Image.Image]
    wanted: Wanted
    way: Settled
    shift: float
    max_bytes: int
    max_pixels: int


class Pipeline:
    """Serves one model. The pool is shared with other models and closed by its owner."""

    def __init__(
        self,
        manifest: Manifest,
        engine: Engine,
        limits: Limits,
        pool: Executor,
        metrics: ModelMetrics,
        *,
        give_up: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Serve the results of `engine`; `give_up` is called, in a thread, if it fails for good."""
        if manifest.preprocessing.pads:
            raise InvalidArgument(
                manifest.name, "its preprocessing pads pictures, which this release can't serve"
            )
        if engine.max_batch_size is not None:
            most = min(limits.max_batch_size, engine.max_batch_size)
            limits = replace(limits, max_batch_size=most)
        self._manifest = manifest
        self._engine = engine
        self._pool = pool
        # Separate from the engine's thread, for which everybody waits.
        self._compile_for = engine.compile_for if isinstance(engine, CompilesSizes) else None
        self._preprocessor = Preprocessor(manifest.preprocessing)
        self._on_device = engine.prepared if isinstance(engine, PreparesPictures) else None
        self._outputs = Outputs(manifest)
        self._batcher = Batcher(limits)
        self._finish_cost = SizedCost()
        self._scheduler: Scheduler[_Prepared, tuple[Output, _Prepared]] = Scheduler(
            self._batcher,
            self._run,
            pool,
            units=lambda item: item.units,
            finish_cost=self._finish_cost,
        )
        self._metrics = metrics
        self._guard = EngineGuard(manifest.name, self._run_blank, give_up)
        self._parts = FittingBatches(manifest.name, engine)
        self._in_windows = InWindows(
            manifest,
            self._window,
            pool,
            limits.max_bytes,
            typical=lambda part: self._batcher.cost.typical(1, part),
            at_once=2 * limits.max_batch_size,
        )

    @property
    def load(self) -> int:
        """Number of requests admitted and not answered yet."""
        return len(self._batcher)

    @property
    def depth(self) -> Depth:
        """What the queue holds now."""
        batcher = self._batcher
        return Depth(len(batcher), batcher.waiting, batcher.held_bytes)

    @property
    def backlog(self) -> float:
        """Engine seconds that waiting work will take."""
        return self._batcher.backlog

    def warm(self) -> None:
        """Compile the kernels and learn what batches cost. Call it before serving, in a thread."""
        outputs.warm()
        strips.warm()
        blank = self._blank()
        for size in sorted({1, self._batcher.limits.max_batch_size}):
            self._engine.run([blank] * size)
            for _ in range(_WARM_RUNS):
                start = time.monotonic()
                self._engine.run([blank] * size)
                self._batcher.cost.observe(size, time.monotonic() - start)
        (output,) = self._engine.run([blank])
        for side in _WARM_SIDES:
            wanted = Wanted(GivenSize(side, side))
            start = time.monotonic()
            self._outputs.make(wanted, output, (side, side), lambda: _BLANK, sys.maxsize)
            self._finish_cost.observe(side * side * wanted.work, time.monotonic() - start)

    async def segment(
        self,
        decode: Callable[[], Image.Image],
        wanted: Wanted,
        admission: Admission,
        *,
        max_bytes: int,
        how: How = _AS_THE_MODEL,
        max_pixels: int = PILLOW_LIMIT,
        admitted: asyncio.Event | None = None,
    ) -> tuple[Segmentation, Trace]:
        """Segment the picture that `decode` returns; `admission` has the size of its input.

        For an overlay, the picture is decoded again rather than held while it waits: a queue of
        pictures would take gigabytes. With `admitted` the call waits while the queue is full, as in
        `Scheduler.submit`; pictures in windows, or in their own proportions, always wait, and get
        at most `max_pixels` pixels. Raises what `decode` raises, what `Scheduler.submit` raises,
        InvalidArgument if the model cannot give the requested outputs, and TooLarge if the outputs
        are over `max_bytes`.
        """
        wanted.check(len(self._manifest.classes))
        way = settled(how, self._manifest)
        shift = ground_shift(self._manifest, wanted.threshold)
        notices: tuple[str, ...] = ()

        def noticed() -> Image.Image:
            nonlocal notices
            picture = decode()
            notices = picture.info.get(NOTICES, ())
            return picture

        work = _Work(noticed, wanted, way, shift, max_bytes, max_pixels)
        statistics, start = self._metrics.statistics, time.monotonic()
        try:
            if way.plain:
                result, trace = await self._in_one(work, admission, admitted)
            else:
                if admitted is not None:
                    admitted.set()  # the picture waits without a place in the queue
                result, trace = await self._by_windows(work, admission)
        except Exception:
            statistics.failed(time.monotonic() - start)
            raise
        spent = Spent(time.monotonic() - start, trace.prepare, trace.compute, trace.finish)
        statistics.answered(1, spent)
        return replace(result, notices=notices), trace

    async def _in_one(
        self, work: _Work, admission: Admission, admitted: asyncio.Event | None
    ) -> tuple[Segmentation, Trace]:
        """Segment a picture as one input of the model's own size."""
        wanted = work.wanted

        def measure(height: int, width: int) -> _Measured:
            size = self._size(work, height, width)
            return size, math.prod(size) * wanted.work

        def finish(output: Output, size: Size) -> Segmentation:
            output = shifted(output, work.shift)
            return self._outputs.make(wanted, output, size, work.decode, work.max_bytes)

        held = replace(admission, size=admission.size + self._preprocessor.nbytes)
        return await self._answer(
            work.decode, measure, finish, held, admitted, resampler=work.way.resampler
        )

    async def _by_windows(self, work: _Work, admission: Admission) -> tuple[Segmentation, Trace]:
        """Segment a picture in windows, or whole in its own proportions."""
        wanted = work.wanted
        if isinstance(wanted.size, ModelSize):
            raise InvalidArgument("output_size", "the logits have several sizes: give a size")
        try:
            mapped, trace = await self._in_windows.label(
                work.way,
                work.decode,
                lambda height, width: self._size(work, height, width),
                admission,
                top=wanted.top,
                shift=work.shift,
                max_pixels=work.max_pixels,
            )
        except AssayError as error:
            self._metrics.failed(error)
            raise
        result = await asyncio.get_running_loop().run_in_executor(
            self._pool,
            lambda: self._outputs.encode(
                wanted, mapped.labels, mapped.top, work.decode, work.max_bytes
            ),
        )
        return result, trace

    def _size(self, work: _Work, height: int, width: int) -> Size:
        """Return the size of a picture's map. Raises TooLarge."""
        size = self._outputs.size(work.wanted, height, width)
        self._outputs.require_fits(work.wanted, size, work.max_bytes)
        return size

    async def _window(
        self,
        tensor: Callable[[], NDArray[np.float32]],
        admission: Admission,
        admitted: asyncio.Event,
    ) -> tuple[NDArray[np.float32], Trace]:
        inferred, trace = await self.infer(
            tensor, admission, labels=False, logits=True, admitted=admitted
        )
        assert inferred.logits is not None  # noqa: S101  (they were asked for)
        return inferred.logits, trace

    async def infer(
        self,
        source: Callable[[], Image.Image | NDArray[np.float32]],
        admission: Admission,
        *,
        labels: bool,
        logits: bool,
        admitted: asyncio.Event | None = None,
    ) -> tuple[Inference, Trace]:
        """Compute a picture, or a prepared (3, H, W), that `source` returns.

        `admission` has the size of the input, the tensor and the answer. The labels have the
        picture's own size, or H and W. Pictures of another size than the manifest's need their own
        bucket. With `admitted` the call waits while the queue is full, as in `Scheduler.submit`.
        Raises what `source` and `Scheduler.submit` raise.
        """

        def measure(height: int, width: int) -> _Measured:
            if labels:
                return (height, width), height * width
            # Nothing remains to do except to pass the logits on.
            return (height, width), math.prod(self._manifest.graph.logits_size(height, width))

        def finish(output: Output, size: tuple[int, int]) -> Inference:
            found = None
            if labels:
                found = upsample.label_map(output, *size)
            return Inference(found, output.logits if logits else None)

        return await self._answer(source, measure, finish, admission, admitted)

    @property
    def statistics(self) -> ModelStatistics:
        """What the model has computed."""
        return self._metrics.statistics

    async def _answer(
        self,
        source: Callable[[], Image.Image | NDArray[np.float32]],
        measure: Callable[[int, int], _Measured],
        finish: Callable[[Output, tuple[int, int]], R],
        admission: Admission,
        admitted: asyncio.Event | None,
        *,
        resampler: Resampler | None = None,
    ) -> tuple[R, Trace]:
        """Prepare, compute and finish one item.

        `measure` returns the size of the map for an input of that height and width, and the units
        of work that making it takes; `finish` makes the answer.
        """

        def prepare() -> _Prepared:
            given = source()
            if isinstance(given, Image.Image):
                size, units = measure(given.height, given.width)
                made = None if self._on_device is None else self._on_device(given, resampler)
                if made is None:
                    return _Prepared(self._preprocessor(given, resampler), size, units)
                return _Prepared(made, size, units)
            if self._compile_for is not None:
                self._compile_for(given.shape)
            return _Prepared(given, *measure(*given.shape[1:]))

        try:
            return await self._scheduler.submit(
                prepare,
                lambda computed: finish(computed[0], computed[1].map_size),
                admission,
                admitted=admitted,
            )
        except AssayError as error:
            self._metrics.failed(error)
            raise

    async def close(self) -> None:
        """Wait for the running batch and free the graph. No request may be open."""
        await self._scheduler.close()
        # Free the graph now, rather than when reference cycles are collected.
        del self._engine, self._parts, self._compile_for, self._on_device

    def _run(self, items: list[_Prepared]) -> list[tuple[Output, _Prepared]]:
        self._guard.require_usable()
        start = time.monotonic()
        try:
            outputs = self._parts.run([item.tensor for item in items])
        except AssayError:
            raise  # the request is at fault
        except Exception as error:
            # Engines' exceptions share no base class. A batch is computed again item by item.
            if len(items) == 1:
                self._guard.failed(error)
            raise
        self._guard.succeeded()
        seconds = time.monotonic() - start
        self._metrics.computed(len(items), seconds)
        # As in a full batch: a replica with less work is not slower because its batches are
        # smaller.
        each = self._batcher.seconds_each
        self._metrics.worked(len(items), len(items) * each if each else seconds)
        return list(zip(outputs, items, strict=True))

    def _run_blank(self) -> None:
        self._engine.run([self._blank()])

    def _blank(self) -> NDArray[np.float32]:
        """Return the tensor of a black picture."""
        how = self._manifest.preprocessing
        return self._preprocessor(Image.new("RGB", (how.width, how.height)))
