"""segment as a `SegmentPeer`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress

import grpc.aio
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import (
    benchmark_pb2,
    benchmark_pb2_grpc,
    images_pb2,
    models_pb2,
    segment_pb2,
    segment_pb2_grpc,
)
from google.protobuf.duration_pb2 import Duration

from services.errors import InternalError
from services.ranker.measuring.labelled_images import LabelledImage, UnreadableError
from services.ranker.peers.calls import LOOK_UP_SECONDS, last, translated
from services.ranker.peers.protocol import Accuracy, SegmentPeer, SpeedPlan
from services.rpc.client import outgoing

_START_SECONDS = 60.0
"""What loading the model in each fresh process may add to a benchmark's own budget."""

_PICTURE_SECONDS = 30.0
"""What one picture of an evaluation may take."""


class SegmentClient(SegmentPeer):
    """Calls segment through its stubs."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = segment_pb2_grpc.SegmentServiceStub(channel)
        self._benchmark = benchmark_pb2_grpc.SegmentBenchmarkServiceStub(channel)

    async def models(self) -> tuple[models_pb2.Model, ...]:
        """Every served model, described."""
        async with translated("segment", LOOK_UP_SECONDS):
            listed: list[models_pb2.ModelSummary] = []
            token = ""
            while True:
                request = segment_pb2.ListModelsRequest(page_size=100, page_token=token)
                reply = await self._stub.ListModels(
                    request, **outgoing(LOOK_UP_SECONDS), wait_for_ready=False
                )
                listed.extend(reply.models)
                token = reply.next_page_token
                if not token:
                    break
            return tuple([await self._describe(one.ref) for one in listed])

    async def _describe(self, ref: common_pb2.ModelRef) -> models_pb2.Model:
        request = segment_pb2.GetModelRequest(model=ref)
        reply = await self._stub.GetModel(
            request, **outgoing(LOOK_UP_SECONDS), wait_for_ready=False
        )
        return reply.model

    async def time(self, model: models_pb2.Model, plan: SpeedPlan) -> benchmark_pb2.BenchmarkResult:
        """Time a model in processes of its own. Cancelling ends the measurement."""
        request = benchmark_pb2.BenchmarkModelRequest(
            model=model.ref,
            scenario=plan.scenario,
            batch_size=plan.batch_size,
            runs=plan.runs,
            restarts=plan.restarts,
            budget=Duration(seconds=int(plan.seconds)),
            engine=plan.engine,
            against=common_pb2.ModelRef(name=plan.against) if plan.against else None,
        )
        limit = plan.seconds + plan.restarts * _START_SECONDS
        async with translated("segment", limit):
            call = self._benchmark.BenchmarkModel(request, **outgoing(limit))
            result: benchmark_pb2.BenchmarkResult = await last(
                call, "result", f"segment ended the benchmark of {model.ref.name}"
            )
        return result

    async def evaluate(
        self, model: models_pb2.Model, pictures: Sequence[LabelledImage]
    ) -> Accuracy:
        """Compare a model's labels with masks. Cancelling ends it.

        Raises `UnreadableError` when a picture's file cannot be read.
        """
        settings = segment_pb2.EvaluationSettings(
            model=model.ref,
            mask_values=segment_pb2.MASK_VALUES_ZERO_IS_NONE,
        )

        limit = _START_SECONDS + len(pictures) * _PICTURE_SECONDS
        digest = hashlib.sha256()
        async with translated("segment", limit):
            call = self._stub.EvaluateSegmentation(**outgoing(limit))
            # Read while it is written: segment tells its progress, and may end it early.
            reading = asyncio.create_task(last(call, "result", "segment ended the evaluation"))
            try:
                with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
                    # A write that meets the call's end does not know why; the reader does.
                    await call.write(segment_pb2.EvaluateSegmentationRequest(settings=settings))
                    for one in pictures:
                        image, mask = await asyncio.to_thread(_read, one)
                        digest.update(
                            hashlib.sha256(image).digest() + hashlib.sha256(mask).digest()
                        )
                        pair = segment_pb2.EvaluationPair(
                            image=images_pb2.Image(encoded=image), encoded=mask
                        )
                        await call.write(segment_pb2.EvaluateSegmentationRequest(pair=pair))
                    await call.done_writing()
                result: segment_pb2.EvaluationResult = await reading
            finally:
                reading.cancel()
                call.cancel()
        if not (result.HasField("mean_iou") and result.HasField("pixel_accuracy")):
            raise InternalError("segment found no labelled pixel in the pictures")
        return Accuracy(
            pictures=result.pairs,
            pictures_digest=f"sha256:{digest.hexdigest()}",
            mean_iou=result.mean_iou,
            pixel_accuracy=result.pixel_accuracy,
        )


def _read(picture: LabelledImage) -> tuple[bytes, bytes]:
    try:
        return picture.image.read_bytes(), picture.mask.read_bytes()
    except OSError as error:
        raise UnreadableError(
            f"the ranker cannot read {picture.image.name} or its mask: {error.strerror}"
        ) from error
