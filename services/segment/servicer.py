"""SegmentService: parse, one call, build the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import grpc
from assay.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc
from PIL import Image

from services.errors import InvalidArgument
from services.rpc.deadline import remaining
from services.rpc.pagination import page
from services.segment import replies
from services.segment.engine import engine_name
from services.segment.evaluation_call import Bounds, evaluate
from services.segment.image import decode, from_pixels
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


class SegmentService(segment_pb2_grpc.SegmentServiceServicer):
    """Segments images and describes the models that do it."""

    def __init__(self, settings: SegmentSettings, models: Models) -> None:
        self._models = models
        self._device = settings.device
        self._max_pixels = settings.max_pixels
        self._max_map_bytes = settings.max_message_bytes - _REPLY_OVERHEAD
        # So many pairs fill a batch and keep every thread at work.
        self._evaluation = Bounds(
            min(settings.max_batch + settings.pool_threads, settings.queue_items),
            settings.max_pixels,
            self._max_map_bytes,
        )

    async def SegmentImage(  # noqa: N802  # the contract's name
        self, request: segment_pb2.SegmentImageRequest, context: Context
    ) -> segment_pb2.SegmentImageResponse:
        """Segment one image."""
        ref = request.model
        model = self._models.repository.resolve(ref.name, ref.version, ref.digest)
        if request.output_size not in _ORIGINAL_SIZE:
            raise InvalidArgument("output_size", f"{request.output_size} is not a size")
        if request.encoding not in _ENCODINGS:
            raise InvalidArgument("encoding", f"{request.encoding} is not an encoding")
        picture, nbytes = self._source(request.image)
        with self._models.lease(model) as pipeline:
            result, trace = await pipeline.segment(
                picture,
                nbytes=nbytes,
                original_size=_ORIGINAL_SIZE[request.output_size],
                encoding=_ENCODINGS[request.encoding],
                max_bytes=self._max_map_bytes,
                timeout=remaining(context),
            )
        return replies.segmentation(model, result, trace)

    async def SegmentImages(  # noqa: N802  # the contract's name
        self, request_iterator: AsyncIterator[segment_pb2.SegmentImagesRequest], context: Context
    ) -> AsyncIterator[segment_pb2.SegmentImagesResponse]:
        """Segment images as they come."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this build")
        yield segment_pb2.SegmentImagesResponse()

    async def EvaluateSegmentation(  # noqa: N802  # the contract's name
        self,
        request_iterator: AsyncIterator[segment_pb2.EvaluateSegmentationRequest],
        context: Context,
    ) -> segment_pb2.EvaluateSegmentationResponse:
        """Compare labels with masks."""
        return await evaluate(self._models, request_iterator, context, self._evaluation)

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
