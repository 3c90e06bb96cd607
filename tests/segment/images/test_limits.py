"""Files that would take their decoder long, or much memory, and their honest neighbours."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from services.errors import BadImage, ImageTooLarge
from services.segment.images.decode import decode
from services.segment.images.limits import MAX_PIECES, MAX_SCANS, MAX_SIDE, check_pieces
from tests.segment.images.test_decode import png_header

LIMIT = 1_000_000
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def encoded(kind: str, picture: Image.Image = PICTURE, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def refused(data: bytes, says: str) -> None:
    with pytest.raises(BadImage, match=says):
        decode(data, LIMIT)


def scans(count: int) -> bytes:
    """A progressive JPEG with its last scan repeated up to so many; it has ten."""
    data = encoded("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * (count - data.count(b"\xff\xda")) + data[-2:]


def test_a_jpeg_with_many_scans() -> None:
    assert decode(scans(MAX_SCANS), LIMIT).size == (30, 20)
    refused(scans(MAX_SCANS + 1), "more than 100 scans; save it again")


def test_scans_behind_the_first_image_do_not_count() -> None:
    """Cameras append films and further pictures, in whose bytes anything may occur."""
    data = scans(MAX_SCANS) + b"\xff\xda\0\2" * 1000
    assert decode(data, LIMIT).size == (30, 20)


@pytest.mark.parametrize("piece", [b"\xff\xe0\0\2", b"\xff", b"\xff\xd0", b"junk", b"\xff\x00"])
def test_a_jpeg_in_many_segments(piece: bytes) -> None:
    data = encoded("JPEG")
    assert decode(data[:2] + b"\xff\xe0\0\2" * 1000 + data[2:], LIMIT).size == (30, 20)
    filled = data[:2] + b"\xff\xe0\0\2" + piece * (MAX_PIECES + 1) + data[2:]
    refused(filled, "more than 65536 segments")


def test_a_png_in_many_chunks() -> None:
    data = encoded("PNG")
    chunk = b"\0\0\0\0teXt" + struct.pack(">I", zlib.crc32(b"teXt"))
    assert decode(data[:33] + chunk * 1000 + data[33:], LIMIT).size == (30, 20)
    refused(data[:33] + chunk * (MAX_PIECES + 1) + data[33:], "more than 65536 chunks")


@pytest.mark.parametrize("piece", [b"!\xfe\0", b"!\xfe\3abc\0", b"\0", b"x"])
def test_a_gif_in_many_blocks(piece: bytes) -> None:
    data = encoded("GIF")
    start = 13 + (3 << (data[10] & 7) + 1)
    assert decode(data[:start] + piece * 1000 + data[start:], LIMIT).size == (30, 20)
    refused(data[:start] + piece * (MAX_PIECES + 1) + data[start:], "more than 65536 blocks")


def test_a_gif_with_a_long_comment() -> None:
    data = encoded("GIF", comment=b"words " * 10_000)
    assert decode(data, LIMIT).size == (30, 20)


SEEDS = [encoded("JPEG"), encoded("JPEG", progressive=True), encoded("PNG")]
SEEDS += [encoded("GIF"), encoded("GIF", comment=b"words " * 100)]


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    st.integers(0, 3000),
)
def test_the_walk_ends_on_any_bytes(data: bytes, edits: list[tuple[int, int]], kept: int) -> None:
    damaged = bytearray(data)
    for place, value in edits:
        damaged[place % len(damaged)] = value
    check_pieces(bytes(damaged[:kept]), "image")


def tiled_tiff(tile: tuple[int, int], packed: bytes) -> bytes:
    """A deflated greyscale TIFF of 16 x 16 pixels in one tile of any (width, height)."""
    fields = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1)]
    fields += [(322, tile[0]), (323, tile[1]), (324, 8 + 2 + 12 * 10 + 4), (325, len(packed))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4) + packed


def test_a_tiff_tile_far_larger_than_its_picture() -> None:
    """Its megabyte would be unpacked to a gigabyte for 256 pixels."""
    honest = tiled_tiff((32, 32), zlib.compress(bytes(1024)))
    assert decode(honest, LIMIT).size == (16, 16)
    refused(tiled_tiff((32_768, 32_768), zlib.compress(bytes(1 << 20))), "tiles of 32768 x 32768")


def run_length_bmp(width: int, height: int, body: bytes) -> bytes:
    start = 54 + 1024
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + bytes(1024) + body


def test_a_run_length_bmp() -> None:
    """Pillow unpacks it in Python: five seconds for the five kilobytes of a large one."""
    rows = b"\x08\x01\0\0" * 4 + b"\0\1"
    assert decode(run_length_bmp(8, 4, rows), LIMIT).size == (8, 4)
    with pytest.raises(BadImage, match=r"run-length encoded BMP .* send it uncompressed or as PNG"):
        decode(run_length_bmp(32_000, 1000, b"\1\1\0\0" * 1000), 10**8)


@pytest.mark.parametrize("kind", [b"iTXt", b"zTXt", b"iCCP"])
def test_a_png_whose_metadata_is_a_bomb(kind: bytes) -> None:
    """64 MiB in 64 KiB: Pillow unpacks a megabyte and refuses."""
    packed = zlib.compress(bytes(1 << 26), 9)
    name = b"bomb\0" + {b"iTXt": b"\1\0\0\0", b"zTXt": b"\0", b"iCCP": b"\0"}[kind]
    data = encoded("PNG")
    body = name + packed
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    refused(data[:33] + chunk + data[33:], "damaged or cut off")


@pytest.mark.parametrize("compression", ["tiff_adobe_deflate", "tiff_lzw", "packbits"])
def test_a_tiff_bomb_is_refused_by_its_size(compression: str) -> None:
    data = encoded("TIFF", Image.new("L", (4000, 4000)), compression=compression)
    assert len(data) < 300_000
    with pytest.raises(ImageTooLarge, match="4000 x 4000 = 16000000 pixels"):
        decode(data, LIMIT)


def test_headers_of_enormous_pictures() -> None:
    with pytest.raises(ImageTooLarge):
        decode(png_header(30_000, 30_000), LIMIT)
    webp = bytearray(encoded("WEBP", lossless=True))
    webp[21:25] = struct.pack("<I", 16_383 | 16_383 << 14)
    with pytest.raises((ImageTooLarge, BadImage)):
        decode(bytes(webp), LIMIT)
    gif = bytearray(encoded("GIF"))
    gif[6:10] = struct.pack("<HH", 65_535, 65_535)
    with pytest.raises(ImageTooLarge):
        decode(bytes(gif), LIMIT)
    bmp = bytearray(encoded("BMP"))
    bmp[18:26] = struct.pack("<ii", MAX_SIDE + 1, 1)
    with pytest.raises(ImageTooLarge, match="a side"):
        decode(bytes(bmp), LIMIT)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_cut_is_a_picture_or_refused(kind: str) -> None:
    """No length of a file is an unclear error; none short of its pixels is a picture."""
    data = encoded(kind)
    for length in range(len(data)):
        try:
            picture = decode(data[:length], LIMIT)
        except (BadImage, ImageTooLarge):
            continue
        assert picture.size == (30, 20)
        assert length > len(data) // 2


@pytest.mark.parametrize("sides", [(0, 20), (30, 0), (0, 0)])
def test_a_picture_without_pixels(sides: tuple[int, int]) -> None:
    bmp = bytearray(encoded("BMP"))
    bmp[18:26] = struct.pack("<ii", *sides)
    refused(bytes(bmp), "image")
    gif = encoded("GIF")
    frame = gif.index(b"\x2c" + struct.pack("<HHHH", 0, 0, 30, 20))
    size = struct.pack("<HH", *sides)
    refused(gif[:6] + size + gif[10 : frame + 5] + size + gif[frame + 9 :], "image")


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_first_bytes_of_a_jpeg(length: int) -> None:
    refused(encoded("JPEG")[:length], "image")


@pytest.mark.parametrize("value", [0, 9, 255, 65_535])
def test_an_orientation_that_is_none(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert decode(encoded("PNG", exif=exif), LIMIT).size == (30, 20)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60), st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_any_metadata_is_no_obstacle(garbage: bytes, kind: str) -> None:
    data = encoded(kind, exif=b"Exif\0\0" + garbage)
    assert sorted(decode(data, LIMIT).size) == [20, 30]
