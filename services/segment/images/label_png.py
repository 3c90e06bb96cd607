"""Label maps as PNG files. Pure: zlib and numpy.

Rows are not filtered, and the compressor looks only for repeated bytes: for a label map, whose
neighbours are equal, that takes a third of the time of Pillow's filters and match search, and half
of the bytes.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

from services.segment.engines.engine import Labels

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LEVEL, _WINDOW_BITS, _MEMORY = 1, 15, 9
_GREYSCALE = 0


def label_png(labels: Labels) -> bytes:
    """Return a greyscale PNG of 8 or 16 bits with the values of a (height, width) map."""
    height, width = labels.shape
    item_bytes = labels.dtype.itemsize
    rows = np.zeros(
        (height, 1 + width * item_bytes), np.uint8
    )  # each begins with its filter, 0 (none)
    big_endian = np.ascontiguousarray(labels, labels.dtype.newbyteorder(">"))
    rows[:, 1:] = big_endian.view(np.uint8)
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY, zlib.Z_RLE)
    packed = packer.compress(rows.data) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8 * item_bytes, _GREYSCALE, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    return _SIGNATURE + chunks


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + _checksum(kind + content)


def _checksum(content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content))
