"""EvaluateSegmentation: compares pairs as they come, a few at a time, and adds up counts.

A pair waits while the queue is full, behind other requests. An evaluation is limited by its call's
deadline, and by how long a client may send nothing, since the evaluation holds its model meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from assay_rpc.segment.v1 import images_pb2, segment_pb2
from PIL import Image

from services.errors import DeadlineExceeded, InvalidArgument
from services.rpc.call import caller, encoded_size, require_fits
from services.segment.api import segment_replies, segment_requests
from services.segment.api.inference_requests import inference
from services.segment.batching.ticket import Admission, Priority
from services.segment.images import mask_files
from services.segment.images.accuracy import (
    Figures,
    Mask,
    MaskMeaning,
    Tally,
    count,
    empty_tally,
    figures,
)
from services.segment.images.label_map import Encoding
from services.segment.images.outputs import OriginalSize, Wanted
from services.segment.serving.models import Loaded, Models
from services.segment.serving.repository import RegisteredModel
from services.segment.windows.options import Inference

Context = grpc.aio.ServicerContext[Any, Any]
# Seconds to wait for the next message: enough for 64 MiB at 2 Mbit/s. Without a limit, a client
# that sends nothing would keep its model loaded forever.
_MAX_SILENCE_SECONDS = 300.0
_PROGRESS_SECONDS = 1.0
# Most bytes that an element of the confusion matrix takes in a reply.
_ELEMENT_BYTES = 10
_MAX_IGNORE = 65_535
_ZERO_IS_NONE = {
    segment_pb2.MASK_VALUES_UNSPECIFIED: False,
    segment_pb2.MASK_VALUES_CLASS_IDS: False,
    segment_pb2.MASK_VALUES_ZERO_IS_NONE: True,
}
_TYPES = {images_pb2.LABEL_TYPE_UINT8: "<u1", images_pb2.LABEL_TYPE_UINT16: "<u2"}
_COMPRESSED = {images_pb2.LABEL_ENCODING_RAW: False, images_pb2.LABEL_ENCODING_ZSTD: True}


@dataclass(frozen=True)
class Bounds:
    """Limits: pairs in work at once, pixels of a picture, bytes of a request and of a reply."""

    pairs: int
    max_pixels: int
    max_request_bytes: int
    max_reply_bytes: int


async def evaluate(
    models: Models,
    messages: AsyncIterator[segment_pb2.EvaluateSegmentationRequest],
    context: Context,
    bounds: Bounds,
) -> AsyncGenerator[segment_pb2.EvaluateSegmentationResponse, None]:
    """Yield progress, each pair's figures if requested, and the result last.

    Raises the errors that the contract lists, for the first pair that is wrong.
    """
    settings = await _settings(messages)
    ref = settings.model
    model = models.repository.resolve(ref.name, ref.version, ref.digest)
    meaning = _meaning(settings, model)
    classes = len(model.manifest.classes)
    if settings.confusion_matrix and classes**2 * _ELEMENT_BYTES > bounds.max_reply_bytes:
        raise InvalidArgument(
            "settings.confusion_matrix", f"that of {classes} classes does not fit a reply"
        )
    sums = _Sums(empty_tally(classes, confusion=settings.confusion_matrix), settings.pair_results)
    pairs = 0
    running: deque[asyncio.Task[Tally]] = deque()
    # Use one model from the first pair to the last, even if it is replaced meanwhile.
    with models.lease(model) as loaded:
        compare = _Comparison(
            loaded,
            caller(context),
            meaning,
            bounds.max_pixels,
            settings.confusion_matrix,
            inference(settings.inference),
            settings.threshold if settings.HasField("threshold") else None,
        )
        try:
            while (request := await _next(messages, field := f"pairs[{pairs}]")) is not None:
                if request.WhichOneof("part") != "pair":
                    raise InvalidArgument(field, "settings come once, and then pairs")
                size = encoded_size(messages, request)
                require_fits(field, request, bounds.max_request_bytes, size)
                running.append(asyncio.create_task(compare(pairs, request.pair, size)))
                pairs += 1
                while running and (len(running) >= bounds.pairs or running[0].done()):
                    for update in sums.add(await running.popleft()):
                        yield update
            while running:
                for update in sums.add(await running.popleft()):
                    yield update
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    if not sums.total.pixels:
        what = "no pair was sent" if not pairs else "their masks leave every pixel out"
        raise InvalidArgument("pairs", f"{what}: there is nothing to compare")
    result = _result(model, pairs, sums.total, figures(sums.total))
    yield segment_pb2.EvaluateSegmentationResponse(result=result)


@dataclass
class _Sums:
    """Counts of the finished pairs, and the progress reported meanwhile."""

    total: Tally
    pair_results: bool
    done: int = 0
    _said: float = field(default_factory=time.monotonic)

    def add(self, pair: Tally) -> Iterator[segment_pb2.EvaluateSegmentationResponse]:
        """Count a pair; yield its figures if they were requested, and progress now and then."""
        self.total += pair
        self.done += 1
        if self.pair_results:
            yield segment_pb2.EvaluateSegmentationResponse(pair=_pair_result(self.done - 1, pair))
        if time.monotonic() - self._said >= _PROGRESS_SECONDS:
            self._said = time.monotonic()
            progress = segment_pb2.EvaluationProgress(done=self.done)
            yield segment_pb2.EvaluateSegmentationResponse(progress=progress)


def _pair_result(index: int, pair: Tally) -> segment_pb2.PairResult:
    found = figures(pair) if pair.pixels else None
    return segment_pb2.PairResult(
        index=index,
        pixels=pair.pixels,
        ignored_pixels=pair.ignored,
        pixel_accuracy=None if found is None else found.pixel_accuracy,
        mean_iou=None if found is None else found.mean_iou,
    )


async def _settings(
    messages: AsyncIterator[segment_pb2.EvaluateSegmentationRequest],
) -> segment_pb2.EvaluationSettings:
    first = await _next(messages, "settings")
    if first is None or first.WhichOneof("part") != "settings":
        raise InvalidArgument("settings", "the first message must be the settings")
    return first.settings


async def _next(
    messages: AsyncIterator[segment_pb2.EvaluateSegmentationRequest], field: str
) -> segment_pb2.EvaluateSegmentationRequest | None:
    """Return the next message, which must be `field`; None after the last one."""
    try:
        async with asyncio.timeout(_MAX_SILENCE_SECONDS):
            return await anext(messages, None)
    except TimeoutError:
        raise DeadlineExceeded(
            f"{field}: nothing came for {_MAX_SILENCE_SECONDS:g} s; send the next message sooner, "
            "or end the stream after the last pair"
        ) from None


def _meaning(settings: segment_pb2.EvaluationSettings, model: RegisteredModel) -> MaskMeaning:
    if settings.mask_values not in _ZERO_IS_NONE:
        raise InvalidArgument("settings.mask_values", f"{settings.mask_values} is not a meaning")
    ignore = settings.ignore if settings.HasField("ignore") else None
    if ignore is not None and ignore > _MAX_IGNORE:
        raise InvalidArgument("settings.ignore", f"{ignore}; a mask's values end at {_MAX_IGNORE}")
    return MaskMeaning(len(model.manifest.classes), _ZERO_IS_NONE[settings.mask_values], ignore)


@dataclass(frozen=True)
class _Comparison:
    """Labels a picture and counts how it agrees with its mask."""

    loaded: Loaded
    client: str
    meaning: MaskMeaning
    max_pixels: int
    confusion: bool
    how: Inference
    threshold: float | None

    async def __call__(self, index: int, message: segment_pb2.EvaluationPair, size: int) -> Tally:
        pair = _Pair(index, message, self.meaning, self.max_pixels)
        # No deadline for a single pair: the deadline of all pairs ends the call.
        admission = Admission(size, priority=Priority.LOW, client=self.client)
        result, _ = await self.loaded.pipeline.segment(
            pair.picture,
            Wanted(OriginalSize(), Encoding.RAW, threshold=self.threshold),
            admission,
            max_bytes=sys.maxsize,  # the map never leaves the process
            how=self.how,
            max_pixels=self.max_pixels,
            admitted=asyncio.Event(),  # wait while the queue is full
        )
        labels = np.frombuffer(result.data, f"<u{result.item_bytes}")
        labels = labels.reshape(result.height, result.width)
        return await asyncio.to_thread(
            lambda: count(pair.mask(), labels, self.meaning, confusion=self.confusion)
        )


@dataclass(frozen=True)
class _Pair:
    index: int
    message: segment_pb2.EvaluationPair
    meaning: MaskMeaning
    max_pixels: int

    def picture(self) -> Image.Image:
        """Decode both files and check that their sizes fit.

        The mask is decoded again for counting: decoded masks would take memory while their pictures
        wait, and the queue does not know their size.
        """
        field = f"pairs[{self.index}]"
        mask = self.mask()
        decode, _ = segment_requests.picture(self.message.image, self.max_pixels, f"{field}.image")
        picture = decode()
        if mask.shape != (picture.height, picture.width):
            raise InvalidArgument(
                f"{field}.mask",
                f"{mask.shape[1]} x {mask.shape[0]} pixels, and the upright picture has "
                f"{picture.width} x {picture.height}",
            )
        unknown = self.meaning.unknown_value(mask)
        if unknown is not None:
            raise InvalidArgument(f"{field}.mask", self._why(unknown))
        return picture

    def mask(self) -> Mask:
        """Decode the mask."""
        field = f"pairs[{self.index}].mask"
        kind = self.message.WhichOneof("mask")
        if kind == "encoded":
            return mask_files.decode_png(self.message.encoded, self.max_pixels, f"{field}.encoded")
        if kind is None:
            raise InvalidArgument(field, "give either `encoded` or `values`")
        values, field = self.message.values, f"{field}.values"
        shape = (values.height, values.width)
        if values.encoding == images_pb2.LABEL_ENCODING_PNG:
            mask = mask_files.decode_png(values.data, self.max_pixels, f"{field}.data")
            if mask.shape != shape:
                raise InvalidArgument(field, f"says {shape}, and its PNG is {mask.shape}")
            return mask
        if values.encoding not in _COMPRESSED:
            raise InvalidArgument(f"{field}.encoding", "raw, zstd or PNG is needed")
        if values.type not in _TYPES:
            raise InvalidArgument(f"{field}.type", f"{values.type} is not a type")
        return mask_files.from_values(
            values.data,
            shape,
            _TYPES[values.type],
            compressed=_COMPRESSED[values.encoding],
            limit=self.max_pixels,
            field=field,
        )

    def _why(self, value: int) -> str:
        classes = self.meaning.classes
        if self.meaning.zero_is_none:
            advice = "name it in `ignore` to leave it out, or set MASK_VALUES_CLASS_IDS"
            return f"the value {value} means class {value - 1}, of {classes} classes: {advice}"
        advice = (
            "set MASK_VALUES_ZERO_IS_NONE (--zero-is-none) if 0 means no class, or name the value "
            "in `ignore` to leave it out"
        )
        return f"the value {value} is not a class of the {classes} of this model: {advice}"


def _result(
    model: RegisteredModel, pairs: int, total: Tally, result: Figures
) -> segment_pb2.EvaluationResult:
    rows = zip(
        model.manifest.classes,
        total.mask.tolist(),
        total.predicted.tolist(),
        total.common.tolist(),
        result.iou,
        result.accuracy,
        strict=True,
    )
    return segment_pb2.EvaluationResult(
        model=segment_replies.model_ref(model),
        pairs=pairs,
        pixels=total.pixels,
        ignored_pixels=total.ignored,
        pixel_accuracy=result.pixel_accuracy,
        pixel_accuracy_one_lower=result.one_lower,
        pixel_accuracy_one_higher=result.one_higher,
        mean_iou=result.mean_iou,
        mean_accuracy=result.mean_accuracy,
        classes=[
            segment_pb2.ClassFigures(
                class_id=index,
                name=item.name,
                mask_pixels=mask,
                predicted_pixels=predicted,
                common_pixels=common,
                iou=iou,
                accuracy=accuracy,
            )
            for index, (item, mask, predicted, common, iou, accuracy) in enumerate(rows)
        ],
        confusion=None if total.confusion is None else total.confusion.reshape(-1).tolist(),
    )
