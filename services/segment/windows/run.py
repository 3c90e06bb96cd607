"""Runs one picture through its windows: each is an item of the queue, with logits in strips."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.errors import DeadlineExceeded, InvalidArgument
from services.segment.batching.scheduler import Trace
from services.segment.batching.ticket import Admission
from services.segment.engines.engine import Labels
from services.segment.images.preprocess import Preprocessor
from services.segment.images.resize import Pixels, resize
from services.segment.images.top_classes import TopClasses
from services.segment.manifest import Manifest
from services.segment.windows.options import Plan, Settled, Size
from services.segment.windows.room import Room
from services.segment.windows.strips import Band, Strip, bands, least_bytes

# One picture gets this fraction (1/n) of the room, so this many are in work at once.
_SHARE = 4
R = TypeVar("R")
_Logits = NDArray[np.float32]


class Compute(Protocol):
    """Computes inputs of the model in its queue."""

    def __call__(
        self,
        tensor: Callable[[], NDArray[np.float32]],
        admission: Admission,
        admitted: asyncio.Event,
    ) -> Coroutine[Any, Any, tuple[_Logits, Trace]]:
        """Return the logits (h, w, C) for the (3, H, W) that `tensor` returns."""


@dataclass(frozen=True)
class Mapped:
    """The label map of a picture, and its best classes if requested."""

    labels: Labels
    top: TopClasses | None


@dataclass
class _Spent:
    """Time that the windows took so far."""

    prepare: float = 0.0
    compute: float = 0.0
    finish: float = 0.0
    batch_size: int = 1
    _started: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    def add(self, trace: Trace) -> None:
        self.prepare += trace.prepare
        self.compute += trace.compute
        self.finish += trace.finish
        self.batch_size = max(self.batch_size, trace.batch_size)

    def trace(self) -> Trace:
        now = asyncio.get_running_loop().time()
        working = self.prepare + self.compute + self.finish
        queue = max(0.0, now - self._started - working)
        return Trace(self.prepare, queue, self.compute, self.finish, self.batch_size)


class InWindows:
    """Labels pictures of one model in windows, or whole in their own proportions.

    The pictures in work hold at most `nbytes` bytes of logits in addition to their pixels.
    """

    def __init__(
        self,
        manifest: Manifest,
        compute: Compute,
        pool: Executor,
        nbytes: int,
        *,
        typical: Callable[[Size | None], float],
        at_once: int,
    ) -> None:
        """`typical` is the expected seconds of one input; `at_once` inputs are in work."""
        self._manifest = manifest
        self._compute = compute
        self._pool = pool
        self._preprocessor = Preprocessor(manifest.preprocessing)
        self._room = Room(nbytes)
        self._typical = typical
        self._at_once = at_once

    async def label(
        self,
        how: Settled,
        decode: Callable[[], Image.Image],
        size: Callable[[int, int], Size],
        admission: Admission,
        *,
        top: int = 0,
        shift: float = 0.0,
        max_pixels: int,
    ) -> tuple[Mapped, Trace]:
        """Label the picture that `decode` returns; `size` returns the size of its map.

        `shift` is added to the logits of the first class. Raises what `decode` and `size` raise,
        InvalidArgument if the picture cannot be computed this way, DeadlineExceeded if there is no
        time, and what a window's item raises.
        """
        need = least_bytes(how, self._logits(how.largest), len(self._manifest.classes))
        if need > self._room.nbytes:
            raise InvalidArgument(
                "inference.windows",
                f"windows with this overlap hold {need} bytes of logits at once, of at most "
                f"{self._room.nbytes}: give a larger stride or smaller windows",
            )
        budget = max(need, self._room.nbytes // _SHARE)
        async with self._room.hold(budget, admission.deadline):
            spent = _Spent()

            def prepare() -> tuple[Pixels, Plan, Size]:
                picture = decode()
                plan = how.plan(picture.height, picture.width, max_pixels)
                return self._resized(picture, how, plan), plan, size(picture.height, picture.width)

            (pixels, plan, wanted), spent.prepare = await self._timed(prepare)
            self._require_time(plan, how, admission)
            made: list[Strip] = []
            for band in self._bands(plan, how, budget):
                strip = Strip(
                    *(plan, band, wanted, len(self._manifest.classes)),
                    self._manifest.graph.labels_type,
                    top=top,
                )
                await self._fill(strip, band, pixels, plan, admission, shift, spent)
                made.append(strip)
            mapped, seconds = await self._timed(lambda: _joined(made))
            spent.finish += seconds
            return mapped, spent.trace()

    async def _fill(  # noqa: PLR0917
        self,
        strip: Strip,
        band: Band,
        pixels: Pixels,
        plan: Plan,
        admission: Admission,
        shift: float,
        spent: _Spent,
    ) -> None:
        """Compute the windows of a band, a few at a time, and make its labels row by row."""
        places = [(row, column) for row in range(len(plan.rows)) for column in band.windows]
        upcoming = iter(places)
        running: deque[tuple[tuple[int, int], asyncio.Task[tuple[_Logits, Trace]]]] = deque()
        try:
            while True:
                for place in upcoming:
                    work = self._window(pixels, plan, place, admission)
                    running.append((place, asyncio.create_task(work)))
                    if len(running) >= self._at_once:
                        break
                if not running:
                    return
                (row, column), task = running.popleft()
                logits, trace = await task
                spent.add(trace)
                if shift:
                    logits = logits.copy()
                    logits[..., 0] += np.float32(shift)
                strip.put(row, column, logits)
                more = column == band.windows[-1]
                while more:
                    more, seconds = await self._timed(partial(strip.advance, row))
                    spent.finish += seconds
        finally:
            for _, task in running:
                task.cancel()
            await asyncio.gather(*(task for _, task in running), return_exceptions=True)

    def _window(
        self, pixels: Pixels, plan: Plan, place: tuple[int, int], admission: Admission
    ) -> Coroutine[Any, Any, tuple[_Logits, Trace]]:
        (top, bottom), (left, right) = plan.rows[place[0]], plan.columns[place[1]]
        part = bottom - top, right - left
        held = 4 * (
            3 * math.prod(part) + math.prod(self._logits(part)) * len(self._manifest.classes)
        )
        own = replace(admission, size=held, bucket=self._bucket(part))
        return self._compute(
            lambda: self._preprocessor.tensor(pixels[top:bottom, left:right]), own, asyncio.Event()
        )

    def _resized(self, picture: Image.Image, how: Settled, plan: Plan) -> Pixels:
        resample = self._manifest.preprocessing.resample
        for height, width in plan.sizes[:-1]:
            picture = Image.fromarray(resize(picture, height, width, resample, how.resampler))
        return resize(picture, *plan.size, resample, how.resampler)

    def _bands(self, plan: Plan, how: Settled, budget: int) -> Iterator[Band]:
        logits = self._logits(how.window or plan.size)
        return bands(plan, how, logits, len(self._manifest.classes), budget)

    def _require_time(self, plan: Plan, how: Settled, admission: Admission) -> None:
        """Raise DeadlineExceeded if even an idle engine would be too slow for the windows."""
        left = admission.deadline - asyncio.get_running_loop().time()
        count = len(plan.rows) * len(plan.columns)
        seconds = count * self._typical(self._bucket(how.window or plan.size))
        if seconds > left:
            raise DeadlineExceeded(
                f"{count} inputs of the model take about {seconds:.3g} s and the deadline leaves "
                f"{left:.3g} s: allow more time, or give a larger stride or shorter edges"
            )

    def _bucket(self, part: Size) -> Size | None:
        """Return the batching bucket of an input's size; None is that of the model's own size."""
        how = self._manifest.preprocessing
        return None if part == (how.height, how.width) else part

    def _logits(self, part: Size) -> Size:
        return self._manifest.graph.logits_size(*part)

    async def _timed(self, work: Callable[[], R]) -> tuple[R, float]:
        """Do work in the pool; also return its seconds."""
        loop = asyncio.get_running_loop()

        def timed() -> tuple[R, float]:
            start = loop.time()
            value = work()
            return value, loop.time() - start

        return await loop.run_in_executor(self._pool, timed)


def _joined(strips: list[Strip]) -> Mapped:
    """Join bands side by side."""
    if len(strips) == 1:
        return Mapped(strips[0].labels, strips[0].top)
    labels: Labels = np.concatenate([strip.labels for strip in strips], axis=1)
    planes = [strip.top for strip in strips if strip.top is not None]
    if not planes:
        return Mapped(labels, None)
    top = TopClasses(
        np.concatenate([one.classes for one in planes], axis=2),
        np.concatenate([one.probabilities for one in planes], axis=2),
    )
    return Mapped(labels, top)
