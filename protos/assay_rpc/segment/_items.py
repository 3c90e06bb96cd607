"""Requests of the segment service's clients, from plain arguments, and labels from its replies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, runtime_checkable

import grpc

from assay_rpc.common.v1 import common_pb2
from assay_rpc.errors import AssayError, DataLoss
from assay_rpc.segment.v1 import images_pb2, models_pb2, segment_pb2

try:
    import zstandard
except ImportError:
    _ENCODING = images_pb2.LABEL_ENCODING_RAW
else:
    _ENCODING = images_pb2.LABEL_ENCODING_ZSTD

_PRIORITIES = {
    "high": segment_pb2.PRIORITY_HIGH,
    "normal": segment_pb2.PRIORITY_NORMAL,
    "low": segment_pb2.PRIORITY_LOW,
}
_FORMATS = {
    "jpeg": images_pb2.PICTURE_FORMAT_JPEG,
    "png": images_pb2.PICTURE_FORMAT_PNG,
}
_BYTES = {images_pb2.LABEL_TYPE_UINT8: 1, images_pb2.LABEL_TYPE_UINT16: 2}


@runtime_checkable
class Pixels(Protocol):
    """An array of pixels, such as numpy's: height x width x 3 (R, G, B) of uint8."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def tobytes(self) -> bytes: ...


@runtime_checkable
class Picture(Protocol):
    """An opened image, such as Pillow's. It is sent as its array shows it: nothing is turned."""

    @property
    def mode(self) -> str: ...
    @property
    def size(self) -> tuple[int, int]: ...
    def convert(self, mode: str) -> Any: ...
    def tobytes(self) -> bytes: ...


ImageLike = bytes | str | os.PathLike[str] | Pixels | Picture
"""A whole encoded file, the path of one, pixels, or an opened image."""


class LabelOptions(TypedDict, total=False):
    """How images are labelled.

    `model` may be empty where only one is served. `size` is (height, width) of the labels, which
    otherwise have the image's own; `classes` are the only ones that count. `overlay` requests the
    image with its classes in colour. `inference` says how images go through the model, where not as
    its preprocessing does; `threshold` is the probability above which the second of two classes is
    the label.
    """

    model: str
    size: tuple[int, int] | None
    classes: Sequence[int]
    priority: Literal["high", "normal", "low"]
    overlay: Literal["jpeg", "png"] | None
    inference: models_pb2.Inference | None
    threshold: float | None


@dataclass(frozen=True, slots=True)
class LabelledClass:
    """A class that is present: its pixels, and their share of all."""

    id: int
    name: str
    pixels: int
    share: float


@dataclass(frozen=True, slots=True)
class Labels:
    """The class id of each pixel.

    `data` has height x width elements row by row, each of `item_bytes` bytes, little-endian. Pixels
    that a filter leaves out are `filtered_value`. `reply` is the whole answer, with the shares of
    the classes and the timings.
    """

    height: int
    width: int
    item_bytes: int
    data: bytes
    filtered_value: int | None
    reply: segment_pb2.SegmentImageResponse

    def numpy(self) -> Any:
        """The labels as a numpy array of height x width; needs numpy."""
        import numpy as np  # noqa: PLC0415  # the package does not need it otherwise

        kind = np.dtype(f"<u{self.item_bytes}")
        return np.frombuffer(self.data, kind).reshape(self.height, self.width)

    @property
    def array(self) -> Any:
        """The same."""
        return self.numpy()

    @property
    def classes(self) -> tuple[LabelledClass, ...]:
        """The classes that are present, largest share first."""
        return tuple(
            LabelledClass(one.class_id, one.name, one.pixels, one.share)
            for one in self.reply.classes
        )

    @property
    def overlay(self) -> bytes | None:
        """The file of the image with its classes in colour; None unless it was requested."""
        return self.reply.overlay.data or None


def label_request(
    image: ImageLike,
    *,
    model: str = "",
    size: tuple[int, int] | None = None,
    classes: Sequence[int] = (),
    priority: str = "normal",
    overlay: str | None = None,
    inference: models_pb2.Inference | None = None,
    threshold: float | None = None,
) -> segment_pb2.SegmentImageRequest:
    """Label one image.

    Raises ValueError for an unknown priority or format of the overlay and for pixels of another
    shape, and OSError for a file that cannot be read.
    """
    if priority not in _PRIORITIES:
        raise ValueError(f"priority: {priority!r} is none of {', '.join(_PRIORITIES)}")
    request = segment_pb2.SegmentImageRequest(
        model=common_pb2.ModelRef(name=model),
        image=_image(image),
        encoding=_ENCODING,
        classes=classes,
        priority=_PRIORITIES[priority],
        inference=inference,
        threshold=threshold,
    )
    if overlay is not None:
        if overlay not in _FORMATS:
            raise ValueError(f"overlay: {overlay!r} is none of {', '.join(_FORMATS)}")
        request.overlay.format = _FORMATS[overlay]
    if size is not None:
        request.output_size = images_pb2.OUTPUT_SIZE_GIVEN
        request.size.height, request.size.width = size
    return request


def _image(image: ImageLike) -> images_pb2.Image:
    if isinstance(image, bytes):
        return images_pb2.Image(encoded=image)
    if isinstance(image, str | os.PathLike):
        return images_pb2.Image(encoded=Path(image).read_bytes())
    if isinstance(image, Picture):
        width, height = image.size
        rgb = image.convert("RGB").tobytes()
        return images_pb2.Image(pixels=images_pb2.PixelTensor(height=height, width=width, rgb=rgb))
    shape, kind = tuple(image.shape), str(image.dtype)
    if len(shape) != 3 or shape[2] != 3 or kind != "uint8":
        raise ValueError(f"pixels must be height x width x 3 of uint8, not {shape} of {kind}")
    height, width, _ = shape
    return images_pb2.Image(
        pixels=images_pb2.PixelTensor(height=height, width=width, rgb=image.tobytes())
    )


def labels_of(reply: segment_pb2.SegmentImageResponse) -> Labels:
    """Decode the labels of a reply, no further than its stated size. Raises DataLoss."""
    labels = reply.labels
    item = _BYTES.get(labels.type)
    if item is None:
        raise _damaged(f"elements of type {labels.type}, which this client does not know")
    size = labels.height * labels.width * item
    data = labels.data
    if labels.encoding == images_pb2.LABEL_ENCODING_ZSTD:
        data = _decompressed(data, size)
    if len(data) != size:
        raise _damaged(f"{len(data)} bytes instead of {size}")
    return Labels(
        height=labels.height,
        width=labels.width,
        item_bytes=item,
        data=data,
        filtered_value=labels.filtered_value if labels.HasField("filtered_value") else None,
        reply=reply,
    )


def answer_of(reply: segment_pb2.SegmentImagesResponse) -> Labels | AssayError:
    """The labels of an item, or why there are none."""
    if reply.WhichOneof("outcome") == "error":
        return AssayError.of_item(reply.error)
    return labels_of(reply.result)


def _decompressed(data: bytes, size: int) -> bytes:
    try:
        # A size in the frame's own header rules, whatever limit is given.
        if zstandard.frame_content_size(data) not in {-1, size}:
            raise _damaged(f"not the {size} bytes of its size")
        content: bytes = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise _damaged(str(error)) from error
    return content


def _damaged(why: str) -> DataLoss:
    return DataLoss(f"the labels arrived damaged: {why}", code=grpc.StatusCode.DATA_LOSS)
