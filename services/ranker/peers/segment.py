"""segment as a `SegmentPeer`: its stubs' messages as plain values."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import grpc.aio
from assay.common.v1 import common_pb2
from assay.segment.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    images_pb2,
    models_pb2,
    segment_pb2,
    segment_pb2_grpc,
)
from google.protobuf.duration_pb2 import Duration

from services.ranker.claims.labelled import LabelledPicture, UnreadableError
from services.ranker.peers.calls import LOOK_UP_SECONDS, environment, last, translated
from services.ranker.peers.protocol import (
    AccuracyFigures,
    Scenario,
    ServedModel,
    SourceFacts,
    SpeedFigures,
    SpeedPlan,
    Stage,
    Weights,
)
from services.rpc.client import outgoing

_START_SECONDS = 60.0
"""What loading the model in each fresh process may add to a benchmark's own budget."""

_PICTURE_SECONDS = 30.0
"""What one picture of an evaluation may take."""

_WEIGHTS = {
    models_pb2.WEIGHTS_KIND_PUBLISHED: Weights.PUBLISHED,
    models_pb2.WEIGHTS_KIND_RANDOM: Weights.RANDOM,
    models_pb2.WEIGHTS_KIND_REFERENCE: Weights.REFERENCE,
}
_SCENARIOS = {
    Scenario.SINGLE_STREAM: admin_pb2.SCENARIO_SINGLE_STREAM,
    Scenario.OFFLINE: admin_pb2.SCENARIO_OFFLINE,
}


class SegmentClient:
    """Calls segment through its stubs. Implements `services.ranker.peers.protocol.SegmentPeer`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = segment_pb2_grpc.SegmentServiceStub(channel)
        self._admin = admin_pb2_grpc.SegmentAdminServiceStub(channel)

    async def models(self) -> tuple[ServedModel, ...]:
        """Every served model, described."""
        async with translated("segment", LOOK_UP_SECONDS):
            listed: list[models_pb2.ModelSummary] = []
            token = ""
            while True:
                request = segment_pb2.ListModelsRequest(page_size=100, page_token=token)
                reply = await self._stub.ListModels(request, **outgoing(LOOK_UP_SECONDS))
                listed.extend(reply.models)
                token = reply.next_page_token
                if not token:
                    break
            return tuple([await self._describe(one.model) for one in listed])

    async def _describe(self, ref: common_pb2.ModelRef) -> ServedModel:
        request = segment_pb2.GetModelRequest(model=ref)
        reply = await self._stub.GetModel(request, **outgoing(LOOK_UP_SECONDS))
        return _model(reply.model)

    async def time(self, model: ServedModel, plan: SpeedPlan) -> SpeedFigures:
        """Time a model in processes of its own. Cancelling ends the measurement."""
        request = admin_pb2.BenchmarkModelRequest(
            model=common_pb2.ModelRef(name=model.name, version=model.version, digest=model.digest),
            scenario=_SCENARIOS[plan.scenario],
            batch_size=plan.batch_size,
            runs=plan.runs,
            restarts=plan.restarts,
            budget=Duration(seconds=int(plan.seconds)),
        )
        limit = plan.seconds + plan.restarts * _START_SECONDS
        async with translated("segment", limit):
            call = self._admin.BenchmarkModel(request, **outgoing(limit))
            result = await last(call, "result", f"segment ended the benchmark of {model.name}")
        return _speed(result)

    async def evaluate(
        self, model: ServedModel, pictures: Sequence[LabelledPicture]
    ) -> AccuracyFigures:
        """Compare a model's labels with masks. Cancelling ends it.

        Raises `UnreadableError` when a picture's file cannot be read.
        """
        settings = segment_pb2.EvaluationSettings(
            model=common_pb2.ModelRef(name=model.name, version=model.version, digest=model.digest),
            mask_values=segment_pb2.MASK_VALUES_ZERO_IS_NONE,
        )

        limit = _START_SECONDS + len(pictures) * _PICTURE_SECONDS
        digest = hashlib.sha256()
        async with translated("segment", limit):
            call = self._stub.EvaluateSegmentation(**outgoing(limit))
            try:
                await call.write(segment_pb2.EvaluateSegmentationRequest(settings=settings))
                for one in pictures:
                    image, mask = await asyncio.to_thread(_read, one)
                    digest.update(hashlib.sha256(image).digest() + hashlib.sha256(mask).digest())
                    pair = segment_pb2.EvaluationPair(
                        image=images_pb2.Image(encoded=image), encoded=mask
                    )
                    await call.write(segment_pb2.EvaluateSegmentationRequest(pair=pair))
                await call.done_writing()
                reply = await call
            except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
                # segment ended it before the last picture. A write that met that end does not know
                # why; the call mostly does.
                reply = await call
            finally:
                call.cancel()
        return AccuracyFigures(
            pictures=reply.pairs,
            pictures_digest=f"sha256:{digest.hexdigest()}",
            mean_iou=reply.mean_iou,
            pixel_accuracy=reply.pixel_accuracy,
        )


def _read(picture: LabelledPicture) -> tuple[bytes, bytes]:
    try:
        return picture.image.read_bytes(), picture.mask.read_bytes()
    except OSError as error:
        raise UnreadableError(
            f"the ranker cannot read {picture.image.name} or its mask: {error.strerror}"
        ) from error


def _model(model: models_pb2.Model) -> ServedModel:
    return ServedModel(
        name=model.ref.name,
        version=model.ref.version,
        digest=model.ref.digest,
        architecture=model.architecture,
        weights=_WEIGHTS.get(model.weights, Weights.REFERENCE),
        engine=model.engine,
        class_ids=tuple(one.id for one in model.classes),
        input_size=(model.preprocessing.height, model.preprocessing.width),
        pads=model.preprocessing.pads,
        facts=_facts(model.source_facts) if model.HasField("source_facts") else None,
        label_agreement=model.parity.label_agreement if model.HasField("parity") else None,
    )


def _facts(facts: models_pb2.SourceFacts) -> SourceFacts:
    return SourceFacts(
        parameters=facts.parameters,
        parameters_by_part=dict(facts.parameters_by_part),
        modules=dict(facts.modules),
        convolutions=dict(facts.convolutions),
        head_modules=dict(facts.head_modules),
        stages=tuple(Stage(one.depth, one.width, one.downsampling) for one in facts.stages),
        logits_shape=tuple(facts.logits_shape),
    )


def _speed(result: admin_pb2.BenchmarkResult) -> SpeedFigures:
    return SpeedFigures(
        seconds=tuple(tuple(process.seconds) for process in result.samples if process.seconds),
        batch_size=result.batch_size,
        noisy=result.noisy,
        noise=result.noise,
        engine=result.engine,
        environment=environment(result.environment),
    )
