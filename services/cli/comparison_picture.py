"""The picture on a comparison's page: a compared model's labels for a file or a drawn scene."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import grpc
from assay_rpc.ranker.v1 import artifact_pb2
from assay_rpc.segment.v1 import segment_pb2, segment_pb2_grpc

from services.ranker.web import pictures
from services.ranker.web.pictures import Seen

TIMEOUT_SECONDS = 120.0
_SCENE = (3, 384, 512)


async def look(
    channel: grpc.aio.Channel, artifacts: Sequence[artifact_pb2.Artifact], file: Path | None
) -> Seen | None:
    """Segment a file, or a scene that the project draws, with a compared model.

    If none of them is served with its own weights, another model shows what segmentation is, and
    the page says so; a model with random weights is never used. Returns None if no segmentation
    model is compared, or no suitable one is served.
    """
    compared = [
        one.id for one in artifacts if one.type == artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL
    ]
    if not compared:
        return None
    stub = segment_pb2_grpc.SegmentServiceStub(channel)
    models = await stub.ListModels(segment_pb2.ListModelsRequest(), timeout=TIMEOUT_SECONDS)
    name = pictures.chosen(models.models, compared)
    if name is None:
        return None
    encoded = file.read_bytes() if file else _scene()
    return await pictures.look(
        stub,
        name,
        encoded,
        file.name if file else "a synthetic test scene",
        {"timeout": TIMEOUT_SECONDS},
        shown=_small(encoded),
        remark="" if name in compared else pictures.in_place_of(compared),
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
