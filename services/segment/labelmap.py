"""A label map's bytes, and how much of it each class covers. Adapter of zstandard and Pillow."""

from __future__ import annotations

import io
from dataclasses import dataclass
from enum import Enum

import numpy as np
import zstandard
from numba import njit
from PIL import Image

from services.segment.upsample import Labels

# Level 1 shrinks a label map thirtyfold in half a millisecond; higher ones cost more than that.
_ZSTD_LEVEL = 1
_PNG_LEVEL = 1


class Encoding(Enum):
    """How a label map's bytes are encoded."""

    RAW = "raw"
    ZSTD = "zstd"
    PNG = "png"


@dataclass(frozen=True)
class Share:
    """Pixels with the label `class_id`, and their share of all pixels in (0, 1]."""

    class_id: int
    pixels: int
    share: float


def encode(labels: Labels, encoding: Encoding) -> bytes:
    """Encode a (height, width) map.

    RAW is its elements, rows first, little-endian; ZSTD one frame of them; PNG a greyscale picture
    of 8 or 16 bits whose values are class ids.
    """
    if encoding is Encoding.PNG:
        file = io.BytesIO()
        Image.fromarray(labels).save(file, "PNG", compress_level=_PNG_LEVEL)
        return file.getvalue()
    raw = np.ascontiguousarray(labels, dtype=labels.dtype.newbyteorder("<"))
    if encoding is Encoding.ZSTD:
        # A compressor is cheap to make and not safe to share between threads.
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(raw.data)
    return raw.tobytes()


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
    """Count each label; the last element counts those that are no class."""
    counts = np.zeros(classes + 1, dtype=np.int64)
    for label in labels:
        counts[min(np.int64(label), classes)] += 1
    return counts
