"""Tensors that clients of the Open Inference Protocol send: their checks, and their pictures.

Pure. A tensor becomes one function for each picture. Checks that do not touch the elements run at
once; the others run when the function is called.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import InvalidArgument
from services.segment.manifest import Manifest
from services.segment.windows.options import MAX_GROWTH, MIN_SIDE

MAX_PICTURES = 64
"""Most pictures in a request."""
_PREFIX = 4  # bytes of the length before an element of type BYTES
_LITTLE_FLOATS: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "FP16": np.dtype("<f2")}

Pixels = NDArray[np.float32]


def check_count(count: int, field: str) -> None:
    """Raise InvalidArgument unless a request may have `count` pictures."""
    if not 1 <= count <= MAX_PICTURES:
        raise InvalidArgument(field, f"{count} pictures; 1 to {MAX_PICTURES} a request are taken")


def check_pixels_shape(shape: Sequence[int], manifest: Manifest, field: str) -> None:
    """Raise InvalidArgument unless the model computes tensors of `shape`."""
    if len(shape) != 4 or shape[1] != 3:
        raise InvalidArgument(field, f"{list(shape)}; [N, 3, {_sizes(manifest)}] is taken")
    check_count(shape[0], field)
    height, width = shape[2:]
    how = manifest.preprocessing
    if (height, width) == (how.height, how.width):
        return
    if not manifest.graph.dynamic_size:
        raise InvalidArgument(field, f"{height} x {width}; this model takes {_sizes(manifest)}")
    most = MAX_GROWTH * how.height * how.width
    if min(height, width) < MIN_SIDE or height * width > most:
        raise InvalidArgument(
            field,
            f"{height} x {width}; {MIN_SIDE} pixels a side or more are taken, {most} at most in "
            f"all; this model was made for {how.height} x {how.width}",
        )


def from_raw(
    raw: bytes, shape: Sequence[int], field: str, datatype: str = "FP32"
) -> list[Callable[[], Pixels]]:
    """Return a function for each (3, H, W) of little-endian elements; float32 is not copied.

    Raises InvalidArgument if the bytes don't fit the shape; the functions raise it if elements are
    not finite.
    """
    kind = _LITTLE_FLOATS[datatype]
    needed = math.prod(shape) * kind.itemsize
    if len(raw) != needed:
        raise InvalidArgument(field, f"{len(raw)} bytes; {list(shape)} of {datatype} has {needed}")
    tensor = np.frombuffer(raw, kind).reshape(shape)
    return [partial(_finite, picture, index, field) for index, picture in enumerate(tensor)]


def from_numbers(
    numbers: Sequence[float], shape: Sequence[int], field: str
) -> list[Callable[[], Pixels]]:
    """Return a function for each (3, H, W) of a flat sequence; raises as `from_raw` does."""
    if len(numbers) != math.prod(shape):
        raise InvalidArgument(
            field, f"{len(numbers)} elements; {list(shape)} has {math.prod(shape)}"
        )
    size = math.prod(shape[1:])

    def picture(index: int) -> Pixels:
        part = np.array(numbers[index * size : (index + 1) * size], np.float32)
        return _finite(part.reshape(shape[1:]), index, field)

    return [partial(picture, index) for index in range(shape[0])]


def split(raw: bytes, count: int, field: str) -> list[bytes]:
    """Return the `count` elements of type BYTES: each is preceded by its length in four bytes.

    Raises InvalidArgument if the lengths don't add up to the size of the contents.
    """
    elements: list[bytes] = []
    at = 0
    while at < len(raw) and len(elements) < count:
        if at + _PREFIX > len(raw):
            raise InvalidArgument(field, f"cut off within the length of element {len(elements)}")
        size = int.from_bytes(raw[at : at + _PREFIX], "little")
        at += _PREFIX
        if size > len(raw) - at:
            raise InvalidArgument(
                field,
                f"element {len(elements)} says that it has {size} bytes and {len(raw) - at} are "
                "left: put its length before each element, in four bytes, the lowest first",
            )
        elements.append(raw[at : at + size])
        at += size
    if len(elements) != count or at != len(raw):
        raise InvalidArgument(
            field, f"{len(elements)} elements and {len(raw) - at} bytes more; {count} are declared"
        )
    return elements


def _finite(pixels: Pixels, index: int, field: str) -> Pixels:
    """Return the pixels in float32, checked by their extremes: those show any non-finite value."""
    if not math.isfinite(pixels.min()) or not math.isfinite(pixels.max()):
        raise InvalidArgument(field, f"picture {index} has a value that is not finite")
    return pixels.astype(np.float32, copy=False)


def _sizes(manifest: Manifest) -> str:
    return f"{manifest.preprocessing.height}, {manifest.preprocessing.width}"
