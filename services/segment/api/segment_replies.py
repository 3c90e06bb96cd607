"""Facts about a model, as the contract's messages."""

from __future__ import annotations

from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import images_pb2, models_pb2, segment_pb2
from google.protobuf.duration_pb2 import Duration

from services.common.license import License
from services.rpc.messages import engine_message, license_message
from services.segment.batching.scheduler import Trace
from services.segment.engines.choice import Choice
from services.segment.images.label_map import Encoding
from services.segment.images.outputs import Segmentation
from services.segment.images.overlay import PictureFormat
from services.segment.manifest import ModelFacts, ModelParity, ModelPreprocessing
from services.segment.serving.repository import RegisteredModel

_WEIGHTS = {
    "published": common_pb2.WEIGHTS_KIND_TRAINED,
    "random": common_pb2.WEIGHTS_KIND_RANDOM,
    "reference": common_pb2.WEIGHTS_KIND_REFERENCE,
}
_ENCODINGS = {
    Encoding.RAW: images_pb2.LABEL_ENCODING_RAW,
    Encoding.ZSTD: images_pb2.LABEL_ENCODING_ZSTD,
    Encoding.PNG: images_pb2.LABEL_ENCODING_PNG,
    Encoding.COCO_RLE: images_pb2.LABEL_ENCODING_COCO_RLE,
    Encoding.NONE: images_pb2.LABEL_ENCODING_NONE,
}
_FORMATS = {
    PictureFormat.JPEG: images_pb2.PICTURE_FORMAT_JPEG,
    PictureFormat.PNG: images_pb2.PICTURE_FORMAT_PNG,
}
_RESAMPLERS = {
    "pillow": models_pb2.RESAMPLER_PILLOW,
    "torchvision": models_pb2.RESAMPLER_TORCHVISION,
    "opencv": models_pb2.RESAMPLER_OPENCV,
}
_TYPES = {1: images_pb2.LABEL_TYPE_UINT8, 2: images_pb2.LABEL_TYPE_UINT16}


def duration(seconds: float) -> Duration:
    """Return a duration, to the nanosecond."""
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)


def model_ref(model: RegisteredModel) -> common_pb2.ModelRef:
    """Return the reference with all three fields."""
    name, version = model.key
    return common_pb2.ModelRef(name=name, version=version, digest=model.digest)


def summary(model: RegisteredModel) -> models_pb2.ModelSummary:
    """Return the model's entry in a list."""
    manifest = model.manifest
    return models_pb2.ModelSummary(
        ref=model_ref(model),
        architecture=manifest.architecture,
        weights=_WEIGHTS[manifest.weights],
        class_count=len(manifest.classes),
        license=_license(model),
    )


def description(
    model: RegisteredModel, choice: Choice, measured_here: ModelParity | None
) -> models_pb2.Model:
    """Return everything recorded about a model, its engine, and figures measured here."""
    manifest = model.manifest
    how = manifest.preprocessing
    message = models_pb2.Model(
        ref=model_ref(model),
        architecture=manifest.architecture,
        weights=_WEIGHTS[manifest.weights],
        license=_license(model),
        source=manifest.source,
        classes=[
            models_pb2.ClassInfo(id=index, name=item.name, color=item.color)
            for index, item in enumerate(manifest.classes)
        ],
        preprocessing=models_pb2.Preprocessing(
            height=how.height,
            width=how.width,
            resample=how.resample,
            mean=how.mean,
            std=how.std,
            resize_mode=_resize_mode(how),
            resampler=_RESAMPLERS[how.resampler],
        ),
        digests=manifest.digests,
        engine=engine_message(choice.engine, choice.precision),
        parities=map(_parity, manifest.parities),
    )
    if manifest.facts is not None:
        message.source_facts.CopyFrom(_facts(manifest.facts))
    if manifest.parity is not None:
        message.parity.CopyFrom(_parity(manifest.parity))
    if measured_here is not None:
        message.measured_here.CopyFrom(_parity(measured_here))
    return message


def segmentation(
    model: RegisteredModel, result: Segmentation, trace: Trace
) -> segment_pb2.SegmentImageResponse:
    """Return the reply of SegmentImage."""
    names = model.manifest.classes
    reply = segment_pb2.SegmentImageResponse(
        model=model_ref(model),
        labels=images_pb2.LabelMap(
            height=result.height,
            width=result.width,
            type=_TYPES[result.item_bytes],
            encoding=_ENCODINGS[result.encoding],
            data=result.data,
            masks=[
                images_pb2.ClassMask(class_id=mask.class_id, counts=mask.counts, area=mask.area)
                for mask in result.masks
            ],
            filtered_value=result.other,
        ),
        classes=[
            images_pb2.ClassShare(
                class_id=item.class_id,
                name=names[item.class_id].name,
                pixels=item.pixels,
                share=item.share,
            )
            for item in result.shares
        ],
        timings=images_pb2.Timings(
            decode=duration(trace.prepare),
            queue=duration(trace.queue),
            compute=duration(trace.compute),
            post=duration(trace.finish),
        ),
        batch_size=trace.batch_size,
        notices=result.notices,
    )
    if result.top is not None:
        top = reply.top_classes
        top.k, top.height, top.width = result.top.k, result.height, result.width
        top.type = _TYPES[result.top.item_bytes]
        top.classes, top.probabilities = result.top.classes, result.top.probabilities
    if result.style is not None:
        reply.overlay.format = _FORMATS[result.style.format]
        reply.overlay.data = result.picture
    return reply


def _resize_mode(how: ModelPreprocessing) -> models_pb2.ResizeMode.ValueType:
    if how.pads:
        return models_pb2.RESIZE_MODE_PAD
    return models_pb2.RESIZE_MODE_STRETCH if how.resizes else models_pb2.RESIZE_MODE_NONE


def _license(model: RegisteredModel) -> common_pb2.License:
    terms = model.manifest.license
    return license_message(License(terms.id, terms.name, terms.url, terms.restricted))


def _parity(parity: ModelParity) -> models_pb2.ExportParity:
    return models_pb2.ExportParity(
        max_abs_difference=parity.max_abs_difference,
        label_agreement=parity.label_agreement,
        probes=parity.probes,
        engine=engine_message(
            parity.engine, parity.precision, instruction_set=parity.instruction_set or ""
        ),
        passed=parity.passed,
    )


def _facts(facts: ModelFacts) -> models_pb2.SourceFacts:
    return models_pb2.SourceFacts(
        parameters=facts.parameters,
        parameters_by_part=facts.parameters_by_part,
        modules=facts.modules,
        convolutions=facts.convolutions,
        head_modules=facts.head_modules,
        stages=[
            models_pb2.EncoderStage(
                depth=stage.depth, width=stage.width, downsampling=stage.downsampling
            )
            for stage in facts.stages
        ],
        logits_shape=facts.logits_shape,
        decoder_width=facts.decoder_width,
    )
