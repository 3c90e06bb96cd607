"""One model at work: picture to tensor, tensor to logits in batches, logits to a label map."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.errors import AssayError, InvalidArgument, TooLarge
from services.segment import labelmap, upsample
from services.segment.batcher import Batcher, Limits, Priority
from services.segment.cost import SizedCost
from services.segment.engine import OnnxEngine, Output
from services.segment.labelmap import Encoding, Share
from services.segment.manifest import Manifest
from services.segment.metrics import Depth, ModelMetrics
from services.segment.preprocess import Preprocessor
from services.segment.scheduler import Scheduler, Trace

# Timed runs at start, after one that is not: what the first deadlines are judged by.
_WARM_RUNS = 2
# Sides in pixels of the square maps that are made at start, to learn what making them costs.
_WARM_SIDES = (64, 512, 2048)


@dataclass(frozen=True)
class Segmentation:
    """An encoded label map of (height, width) elements of `item_bytes` bytes, and its classes."""

    height: int
    width: int
    item_bytes: int
    encoding: Encoding
    data: bytes
    shares: list[Share]


@dataclass(frozen=True)
class Inference:
    """What was asked for of one picture: `labels` (height, width), `logits` (h, w, C) float32."""

    labels: upsample.Labels | None
    logits: NDArray[np.float32] | None


@dataclass(frozen=True)
class _Prepared:
    tensor: NDArray[np.float32]
    height: int
    width: int
    map_pixels: int


class Pipeline:
    """Serves one model. The pool is shared with other models and closed by its owner."""

    def __init__(
        self,
        manifest: Manifest,
        engine: OnnxEngine,
        limits: Limits,
        pool: Executor,
        metrics: ModelMetrics,
    ) -> None:
        if manifest.preprocessing.pads:
            raise InvalidArgument(
                manifest.name, "its preprocessing pads pictures, which this release can't serve"
            )
        if engine.max_batch is not None:
            limits = replace(limits, max_batch=min(limits.max_batch, engine.max_batch))
        self._manifest = manifest
        self._engine = engine
        self._preprocessor = Preprocessor(manifest.preprocessing)
        self._label_bytes = np.dtype(manifest.graph.labels_type).itemsize
        how, step = manifest.preprocessing, manifest.graph.downsampling
        self._model_size = (-(-how.height // step), -(-how.width // step))
        self._batcher = Batcher(limits)
        self._finish_cost = SizedCost()
        self._scheduler: Scheduler[_Prepared, tuple[Output, _Prepared]] = Scheduler(
            self._batcher,
            self._run,
            pool,
            units=lambda item: item.map_pixels,
            finish_cost=self._finish_cost,
        )
        self._metrics = metrics
        batcher = self._batcher
        metrics.watch(lambda: Depth(len(batcher), batcher.waiting, batcher.held_bytes))

    def warm(self) -> None:
        """Compile the kernels and learn what batches cost. Call it before serving, in a thread."""
        upsample.warm()
        labelmap.warm()
        how = self._manifest.preprocessing
        blank = self._preprocessor(Image.new("RGB", (how.width, how.height)))
        for size in sorted({1, self._batcher.limits.max_batch}):
            self._engine.run([blank] * size)
            for _ in range(_WARM_RUNS):
                start = time.monotonic()
                self._engine.run([blank] * size)
                self._batcher.cost.observe(size, time.monotonic() - start)
        (output,) = self._engine.run([blank])
        for side in _WARM_SIDES:
            start = time.monotonic()
            labels = upsample.upsample_argmax(output.logits, output.labels, side, side)
            self._encoded(labels, Encoding.ZSTD, sys.maxsize)
            self._finish_cost.observe(side * side, time.monotonic() - start)

    async def segment(
        self,
        decode: Callable[[], Image.Image],
        *,
        nbytes: int,
        original_size: bool,
        encoding: Encoding,
        max_bytes: int,
        timeout: float | None,  # noqa: ASYNC109  # it decides admission, it is no cancellation
        priority: Priority = Priority.NORMAL,
        client: str = "",
    ) -> tuple[Segmentation, Trace]:
        """Segment the picture that `decode` returns from `nbytes` of input.

        The map has the picture's own size, or else that of the model's logits. Raises what
        `decode` raises, what `Scheduler.submit` raises, and TooLarge if the encoded map is over
        `max_bytes`.
        """

        def prepare() -> _Prepared:
            picture = decode()
            height, width = picture.height, picture.width
            map_size = (height, width) if original_size else self._model_size
            map_pixels = math.prod(map_size)
            if encoding is Encoding.RAW:
                _require_fits(map_size, map_pixels * self._label_bytes, encoding, max_bytes)
            return _Prepared(self._preprocessor(picture), height, width, map_pixels)

        def finish(computed: tuple[Output, _Prepared]) -> Segmentation:
            output, prepared = computed
            labels = output.labels
            if original_size:
                labels = upsample.upsample_argmax(
                    output.logits, labels, prepared.height, prepared.width
                )
            return self._encoded(labels, encoding, max_bytes)

        size = nbytes + self._preprocessor.nbytes
        try:
            return await self._scheduler.submit(
                prepare, finish, size=size, timeout=timeout, priority=priority, client=client
            )
        except AssayError as error:
            self._metrics.failed(error)
            raise

    async def infer(
        self,
        source: Callable[[], Image.Image | NDArray[np.float32]],
        *,
        nbytes: int,
        labels: bool,
        logits: bool,
        timeout: float | None,  # noqa: ASYNC109  # it decides admission, it is no cancellation
        bucket: Hashable = None,
        priority: Priority = Priority.NORMAL,
        client: str = "",
    ) -> Inference:
        """Compute a picture, or a prepared (3, H, W), that `source` returns from `nbytes` of input.

        The labels have the picture's own size, or H and W. Those of another size than the
        manifest's need a `bucket` of their own. Raises what `source` and `Scheduler.submit` raise.
        """

        def prepare() -> _Prepared:
            given = source()
            if isinstance(given, Image.Image):
                height, width = given.height, given.width
                tensor = self._preprocessor(given)
            else:
                height, width = given.shape[1:]
                tensor = given
            map_size = (height, width) if labels else self._model_size
            return _Prepared(tensor, height, width, math.prod(map_size))

        def finish(computed: tuple[Output, _Prepared]) -> Inference:
            output, prepared = computed
            found = None
            if labels:
                found = upsample.upsample_argmax(
                    output.logits, output.labels, prepared.height, prepared.width
                )
            return Inference(found, output.logits if logits else None)

        try:
            result, _ = await self._scheduler.submit(
                prepare,
                finish,
                size=nbytes,
                timeout=timeout,
                bucket=bucket,
                priority=priority,
                client=client,
            )
        except AssayError as error:
            self._metrics.failed(error)
            raise
        return result

    async def close(self) -> None:
        """Wait for the running batch. No request may be open."""
        await self._scheduler.close()

    def _run(self, items: list[_Prepared]) -> list[tuple[Output, _Prepared]]:
        self._metrics.computed(len(items))
        outputs = self._engine.run([item.tensor for item in items])
        return list(zip(outputs, items, strict=True))

    def _encoded(self, labels: upsample.Labels, encoding: Encoding, max_bytes: int) -> Segmentation:
        data = labelmap.encode(labels, encoding)
        height, width = labels.shape
        _require_fits(labels.shape, len(data), encoding, max_bytes)
        shares = labelmap.shares(labels, len(self._manifest.classes))
        return Segmentation(height, width, labels.dtype.itemsize, encoding, data, shares)


def _require_fits(shape: tuple[int, int], nbytes: int, encoding: Encoding, max_bytes: int) -> None:
    """Raise TooLarge if a label map of (height, width) takes more bytes than a reply holds."""
    if nbytes > max_bytes:
        height, width = shape
        raise TooLarge(
            f"the {height} x {width} label map takes {nbytes} bytes as {encoding.value}, "
            f"and a reply holds {max_bytes}: ask for another encoding or send a smaller image"
        )
