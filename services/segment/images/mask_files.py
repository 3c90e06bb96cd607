"""Encoded masks to arrays of their stored values. Adapter of Pillow and zstandard.

A mask's values are numbers rather than brightness: nothing is scaled, no palette is looked up and
no orientation applied.
"""

from __future__ import annotations

import io
import math

import numpy as np
import zstandard
from numpy.typing import NDArray
from PIL import Image

from services.errors import BadImage, ImageTooLarge, InvalidArgument
from services.segment.engines.engine import Labels
from services.segment.images.limits import check_pieces, check_size

# Start of a PNG: signature, length and name of its first chunk, width, height; then two bytes.
_DEPTH_AT, _COLOR_AT = 24, 25
_GREY, _PALETTE = 0, 3
_WANTED = "a greyscale or palette PNG whose values are class ids is needed"


def decode_png(data: bytes, max_pixels: int, field: str) -> Labels:
    """Return the (height, width) stored values: uint16 for a 16-bit file, else uint8.

    Raises BadImage if the bytes are not such a PNG or have too many chunks; ImageTooLarge, before
    pixels are decoded, above `max_pixels` pixels or too long a side.
    """
    try:
        check_pieces(data, field)
        image = Image.open(io.BytesIO(data), formats=("PNG",))
        check_size(image.height, image.width, max_pixels, field)
        depth, color = data[_DEPTH_AT], data[_COLOR_AT]
        _check_color(color, image.mode, field)
        image.load()
        values = np.asarray(image)
    except (InvalidArgument, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(field, f"more than {max_pixels} pixels") from error
    except Exception as error:
        # As for pictures: Pillow raises a dozen classes on hostile bytes, all treated alike.
        raise BadImage(field, f"not a PNG, damaged or cut off ({error}); {_WANTED}") from error
    if depth == 16:
        return values.astype(np.uint16)
    if color == _GREY and depth < 8:
        # Pillow stretches 1, 2 and 4 bits to the range of brightness: restore the stored values.
        if values.dtype == np.bool_:
            return values.astype(np.uint8)
        values = values // (255 // (2**depth - 1))
    return values.astype(np.uint8)


def from_values(
    data: bytes, shape: tuple[int, int], dtype: str, *, compressed: bool, limit: int, field: str
) -> Labels:
    """Return the (height, width) array of little-endian elements, raw or as one zstd frame.

    Raises InvalidArgument if the bytes don't fit the shape, ImageTooLarge above `limit` pixels.
    """
    check_size(*shape, limit, field)
    needed = math.prod(shape) * np.dtype(dtype).itemsize
    if compressed:
        data = _decompressed(data, needed, field)
    if len(data) != needed:
        raise InvalidArgument(
            f"{field}.data", f"{len(data)} bytes; {shape[0]} x {shape[1]} need {needed}"
        )
    values: NDArray[np.uint8] | NDArray[np.uint16] = np.frombuffer(data, dtype).reshape(shape)
    return values


def _check_color(color: int, mode: str, field: str) -> None:
    if color not in {_GREY, _PALETTE}:
        raise BadImage(field, f"its pixels are {mode}; {_WANTED}")


def _decompressed(data: bytes, needed: int, field: str) -> bytes:
    """Return at most one byte more than needed, whatever size the frame states."""
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            return reader.read(needed + 1)
    except zstandard.ZstdError as error:
        raise InvalidArgument(f"{field}.data", f"not a zstd frame: {error}") from error
