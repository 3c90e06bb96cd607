"""A label map's bytes, and the share of it that each class covers. Adapter of zstandard."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

import numpy as np
import zstandard
from numba import njit
from numpy.typing import NDArray

from services.segment.engines.engine import Labels
from services.segment.images.label_png import label_png

# Level 1 shrinks a label map thirtyfold in half a millisecond; higher ones cost more than that.
_ZSTD_LEVEL = 1
# The values for pixels that a filter leaves out, by the bytes of a label.
OTHER = {1: 255, 2: 65_535}
_local = threading.local()


class Encoding(Enum):
    """How a label map is returned: as bytes, as a mask for each class, or not at all."""

    RAW = "raw"
    ZSTD = "zstd"
    PNG = "png"
    COCO_RLE = "COCO masks"
    NONE = "nothing"


@dataclass(frozen=True)
class Share:
    """Pixels with the label `class_id`, and their share of all pixels in (0, 1]."""

    class_id: int
    pixels: int
    share: float


def encode(labels: Labels, encoding: Encoding) -> bytes:
    """Encode a (height, width) map as bytes.

    RAW is its elements, rows first, little-endian; ZSTD is one frame of those; PNG is a greyscale
    picture of 8 or 16 bits whose values are class ids. Raises ValueError for other encodings.
    """
    if encoding is Encoding.ZSTD:
        return compressed(labels)
    if encoding is Encoding.PNG:
        return label_png(labels)
    if encoding is Encoding.RAW:
        return _little_endian(labels).tobytes()
    raise ValueError(f"a map as {encoding.value} has no bytes")


def compressed(values: Labels) -> bytes:
    """Return one zstd frame of the elements, rows first, little-endian."""
    compressor: zstandard.ZstdCompressor | None = getattr(_local, "compressor", None)
    if compressor is None:  # one for each thread: sharing is unsafe, and it keeps its buffers
        compressor = _local.compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL)
    return compressor.compress(_little_endian(values).data)


def keep(labels: Labels, wanted: Iterable[int], classes: int) -> tuple[Labels, int]:
    """Return the map with all but the `wanted` of `classes` classes replaced, and the replacement.

    The replacement is 255 if that is not a class, otherwise 65535, in two bytes.
    """
    other = OTHER[1 if classes <= OTHER[1] else 2]
    kind: type[np.uint8 | np.uint16] = np.uint8 if other == OTHER[1] else np.uint16
    table = np.full(1 << 8 * labels.dtype.itemsize, other, dtype=kind)
    kept = list(wanted)
    table[kept] = kept
    return cast("Labels", table[labels]), other


def shares(labels: Labels, classes: int) -> list[Share]:
    """Return the classes that are present, largest share first, then by id.

    Raises ValueError if a label is not below `classes`.
    """
    counts = _count(np.ascontiguousarray(labels).reshape(-1), classes).tolist()
    if counts[classes]:
        raise ValueError(f"{counts[classes]} labels are not below {classes}")
    present = [(pixels, index) for index, pixels in enumerate(counts) if pixels]
    present.sort(key=lambda item: (-item[0], item[1]))
    return [Share(index, pixels, pixels / labels.size) for pixels, index in present]


def warm() -> None:
    """Compile the counting kernel for both label types, or load it from numba's cache."""
    shares(np.zeros((1, 1), dtype=np.uint8), 1)
    shares(np.zeros((1, 1), dtype=np.uint16), 1)


@njit(cache=True, nogil=True)
def _count(labels, classes):  # type: ignore[no-untyped-def]
    """Count each label; the last element counts labels that are not classes."""
    counts = np.zeros(classes + 1, dtype=np.int64)
    for label in labels:
        counts[min(np.int64(label), classes)] += 1
    return counts


def _little_endian(values: Labels) -> NDArray[Any]:
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
