"""What a segmentation model sees in a picture."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import images_pb2, models_pb2, segment_pb2, segment_pb2_grpc

from services.ranker.words import joined

LEAST_SHARE = 0.005
"""Of a picture's pixels: a class with less would be shown as 0 %."""

_MOST_CLASSES = 24
_MOST_SEEN = 16
_PAGE_SECONDS = 5.0
_SCENE = Path(__file__).parent / "static" / "scene.jpg"


@dataclass(frozen=True)
class ClassSeen:
    """A class with its colour in the overlay, "#rrggbb", and its share in words."""

    name: str
    color: str
    share: str


@dataclass(frozen=True)
class Seen:
    """A picture and its overlay as data URIs; classes with their shares, the largest first.

    `remark` says whose place the model takes, when it is none of those that are compared.
    """

    model: str
    source: str
    picture: str
    overlay: str
    classes: tuple[ClassSeen, ...]
    remark: str = ""


async def look(
    stub: segment_pb2_grpc.SegmentServiceAsyncStub,
    model: str,
    picture: bytes,
    source: str,
    options: Mapping[str, Any],
    *,
    shown: bytes | None = None,
    kind: str = "image/jpeg",
    remark: str = "",
) -> Seen:
    """Segment an encoded picture.

    `options` are keyword arguments of each call, its timeout at least. `shown` is the picture as a
    browser can show it, of the media type `kind`; the picture itself without it.
    """
    reply = await stub.SegmentImage(
        segment_pb2.SegmentImageRequest(
            model=common_pb2.ModelRef(name=model),
            image=images_pb2.Image(encoded=picture),
            output_size=images_pb2.OUTPUT_SIZE_ORIGINAL,
            encoding=images_pb2.LABEL_ENCODING_NONE,
            overlay=images_pb2.OverlayOptions(format=images_pb2.PICTURE_FORMAT_JPEG),
        ),
        **options,
    )
    described = await stub.GetModel(segment_pb2.GetModelRequest(model=reply.model), **options)
    return Seen(
        model=reply.model.name,
        source=source,
        picture=data_uri(shown or picture, kind),
        overlay=data_uri(reply.overlay.data, "image/jpeg"),
        classes=tuple(_classes(reply.classes, described.model)),
        remark=" ".join(filter(None, (remark, _remark(described.model)))),
    )


def _remark(model: models_pb2.Model) -> str:
    if model.weights != common_pb2.WEIGHTS_KIND_REFERENCE:
        return ""
    return (
        f"{model.ref.name} is this project's small demonstration model, trained on drawn scenes: "
        "its labels of photographs mean nothing."
    )


def _classes(
    shares: Sequence[images_pb2.ClassShare], model: models_pb2.Model
) -> Iterable[ClassSeen]:
    colors = {one.id: one.color for one in model.classes}
    for one in shares[:_MOST_CLASSES]:
        if one.share >= LEAST_SHARE:
            yield ClassSeen(
                one.name, f"#{colors.get(one.class_id, 0):06x}", f"{one.share * 100:.1f} %"
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


def in_place_of(compared: Sequence[str]) -> str:
    """Says whose place a model takes."""
    return (
        f"The weights of {joined(sorted(compared))} are not served here, so this model is shown "
        "instead. The picture says nothing about the quality of the compared model."
    )


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


class ServedPictures:
    """What compared models see in a scene that the project drew, computed once for each."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """`channel` goes to segment."""
        self._stub = segment_pb2_grpc.SegmentServiceStub(channel)
        self._seen: dict[tuple[str, str], Seen] = {}

    async def of(self, compared: Sequence[str]) -> Seen | None:
        """The picture of one of these models; None where segment serves none of them, or is away.

        A page waits for it for a few seconds at most.
        """
        options: dict[str, Any] = {"timeout": _PAGE_SECONDS, "wait_for_ready": False}
        try:
            listed = await self._stub.ListModels(segment_pb2.ListModelsRequest(), **options)
            served = [one for one in listed.models if one.ref.name in compared]
            name = chosen(served, compared)
            if name is None:
                return None
            digest = next(one.ref.digest for one in served if one.ref.name == name)
            if (name, digest) not in self._seen:
                seen = await look(
                    self._stub, name, _SCENE.read_bytes(), "a synthetic test scene", options
                )
                if len(self._seen) >= _MOST_SEEN:
                    self._seen.clear()
                self._seen[name, digest] = seen
        except grpc.aio.AioRpcError:
            return None
        return self._seen[name, digest]
