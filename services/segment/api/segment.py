"""SegmentService: parse, one call, build the reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from assay_rpc.segment.v1 import segment_pb2, segment_pb2_grpc

from services.rpc.call import caller, encoded_size, remaining
from services.rpc.load_report import LoadReport
from services.rpc.pagination import page
from services.rpc.tracing.tracing import Tracing
from services.segment.api import segment_replies, segment_requests, spans
from services.segment.api.evaluate import Bounds, evaluate
from services.segment.api.image_stream import answer_item, answered, with_own_ids
from services.segment.api.inference_requests import inference
from services.segment.batching.scheduler import deadline_in
from services.segment.batching.ticket import Admission
from services.segment.serving.models import Models
from services.segment.settings import SegmentSettings

Context = grpc.aio.ServicerContext[Any, Any]


class SegmentService(segment_pb2_grpc.SegmentServiceServicer):
    """Segments images and describes the models that do it."""

    def __init__(
        self, settings: SegmentSettings, models: Models, tracing: Tracing | None = None
    ) -> None:
        self._models = models
        self._tracing = tracing or Tracing()
        self._max_pixels = settings.max_pixels
        self._max_message_bytes = settings.max_message_bytes
        self._stream_items = settings.stream_items
        self._draining = asyncio.Event()
        self._max_output_bytes = settings.max_output_bytes
        self._evaluation = Bounds(
            settings.evaluation_pairs,
            settings.max_pixels,
            settings.max_message_bytes,
            self._max_output_bytes,
        )

    async def SegmentImage(  # noqa: N802  # the contract's name
        self, request: segment_pb2.SegmentImageRequest, context: Context
    ) -> segment_pb2.SegmentImageResponse:
        """Segment one image."""
        reply = await self._segment(request, caller(context), remaining(context))
        context.set_trailing_metadata((LoadReport(*self._models.load).trailer,))
        return reply

    async def _segment(
        self,
        request: segment_pb2.SegmentImageRequest,
        client: str,
        timeout: float | None,  # noqa: ASYNC109  # it decides admission, it is no cancellation
        admitted: asyncio.Event | None = None,
    ) -> segment_pb2.SegmentImageResponse:
        """Segment one image of a call; with `admitted` wait while the queue is full."""
        ref = request.model
        model = self._models.repository.resolve(ref.name, ref.version, ref.digest)
        wanted = segment_requests.wanted(request, self._max_pixels)
        picture, nbytes = segment_requests.picture(request.image, self._max_pixels)
        with self._models.lease(model) as loaded:
            admission = Admission(
                nbytes, deadline_in(timeout), segment_requests.priority(request), client
            )
            result, trace = await loaded.pipeline.segment(
                *(picture, wanted, admission),
                max_bytes=self._max_output_bytes,
                how=inference(request.inference),
                max_pixels=self._max_pixels,
                admitted=admitted,
            )
        spans.add(self._tracing, model, trace)
        return segment_replies.segmentation(model, result, trace)

    async def SegmentImages(  # noqa: N802  # the contract's name
        self, request_iterator: AsyncIterator[segment_pb2.SegmentImagesRequest], context: Context
    ) -> AsyncIterator[segment_pb2.SegmentImagesResponse]:
        """Segment images as they come."""
        client = caller(context)

        async def answer(
            request: segment_pb2.SegmentImagesRequest, admitted: asyncio.Event
        ) -> segment_pb2.SegmentImagesResponse:
            return await answer_item(
                request,
                lambda seconds: self._segment(request.item, client, seconds, admitted),
                # Read the next one only after this one is admitted.
                encoded_size(request_iterator, request),
                self._max_message_bytes,
            )

        answers = answered(
            with_own_ids(request_iterator),
            answer,
            limit=self._stream_items,
            draining=self._draining,
        )
        async with aclosing(answers):
            async for reply in answers:
                yield reply

    def drain(self) -> None:
        """Stop reading items from streaming calls; answer those already read."""
        self._draining.set()

    async def EvaluateSegmentation(  # noqa: N802  # the contract's name
        self,
        request_iterator: AsyncIterator[segment_pb2.EvaluateSegmentationRequest],
        context: Context,
    ) -> AsyncIterator[segment_pb2.EvaluateSegmentationResponse]:
        """Compare labels with masks."""
        updates = evaluate(self._models, request_iterator, context, self._evaluation)
        async with aclosing(updates):
            async for update in updates:
                yield update

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
            models=[segment_replies.summary(model) for model in models], next_page_token=token
        )

    async def GetModel(  # noqa: N802  # the contract's name
        self,
        request: segment_pb2.GetModelRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> segment_pb2.GetModelResponse:
        """Describe one model, even if its licence is not accepted."""
        ref = request.model
        model = self._models.repository.resolve(ref.name, ref.version, ref.digest)
        return segment_pb2.GetModelResponse(
            model=segment_replies.description(
                model, self._models.choice.of(model.manifest), self._models.measured_here(model)
            )
        )
