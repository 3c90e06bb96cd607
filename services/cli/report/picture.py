"""A picture, and what a compared model sees in it when it is served with its own weights."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import grpc
from assay.common.v1 import common_pb2
from assay.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc

TIMEOUT_SECONDS = 120.0
_SCENE = (3, 384, 512)


@dataclass(frozen=True)
class Seen:
    """A picture and its overlay as data URIs; classes with their shares, the largest first."""

    model: str
    source: str
    picture: str
    overlay: str
    classes: tuple[tuple[str, float], ...]


async def look(
    channel: grpc.aio.Channel, artifacts: Collection[str], file: Path | None
) -> Seen | None:
    """Segment a file, or a scene that the project draws, with a compared model that is served.

    None when none of them is: a stand-in would not show what the compared model sees.
    """
    stub = segment_pb2_grpc.SegmentServiceStub(channel)
    models = await stub.ListModels(segment_pb2.ListModelsRequest(), timeout=TIMEOUT_SECONDS)
    names = sorted(one.model.name for one in models.models if one.model.name in artifacts)
    if not names:
        return None
    encoded = file.read_bytes() if file else _scene()
    reply = await stub.SegmentImage(
        segment_pb2.SegmentImageRequest(
            model=common_pb2.ModelRef(name=names[0]),
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

    from services.segment.reference.scenes import draw_scene  # noqa: PLC0415

    written = io.BytesIO()
    Image.fromarray(draw_scene(*_SCENE)[0]).save(written, "PNG")
    return written.getvalue()


def _data(content: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()
