"""What is known about a model, as the contract's messages."""

from __future__ import annotations

from assay.common.v1 import common_pb2
from assay.segment.v1 import segment_pb2 as pb
from google.protobuf.duration_pb2 import Duration

from services.segment.labelmap import Encoding
from services.segment.manifest import ModelFacts
from services.segment.pipeline import Segmentation
from services.segment.repository import RegisteredModel
from services.segment.scheduler import Trace

_WEIGHTS = {
    "published": pb.WEIGHTS_KIND_PUBLISHED,
    "random": pb.WEIGHTS_KIND_RANDOM,
    "reference": pb.WEIGHTS_KIND_REFERENCE,
}
_ENCODINGS = {
    Encoding.RAW: pb.LABEL_ENCODING_RAW,
    Encoding.ZSTD: pb.LABEL_ENCODING_ZSTD,
    Encoding.PNG: pb.LABEL_ENCODING_PNG,
}
_TYPES = {1: pb.LABEL_TYPE_UINT8, 2: pb.LABEL_TYPE_UINT16}


def duration(seconds: float) -> Duration:
    """Return a duration, to the nanosecond."""
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)


def model_ref(model: RegisteredModel) -> common_pb2.ModelRef:
    """Return the reference with all three fields."""
    name, version = model.key
    return common_pb2.ModelRef(name=name, version=version, digest=model.digest)


def summary(model: RegisteredModel) -> pb.ModelSummary:
    """Return the line of a list."""
    manifest = model.manifest
    return pb.ModelSummary(
        model=model_ref(model),
        architecture=manifest.architecture,
        weights=_WEIGHTS[manifest.weights],
        class_count=len(manifest.classes),
        license=_license(model),
    )


def description(model: RegisteredModel, engine: str) -> pb.Model:
    """Return everything recorded about a model that `engine` runs."""
    manifest = model.manifest
    how = manifest.preprocessing
    message = pb.Model(
        ref=model_ref(model),
        architecture=manifest.architecture,
        weights=_WEIGHTS[manifest.weights],
        license=_license(model),
        source=manifest.source,
        classes=[
            pb.ClassInfo(id=index, name=item.name, color=item.color)
            for index, item in enumerate(manifest.classes)
        ],
        preprocessing=pb.Preprocessing(
            height=how.height,
            width=how.width,
            resample=how.resample,
            mean=how.mean,
            std=how.std,
            pads=how.pads,
        ),
        digests=manifest.digests,
        engine=engine,
    )
    if manifest.facts is not None:
        message.source_facts.CopyFrom(_facts(manifest.facts))
    if manifest.parity is not None:
        parity = manifest.parity
        message.parity.CopyFrom(
            pb.ExportParity(
                max_abs_difference=parity.max_abs_difference,
                label_agreement=parity.label_agreement,
                precision=parity.precision,
                probes=parity.probes,
            )
        )
    return message


def segmentation(
    model: RegisteredModel, result: Segmentation, trace: Trace
) -> pb.SegmentImageResponse:
    """Return the reply of SegmentImage."""
    names = model.manifest.classes
    return pb.SegmentImageResponse(
        model=model_ref(model),
        labels=pb.LabelMap(
            height=result.height,
            width=result.width,
            type=_TYPES[result.item_bytes],
            encoding=_ENCODINGS[result.encoding],
            data=result.data,
        ),
        classes=[
            pb.ClassShare(
                class_id=item.class_id,
                name=names[item.class_id].name,
                pixels=item.pixels,
                share=item.share,
            )
            for item in result.shares
        ],
        timings=pb.Timings(
            decode=duration(trace.prepare),
            queue=duration(trace.queue),
            compute=duration(trace.compute),
            post=duration(trace.finish),
        ),
        batch_size=trace.batch_size,
    )


def _license(model: RegisteredModel) -> common_pb2.License:
    terms = model.manifest.license
    return common_pb2.License(
        id=terms.id, name=terms.name, url=terms.url, research_only=terms.research_only
    )


def _facts(facts: ModelFacts) -> pb.SourceFacts:
    return pb.SourceFacts(
        parameters=facts.parameters,
        parameters_by_part=facts.parameters_by_part,
        modules=facts.modules,
        convolutions=facts.convolutions,
        head_modules=facts.head_modules,
        stages=[
            pb.EncoderStage(depth=stage.depth, width=stage.width, downsampling=stage.downsampling)
            for stage in facts.stages
        ],
        logits_shape=facts.logits_shape,
        decoder_width=facts.decoder_width,
    )
