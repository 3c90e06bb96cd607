"""Encoded masks: what is stored is what counts."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.errors import AssayError, BadImage, ImageTooLarge, InvalidArgument
from services.segment.images.mask_files import decode_png, from_values
from tests.segment.images.test_decode import png_header

LIMIT = 10_000
VALUES = np.array([[0, 1, 2], [3, 254, 255]], np.uint8)


def png(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def palette(values: Any) -> Image.Image:
    image = Image.frombytes("P", (values.shape[1], values.shape[0]), values.tobytes())
    image.putpalette([(7 * i) % 256 for i in range(768)])
    return image


def test_stored_values_count() -> None:
    grey = Image.fromarray(VALUES)
    assert np.array_equal(decode_png(png(grey), LIMIT, "mask"), VALUES)
    assert np.array_equal(decode_png(png(palette(VALUES)), LIMIT, "mask"), VALUES)
    wide = VALUES.astype(np.uint16) * 257
    decoded = decode_png(png(Image.fromarray(wide)), LIMIT, "mask")
    assert decoded.dtype == np.uint16
    assert np.array_equal(decoded, wide)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_values_too(bits: int) -> None:
    values = np.arange(2**bits, dtype=np.uint8)[None]
    grey, colours = _grey_png(values, bits), png(palette(values), bits=bits)
    assert np.array_equal(decode_png(grey, LIMIT, "mask"), values)
    assert np.array_equal(decode_png(colours, LIMIT, "mask"), values)


def _grey_png(values: Any, bits: int) -> bytes:
    """A greyscale PNG of one row with that many bits a pixel, which Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    row = "".join(f"{value:0{bits}b}" for value in values[0])
    row += "0" * (-len(row) % 8)
    packed = int(row, 2).to_bytes(len(row) // 8, "big")
    header = struct.pack(">IIBBBBB", values.size, 1, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" + packed))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_no_classes(mode: str) -> None:
    with pytest.raises(BadImage, match=rf"^mask: its pixels are {mode}.*greyscale or palette PNG"):
        decode_png(png(Image.new(mode, (3, 2))), LIMIT, "mask")


def test_other_files_are_refused() -> None:
    file = io.BytesIO()
    Image.fromarray(VALUES).save(file, "BMP")
    for data in (b"", b"mask", file.getvalue(), png(Image.fromarray(VALUES))[:45]):
        with pytest.raises(BadImage, match="not a PNG, damaged or cut off"):
            decode_png(data, LIMIT, "mask")


def test_a_mask_in_many_chunks_is_refused_before_they_are_read() -> None:
    data = png(Image.new("L", (3, 2)))
    chunk = b"\0\0\0\0teXt" + struct.pack(">I", zlib.crc32(b"teXt"))
    with pytest.raises(BadImage, match="more than 65536 chunks"):
        decode_png(data[:33] + chunk * 65_537 + data[33:], LIMIT, "mask")


def test_size_is_checked_before_pixels_are_decoded() -> None:
    with pytest.raises(ImageTooLarge, match="more than 10000 pixels"):
        decode_png(png_header(30_000, 30_000), LIMIT, "mask")
    with pytest.raises(ImageTooLarge, match="200 x 100 = 20000 pixels; at most 10000"):
        decode_png(png_header(200, 100), LIMIT, "mask")
    with pytest.raises(ImageTooLarge):
        from_values(b"", (1 << 20, 1), "<u1", compressed=False, limit=LIMIT, field="mask")
    with pytest.raises(BadImage, match="no pixels"):
        from_values(b"", (0, 3), "<u1", compressed=False, limit=LIMIT, field="mask")


@pytest.mark.parametrize("dtype", ["<u1", "<u2"])
def test_values_raw_and_compressed(dtype: str) -> None:
    values = VALUES.astype(dtype)
    raw = values.tobytes()
    for data in (raw, zstandard.compress(raw)):
        got = from_values(
            data, (2, 3), dtype, compressed=data is not raw, limit=LIMIT, field="mask"
        )
        assert np.array_equal(got, values)


def test_a_frame_that_swells_is_read_no_further_than_needed() -> None:
    bomb = zstandard.compress(bytes(1 << 28))
    with pytest.raises(InvalidArgument, match="7 bytes; 2 x 3 need 6"):
        from_values(bomb, (2, 3), "<u1", compressed=True, limit=LIMIT, field="mask")
    with pytest.raises(InvalidArgument, match=r"mask\.data: not a zstd frame"):
        from_values(b"frame?", (2, 3), "<u1", compressed=True, limit=LIMIT, field="mask")


@given(st.binary(max_size=200), st.integers(0, 120))
def test_damaged_files_are_refused_or_decoded(junk: bytes, place: int) -> None:
    data = png(Image.fromarray(VALUES))
    try:
        decoded = decode_png(data[:place] + junk + data[place + len(junk) :], LIMIT, "mask")
    except AssayError:
        return
    assert decoded.dtype in (np.uint8, np.uint16)
    assert decoded.ndim == 2
