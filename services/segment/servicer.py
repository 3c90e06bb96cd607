"""SegmentService: parse, one call, build the reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
from assay.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc
from PIL import Image

from services.errors import InvalidArgument
from services.rpc.callers import caller
from services.rpc.deadline import remaining
from services.rpc.pagination import page
from services.segment import replies
from services.segment.batcher import Priority
from services.segment.engine import engine_name
from services.segment.image import decode, from_pixels
from services.segment.image_stream import answer_item, answered
from services.segment.labelmap import Encoding
from services.segment.models import Models
from services.segment.settings import SegmentSettings

Context = grpc.aio.ServicerContext[Any, Any]
# Of a reply without its label map: model, class shares, timings.
_REPLY_OVERHEAD = 64 * 1024
_ENCODINGS = {
    images_pb2.LABEL_ENCODING_UNSPECIFIED: Encoding.ZSTD,
    images_pb2.LABEL_ENCODING_RAW: Encoding.RAW,
    images_pb2.LABEL_ENCODING_ZSTD: Encoding.ZSTD,
    images_pb2.LABEL_ENCODING_PNG: Encoding.PNG,
}
_ORIGINAL_SIZE = {
    images_pb2.OUTPUT_SIZE_UNSPECIFIED: True,
    images_pb2.OUTPUT_SIZE_ORIGINAL: True,
    images_pb2.OUTPUT_SIZE_MODEL: False,
}
_PRIORITIES = {
    segment_pb2.PRIORITY_UNSPECIFIED: Priority.NORMAL,
    segment_pb2.PRIORITY_HIGH: Priority.HIGH,
    segment_pb2.PRIORITY_NORMAL: Priority.NORMAL,
    segment_pb2.PRIORITY_LOW: Priority.LOW,
}


def _priority(wanted: segment_pb2.Priority.ValueType) -> Priority:
    if wanted not in _PRIORITIES:
        raise InvalidArgument("priority", f"{wanted} is not a priority")
    return _PRIORITIES[wanted]


class SegmentService(segment_pb2_grpc.SegmentServiceServicer):
    """Segments images and describes the models that do it."""

    def __init__(self, settings: SegmentSettings, models: Models) -> None:
        self._models = models
        self._device = settings.device
        self._max_pixels = settings.max_pixels
        self._max_message_bytes = settings.max_message_bytes
        self._stream_items = settings.stream_items
        self._draining = asyncio.Event()
        self._max_map_bytes = settings.max_message_bytes - _REPLY_OVERHEAD

    async def SegmentImage(  # noqa: N802  # the contract's name
        self, request: segment_pb2.SegmentImageRequest, context: Context
    ) -> segment_pb2.SegmentImageResponse:
        """Segment one image."""
        return await self._segment(request, caller(context), remaining(context))

    async def _segment(
        self,
        request: segment_pb2.SegmentImageRequest,
        client: str,
        timeout: float | None,  # noqa: ASYNC109  # it decides admission, it is no cancellation
        placed: asyncio.Event | None = None,
    ) -> segment_pb2.SegmentImageResponse:
        """Segment one image of a call; with `placed` wait for a place in the queue."""
        ref = request.model
        model = self._models.repository.resolve(ref.name, ref.version, ref.digest)
        if request.output_size not in _ORIGINAL_SIZE:
            raise InvalidArgument("output_size", f"{request.output_size} is not a size")
        if request.encoding not in _ENCODINGS:
            raise InvalidArgument("encoding", f"{request.encoding} is not an encoding")
        picture, nbytes = self._source(request.image)
        result, trace = await self._models.pipeline(model).segment(
            picture,
            nbytes=nbytes,
            original_size=_ORIGINAL_SIZE[request.output_size],
            encoding=_ENCODINGS[request.encoding],
            max_bytes=self._max_map_bytes,
            timeout=timeout,
            priority=_priority(request.priority),
            client=client,
            placed=placed,
        )
        return replies.segmentation(model, result, trace)

    async def SegmentImages(  # noqa: N802  # the contract's name
        self, request_iterator: AsyncIterator[segment_pb2.SegmentImagesRequest], context: Context
    ) -> AsyncIterator[segment_pb2.SegmentImagesResponse]:
        """Segment images as they come."""
        client = caller(context)

        async def answer(
            request: segment_pb2.SegmentImagesRequest, placed: asyncio.Event
        ) -> segment_pb2.SegmentImagesResponse:
            return await answer_item(
                request,
                lambda seconds: self._segment(request.item, client, seconds, placed),
                self._max_message_bytes,
            )

        answers = answered(
            request_iterator, answer, limit=self._stream_items, draining=self._draining
        )
        async with aclosing(answers):
            async for reply in answers:
                yield reply

    def drain(self) -> None:
        """Read no more items of the calls that stream them; what was read is answered."""
        self._draining.set()

    async def EvaluateSegmentation(  # noqa: N802  # the contract's name
        self,
        request_iterator: AsyncIterator[segment_pb2.EvaluateSegmentationRequest],
        context: Context,
    ) -> segment_pb2.EvaluateSegmentationResponse:
        """Compare labels with masks."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this build")
        return segment_pb2.EvaluateSegmentationResponse()

    async def ListModels(  # noqa: N802  # the contract's name
        self,
        request: segment_pb2.ListModelsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> segment_pb2.ListModelsResponse:
        """List the registered models by name and version."""
        models, token = page(
            self._models.repository,
            request.page_size,
            request.page_token,
            key=lambda model: model.order,
        )
        return segment_pb2.ListModelsResponse(
            models=[replies.summary(model) for model in models], next_page_token=token
        )

    async def GetModel(  # noqa: N802  # the contract's name
        self,
        request: segment_pb2.GetModelRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> segment_pb2.GetModelResponse:
        """Describe one model; a licence that is not accepted keeps no one from reading it."""
        ref = request.model
        model = self._models.repository.resolve(ref.name, ref.version, ref.digest)
        return segment_pb2.GetModelResponse(
            model=replies.description(model, engine_name(self._device))
        )

    def _source(self, image: images_pb2.Image) -> tuple[Callable[[], Image.Image], int]:
        """Return what decodes the picture, and how many bytes it is given as."""
        kind = image.WhichOneof("source")
        if kind == "encoded":
            return partial(decode, image.encoded, self._max_pixels), len(image.encoded)
        if kind == "pixels":
            tensor = image.pixels
            return partial(
                from_pixels, tensor.rgb, tensor.height, tensor.width, self._max_pixels
            ), len(tensor.rgb)
        raise InvalidArgument("image", "give either `encoded` or `pixels`")
