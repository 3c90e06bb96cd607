"""Limits on the size of pictures and on a file's decoding work, checked before decoding.

A number of pixels limits neither time nor memory: a few kilobytes can contain a hundred thousand
scans of one JPEG, millions of segments, or a tile much larger than the picture. Ordinary files are
far from every limit here. Pure: numpy.
"""

from __future__ import annotations

import re

import numpy as np

from services.errors import BadImage, ImageTooLarge, InvalidArgument

# Resizing or upsampling a picture one pixel high takes several times its own memory.
MAX_SIDE = 32_768


def check_size(
    height: int,
    width: int,
    max_pixels: int,
    field: str,
    *,
    empty: type[InvalidArgument] = BadImage,
    large: type[InvalidArgument] = ImageTooLarge,
) -> None:
    """Raise `empty` if there are no pixels, `large` above `max_pixels` or MAX_SIDE a side."""
    if height < 1 or width < 1:
        raise empty(field, f"{width} x {height} has no pixels: both sides must be at least 1")
    if height * width > max_pixels or max(height, width) > MAX_SIDE:
        raise large(
            field,
            f"{width} x {height} = {width * height} pixels; at most {max_pixels} "
            f"(ASSAY_SEGMENT_MAX_PIXELS of the server), and {MAX_SIDE} a side, are taken: "
            f"{'choose a smaller size' if large is InvalidArgument else 'send a smaller one'}",
        )


# Progressive files have about ten scans; each costs a pass over all coefficients.
MAX_SCANS = 100
# Cameras write a few dozen segments, PNG writers a chunk for every 8 KiB. Pillow reads them in
# Python, in a microsecond or several each.
MAX_PIECES = 65_536
# Pillow decodes these in Python: half a second for this many pixels.
MAX_RLE_PIXELS = 1_048_576

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_GIF = (b"GIF87a", b"GIF89a")
# A marker other than stuffing, restarts and filling.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_TO_MARKER = re.compile(rb"[^\xff]*\xff+")
# Markers without a length: stuffing, TEM, restarts, start and end of image.
_BARE = frozenset({0x00, 0x01, *range(0xD0, 0xDA)})
_SCAN, _END = 0xDA, 0xD9
_EXTENSION, _FRAME, _TRAILER = b"!,;"


def check_pieces(data: bytes, field: str) -> None:
    """Raise BadImage if a JPEG, PNG or GIF has too many segments, chunks, blocks or scans.

    A damaged file passes: its decoder reports the damage.
    """
    if data.startswith(_PNG):
        _check_chunks(data, field)
    elif data.startswith(_JPEG):
        first = _first_scan(data, field)
        if first is not None and _scan_markers(data, first) > MAX_SCANS:
            _check_scans(data, first, field)
    elif data.startswith(_GIF):
        _check_blocks(data, field)


def check_tile(width: object, height: object, max_pixels: int, field: str) -> None:
    """Raise BadImage if a TIFF's tiles, each decoded whole, have more than `max_pixels` pixels."""
    across, down = _largest(width), _largest(height)
    if across * down > max_pixels:
        raise BadImage(field, f"tiles of {across} x {down} pixels; save it with smaller tiles")


def _largest(tag: object) -> int:
    """Return the largest value of a TIFF tag in the file; 0 if the tag is absent."""
    values = tag if isinstance(tag, tuple) else (tag,)
    return max((int(value) for value in values if isinstance(value, int | float)), default=0)


def check_run_lengths(pixels: int, field: str) -> None:
    """Raise BadImage if a run-length encoded BMP has more than MAX_RLE_PIXELS pixels."""
    if pixels > MAX_RLE_PIXELS:
        raise BadImage(
            field,
            f"a run-length encoded BMP of {pixels} pixels, at most {MAX_RLE_PIXELS} are decoded: "
            "send it uncompressed or as PNG",
        )


def _check_chunks(data: bytes, field: str) -> None:
    offset = len(_PNG)
    for _ in range(MAX_PIECES):
        if offset + 12 > len(data):
            return
        offset += 12 + int.from_bytes(data[offset : offset + 4], "big")
    raise BadImage(field, f"more than {MAX_PIECES} chunks; save it again with larger ones")


def _first_scan(data: bytes, field: str) -> int | None:
    """Walk the segments before a JPEG's first scan; return where it starts, if there is one."""
    offset, pieces = 2, 0
    while pieces <= MAX_PIECES:
        found = _TO_MARKER.match(data, offset)
        if found is None or found.end() >= len(data):
            stray = len(data) - offset
            offset = len(data)
        else:
            stray = found.end() - offset - 1
            offset = found.end() + 1
        pieces += 1 + stray  # bytes between segments are read one by one
        if offset >= len(data):
            if pieces <= MAX_PIECES:
                return None
            break
        marker = data[offset - 1]
        if marker == _SCAN:
            return offset - 2
        if marker not in _BARE:
            offset += int.from_bytes(data[offset : offset + 2], "big")
    raise BadImage(
        field, f"more than {MAX_PIECES} segments and stray bytes; save it again without metadata"
    )


def _scan_markers(data: bytes, first: int) -> int:
    """Count apparent starts of scans from `first` on; bytes.count would be slower."""
    values = np.frombuffer(data, dtype=np.uint8, offset=first)
    behind = np.flatnonzero(values[:-1] == 0xFF) + 1
    return int(np.count_nonzero(values[behind] == _SCAN))


def _check_scans(data: bytes, first: int, field: str) -> None:
    """Count the scans of a JPEG's first image, which starts at `first`."""
    offset, scans = first, 0
    while (found := _MARKER.search(data, offset)) is not None:
        marker, offset = data[found.start() + 1], found.end()
        if marker == _END:
            return
        scans += marker == _SCAN
        if scans > MAX_SCANS:
            raise BadImage(field, f"more than {MAX_SCANS} scans; save it again with fewer")
        if marker not in _BARE:
            offset += int.from_bytes(data[offset : offset + 2], "big")


def _check_blocks(data: bytes, field: str) -> None:
    """Count the blocks, and stray bytes, before a GIF's first frame."""
    if len(data) < 13:
        return
    flags = data[10]
    offset = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    inside = False  # in an extension: each block begins with its size, the last with 0
    for _ in range(MAX_PIECES):
        if offset >= len(data):
            return
        first = data[offset]
        if inside:
            inside = first > 0
            offset += 1 + first
        elif first in {_FRAME, _TRAILER}:
            return
        else:
            inside = first == _EXTENSION
            offset += 2 if inside else 1
    raise BadImage(field, f"more than {MAX_PIECES} blocks; save it again without metadata")
