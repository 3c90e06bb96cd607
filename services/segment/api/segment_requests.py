"""SegmentImage's request as plain values."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from assay_rpc.segment.v1 import images_pb2, segment_pb2
from PIL import Image

from services.errors import InvalidArgument
from services.segment.batching.ticket import Priority
from services.segment.images.decode import decode, from_pixels
from services.segment.images.label_map import Encoding
from services.segment.images.limits import check_size
from services.segment.images.outputs import GivenSize, ModelSize, OriginalSize, Wanted
from services.segment.images.overlay import DEFAULT_OPACITY, OverlayStyle, PictureFormat

_MAX_CLASSES = 65_536
_ENCODINGS = {
    images_pb2.LABEL_ENCODING_UNSPECIFIED: Encoding.ZSTD,
    images_pb2.LABEL_ENCODING_RAW: Encoding.RAW,
    images_pb2.LABEL_ENCODING_ZSTD: Encoding.ZSTD,
    images_pb2.LABEL_ENCODING_PNG: Encoding.PNG,
    images_pb2.LABEL_ENCODING_COCO_RLE: Encoding.COCO_RLE,
    images_pb2.LABEL_ENCODING_NONE: Encoding.NONE,
}
_FORMATS = {
    images_pb2.PICTURE_FORMAT_UNSPECIFIED: PictureFormat.JPEG,
    images_pb2.PICTURE_FORMAT_JPEG: PictureFormat.JPEG,
    images_pb2.PICTURE_FORMAT_PNG: PictureFormat.PNG,
}
_PRIORITIES = {
    segment_pb2.PRIORITY_UNSPECIFIED: Priority.NORMAL,
    segment_pb2.PRIORITY_HIGH: Priority.HIGH,
    segment_pb2.PRIORITY_NORMAL: Priority.NORMAL,
    segment_pb2.PRIORITY_LOW: Priority.LOW,
}


def wanted(request: segment_pb2.SegmentImageRequest, max_pixels: int) -> Wanted:
    """Return the requested outputs; a requested size has at most `max_pixels` pixels.

    Raises InvalidArgument that names the field.
    """
    if request.encoding not in _ENCODINGS:
        raise InvalidArgument("encoding", f"{request.encoding} is not an encoding")
    if len(request.classes) > _MAX_CLASSES:
        raise InvalidArgument(
            "classes", f"{len(request.classes)} ids; give at most {_MAX_CLASSES}, each once"
        )
    return Wanted(
        size=_size(request, max_pixels),
        encoding=_ENCODINGS[request.encoding],
        classes=frozenset(request.classes),
        top=request.top_k,
        overlay=_style(request.overlay) if request.HasField("overlay") else None,
        threshold=request.threshold if request.HasField("threshold") else None,
    )


def picture(
    image: images_pb2.Image, max_pixels: int, field: str = "image"
) -> tuple[Callable[[], Image.Image], int]:
    """Return a function that decodes the picture, and the size of its bytes in the request.

    Errors name `field`, or a field in it. Raises InvalidArgument if there is no picture.
    """
    kind = image.WhichOneof("source")
    if kind == "encoded":
        encoded = image.encoded
        return partial(decode, encoded, max_pixels, f"{field}.encoded"), len(encoded)
    if kind == "pixels":
        given = image.pixels
        size = given.height, given.width
        check_size(*size, max_pixels, f"{field}.pixels", empty=InvalidArgument)

        def read() -> Image.Image:
            # Every access to the bytes copies them, so it is left to the thread that decodes.
            return from_pixels(given.rgb, *size, max_pixels, f"{field}.pixels")

        # The stated size; bytes of another size are refused when they are read.
        return read, math.prod(size) * 3
    raise InvalidArgument(field, "give either `encoded` or `pixels`")


def priority(request: segment_pb2.SegmentImageRequest) -> Priority:
    """Return the priority. Raises InvalidArgument for an unknown one."""
    if request.priority not in _PRIORITIES:
        raise InvalidArgument("priority", f"{request.priority} is not a priority")
    return _PRIORITIES[request.priority]


def _size(
    request: segment_pb2.SegmentImageRequest, max_pixels: int
) -> OriginalSize | ModelSize | GivenSize:
    kind = request.output_size
    if kind == images_pb2.OUTPUT_SIZE_GIVEN:
        height, width = request.size.height, request.size.width
        given = InvalidArgument  # it is not a picture
        check_size(height, width, max_pixels, "size", empty=given, large=given)
        return GivenSize(height, width)
    if request.HasField("size"):
        raise InvalidArgument("size", "it counts with OUTPUT_SIZE_GIVEN only: set `output_size`")
    if kind == images_pb2.OUTPUT_SIZE_MODEL:
        return ModelSize()
    if kind in (images_pb2.OUTPUT_SIZE_UNSPECIFIED, images_pb2.OUTPUT_SIZE_ORIGINAL):
        return OriginalSize()
    raise InvalidArgument("output_size", f"{kind} is not a size")


def _style(options: images_pb2.OverlayOptions) -> OverlayStyle:
    if options.format not in _FORMATS:
        raise InvalidArgument("overlay.format", f"{options.format} is not a format")
    opacity = options.opacity if options.HasField("opacity") else DEFAULT_OPACITY
    if not 0 < opacity <= 1:
        raise InvalidArgument("overlay.opacity", f"{opacity:g}; give more than 0 and at most 1")
    return OverlayStyle(_FORMATS[options.format], opacity)
