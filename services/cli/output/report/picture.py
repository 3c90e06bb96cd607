"""A picture, and what a compared model sees in it, or another that is served in its place."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import artifact_pb2
from assay_rpc.segment.v1 import images_pb2, models_pb2, segment_pb2, segment_pb2_grpc

TIMEOUT_SECONDS = 120.0
_SCENE = (3, 384, 512)


@dataclass(frozen=True)
class Seen:
    """A picture and its overlay as data URIs; classes with their shares, the largest first.

    `remark` says whose place the model takes, when it is none of those that are compared.
    """

    model: str
    source: str
    picture: str
    overlay: str
    classes: tuple[tuple[str, float], ...]
    remark: str = ""


async def look(
    channel: grpc.aio.Channel, artifacts: Sequence[artifact_pb2.Artifact], file: Path | None
) -> Seen | None:
    """Segment a file, or a scene that the project draws, with a compared model.

    Where none of them is served with its own weights another model shows what segmentation is, and
    says so; never one with random weights. None when no segmentation model is compared, or none
    that could show it is served.
    """
    compared = [
        one.id for one in artifacts if one.type == artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL
    ]
    if not compared:
        return None
    stub = segment_pb2_grpc.SegmentServiceStub(channel)
    models = await stub.ListModels(segment_pb2.ListModelsRequest(), timeout=TIMEOUT_SECONDS)
    name = chosen(models.models, compared)
    if name is None:
        return None
    encoded = file.read_bytes() if file else _scene()
    reply = await stub.SegmentImage(
        segment_pb2.SegmentImageRequest(
            model=common_pb2.ModelRef(name=name),
            image=images_pb2.Image(encoded=encoded),
            output_size=images_pb2.OUTPUT_SIZE_ORIGINAL,
            encoding=images_pb2.LABEL_ENCODING_NONE,
            overlay=images_pb2.OverlayOptions(format=images_pb2.PICTURE_FORMAT_JPEG),
        ),
        timeout=TIMEOUT_SECONDS,
    )
    classes = sorted(((one.name, one.share) for one in reply.classes), key=lambda one: -one[1])
    return Seen(
        model=reply.model.name,
        source=file.name if file else "a scene that this project drew",
        picture=_data(_small(encoded)),
        overlay=_data(reply.overlay.data),
        classes=tuple(classes),
        remark="" if name in compared else _in_place_of(compared),
    )


def chosen(models: Iterable[models_pb2.ModelSummary], compared: Collection[str]) -> str | None:
    """A compared model, else one with published weights, else one that this project trained."""
    ranked = sorted(
        (
            one.ref.name not in compared,
            one.weights != common_pb2.WEIGHTS_KIND_TRAINED,
            one.ref.name,
        )
        for one in models
        if one.weights != common_pb2.WEIGHTS_KIND_RANDOM
    )
    return ranked[0][-1] if ranked else None


def _in_place_of(compared: Iterable[str]) -> str:
    return (
        f"It stands in for {' and '.join(compared)}, whose own weights are not served here. The "
        "picture shows what such a model gives, and says nothing of how good the compared one is."
    )


def _small(encoded: bytes) -> bytes:
    """The picture as a JPEG, upright."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - only a report with a picture needs it

    written = io.BytesIO()
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB")
    picture.save(written, "JPEG", quality=88)
    return written.getvalue()


def _scene() -> bytes:
    from PIL import Image  # noqa: PLC0415 - only a report with a picture needs it

    from services.segment.reference.scenes.draw import draw_scene  # noqa: PLC0415

    written = io.BytesIO()
    Image.fromarray(draw_scene(*_SCENE)[0]).save(written, "PNG")
    return written.getvalue()


def _data(content: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
