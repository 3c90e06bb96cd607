"""Decoding: every kind of picture, and everything that isn't one."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, TiffImagePlugin

from services.errors import AssayError, BadImage, ImageTooLarge, InvalidArgument
from services.segment.images.decode import ALWAYS, FORMATS, NOTICES, decode, from_pixels
from services.segment.images.file_kinds import describe
from services.segment.images.limits import MAX_SIDE

LIMIT = 1_000_000
_RNG = np.random.default_rng(0)
PIXELS = _RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def array(data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    picture = decode(data, LIMIT)
    assert picture.mode == "RGB"
    return np.asarray(picture)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "HEIF"])
def test_every_format_is_decoded_as_pillow_does(kind: str) -> None:
    data = encoded(Image.fromarray(PIXELS), kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(array(data), expected)
    if kind in {"PNG", "BMP", "TIFF"}:
        assert np.array_equal(expected, PIXELS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_other_modes_become_rgb_as_pillow_does(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    assert np.array_equal(array(encoded(image)), np.asarray(image.convert("RGB")))


def test_alpha_is_dropped() -> None:
    image = Image.fromarray(PIXELS).convert("RGBA")
    image.putalpha(0)
    assert np.array_equal(array(encoded(image)), PIXELS)


def test_a_palette_with_a_transparency_table() -> None:
    image = Image.fromarray(PIXELS).convert("P")
    data = encoded(image, transparency=bytes(range(256)))
    assert np.array_equal(array(data), np.asarray(image.convert("RGB")))


def test_cmyk() -> None:
    image = Image.fromarray(PIXELS).convert("CMYK")
    data = encoded(image, "TIFF")
    assert np.array_equal(array(data), np.asarray(image.convert("RGB")))


def test_cmyk_jpeg() -> None:
    """Photographs for print: Adobe's are stored inverted."""
    data = encoded(Image.fromarray(PIXELS).convert("CMYK"), "JPEG", quality=95)
    assert np.array_equal(array(data), as_hugging_face(data))


def as_hugging_face(data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """What the pipeline's `load_image` makes of a file."""
    with Image.open(io.BytesIO(data)) as image, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *[(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")],
        *[(mode, "TIFF") for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "LAB")],
        *[(mode, "JPEG") for mode in ("L", "RGB", "CMYK")],
        *[(mode, "WEBP") for mode in ("L", "RGB", "RGBA")],
        *[(mode, "AVIF") for mode in ("L", "RGB", "RGBA") if "AVIF" in FORMATS],
        *[(mode, "JPEG2000") for mode in ("L", "RGB", "RGBA") if "JPEG2000" in FORMATS],
    ],
)
def test_every_mode_is_what_hugging_face_reads(mode: str, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(PIXELS)
    if mode == "LAB":
        picture = Image.frombytes("LAB", picture.size, PIXELS.tobytes())
    data = encoded(picture.convert(mode), kind, exif=exif)
    assert np.array_equal(array(data), as_hugging_face(data))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_high_byte(kind: str) -> None:
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    grey = array(encoded(Image.fromarray(values), kind))
    assert np.array_equal(grey, np.repeat((values >> 8)[..., None], 3, axis=2))


def test_sixteen_bit_big_endian_grey() -> None:
    values = (np.arange(600).reshape(20, 30) * 100).astype(">u2")
    image = Image.frombytes("I;16B", (30, 20), values.tobytes())
    grey = array(encoded(image, "TIFF"))
    assert np.array_equal(grey[..., 0], (values >> 8).astype(np.uint8))


@pytest.mark.parametrize(
    ("mode", "says"),
    [("I", "signed 32-bit greyscale"), ("F", "floating-point 32-bit greyscale")],
)
def test_thirty_two_bit_grey_is_refused(mode: str, says: str) -> None:
    data = encoded(Image.fromarray(PIXELS).convert("L").convert(mode), "TIFF")
    with pytest.raises(BadImage, match=f"{says} has no fixed range"):
        decode(data, LIMIT)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("largest", "noticed"), [(0, 0), (4095, 1), (4096, 0)])
def test_twelve_bits_in_sixteen_are_noticed(orientation: int, largest: int, noticed: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = np.full((4, 5), largest, np.uint16)
    values[0, 0] = 0
    picture = decode(encoded(Image.fromarray(values), "PNG", exif=exif), LIMIT)
    assert len(picture.info.get(NOTICES, ())) == noticed


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(PIXELS), kind, exif=exif, **options)
    upright = decode(data, LIMIT)
    assert upright.size == ((20, 30) if orientation >= 5 else (30, 20))
    if kind != "JPEG":
        stored = PIXELS if orientation < 5 else PIXELS.transpose(1, 0, 2)
        turns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1)}
        turns |= {5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
        down, right = turns[orientation]
        assert np.array_equal(np.asarray(upright), stored[::down, ::right])


def test_metadata_that_is_broken_does_not_refuse_the_picture() -> None:
    data = encoded(Image.fromarray(PIXELS), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    assert np.array_equal(array(data), PIXELS)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_frame_counts(kind: str) -> None:
    first, second = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")
    data = encoded(first, kind, save_all=True, append_images=[second])
    assert array(data)[0, 0, 0] > 250
    (notice,) = decode(data, LIMIT).info[NOTICES]
    assert "the first was taken" in notice
    assert NOTICES not in decode(encoded(first, kind), LIMIT).info


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"hello", "5 bytes that are not an image"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"\xff\xd8\xff", "image"),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BadImage, match=problem) as caught:
        decode(data, LIMIT)
    assert "JPEG, PNG" in str(caught.value)  # says what to send


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"%PDF-1.7\n", "a PDF document; send its pages"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing; draw it"),
        (b'<?xml version="1.0"?>\n<svg/>', "an SVG drawing"),
        (b"P6\n1 1\n255\nabc", "a PBM, PGM or PPM picture; convert it"),
        (b"\n<!DOCTYPE html><title>404", "an HTML page; a download may have ended in an error"),
        (b"data:image/png;base64,iVBORw0KGgo", "a data: URL; send the decoded bytes"),
        (b"/9j/4AAQSkZJRgABAQ", "base64 text of a JPEG; send the decoded bytes"),
        (b"iVBORw0KGgoAAAANSUhEUg", "base64 text of a PNG"),
        (b"https://example.org/x.jpg", "a URL; send the bytes"),
        (b"photos/IMG_0001.JPG\n", "the name of a file; send its bytes"),
        (b'{"instances": []}', "a text"),
        (b"\0\0\0\x20ftypisom\0\0\0\1", "a video; send single frames"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "a camera's raw file"),
        (b"\xff\x0a\x10\x20", "a JPEG XL picture; convert it"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer; run `git lfs"),
        (b"PK\x03\x04\0\0", "a ZIP archive"),
        (b"\x93NUMPY\1\0", "a NumPy array; send its values"),
        (b"\0" * 128 + b"DICM", "a DICOM file"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera's raw file; develop it"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"),
        (b"IIU\0\x18\0\0\0", "a camera's raw file"),
        (b"\xff\xd8", "a damaged or cut off JPEG picture"),
        (b"\x89PNG\r\n\x1a\n\0", "a damaged or cut off PNG picture"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "a sound"),
        (b"7z\xbc\xaf\x27\x1c", "an archive (7z, RAR or tar); send the pictures"),
        (b"a.jpg".ljust(257, b"\0") + b"ustar\0", "an archive (7z, RAR or tar)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript document"),
        (b"#?RADIANCE\n", "a Radiance picture"),
        (b"qoif\0\0\0\x10", "a QOI picture"),
        (b"\x7fELF\2\1\1", "a program; look at the file"),
        (b"\x80\x04\x95\x10\0", "a Python pickle"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x5c\1\0\0".ljust(344, b"\0") + b"n+1\0", "a NIfTI volume"),
        (bytes(1000), "1,000 bytes, of which the first are all zero; the download or the copy"),
        ("<html>".encode("utf-16"), "an HTML page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!DOCTYPE svg><svg/>", "an SVG drawing"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF picture"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1", "HEIC"),
    ],
)
def test_what_is_not_decoded_is_named(data: bytes, says: str) -> None:
    with pytest.raises(BadImage, match=re.escape(says)):
        decode(data, LIMIT)


@pytest.mark.parametrize(
    ("tag", "value", "says"),
    [
        (50706, b"\1\4\0\0", "a camera's raw file; develop it"),  # DNGVersion
        (254, 1, "a preview of another one in it"),  # NewSubfileType: a reduced copy
    ],
)
def test_a_tiff_whose_first_picture_is_a_preview_is_refused(
    tag: int, value: bytes | int, says: str
) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag] = value
    with pytest.raises(BadImage, match=says):
        decode(encoded(Image.fromarray(PIXELS), "TIFF", tiffinfo=tags), LIMIT)


def test_a_picture_of_an_iphone_is_named_where_it_is_not_decoded() -> None:
    data = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic"
    what, remedy = describe(data, ALWAYS)
    assert "HEIC (as iPhones take them)" in what
    assert "convert it to JPEG or PNG" in remedy
    assert "pillow-heif" in remedy
    assert describe(data, (*ALWAYS, "HEIF"))[0].startswith("a damaged or cut off HEIC")


@pytest.mark.parametrize("data", [b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51\0\x2f"])
def test_jpeg_2000_is_named_where_it_is_not_decoded(data: bytes) -> None:
    assert "JPEG 2000 picture, which this server does not" in describe(data, ALWAYS)[0]


def test_heic_is_decoded_where_pillow_heif_is_installed() -> None:
    heif = pytest.importorskip("pillow_heif")
    smooth = np.linspace(0, 255, 64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(smooth)).save(file, quality=95)
    found = array(file.getvalue())
    assert found.shape == smooth.shape
    assert np.abs(found.astype(int) - smooth).mean() < 4
    with pytest.raises(BadImage):
        decode(file.getvalue()[:200], LIMIT)
    with pytest.raises(ImageTooLarge):
        decode(file.getvalue(), 64 * 96 - 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_truncated_file_is_refused(kind: str) -> None:
    data = encoded(Image.fromarray(PIXELS), kind)
    for share in (0.5, 0.8):
        with pytest.raises(BadImage):
            decode(data[: int(share * len(data))], LIMIT)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has no pixels at all."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("size", [(1001, 1000), (100_000, 100_000), (2**31 - 1, 2**31 - 1)])
def test_the_pixel_limit_is_checked_before_decoding(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge, match=r"at most 1000000|more than 1000000|a side"):
        decode(png_header(*size), LIMIT)


@pytest.mark.parametrize("size", [(MAX_SIDE + 1, 1), (1, 64_000_000)])
def test_a_side_is_bounded_as_well(size: tuple[int, int]) -> None:
    """Resizing such a strip takes a gigabyte, however few pixels it has."""
    with pytest.raises(ImageTooLarge, match=f"{MAX_SIDE} a side"):
        decode(png_header(*size), max_pixels=10**9)
    with pytest.raises(ImageTooLarge, match=f"{MAX_SIDE} a side"):
        from_pixels(b"", *size, 10**9)


def test_pillows_own_warning_is_the_same_refusal() -> None:
    """Between its two limits Pillow only warns; our limit refuses, whatever warnings do."""
    data = png_header(10_000, 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ImageTooLarge):
            decode(data, LIMIT)


def test_a_picture_at_the_limit_is_decoded() -> None:
    assert decode(encoded(Image.fromarray(PIXELS)), 600).size == (30, 20)
    with pytest.raises(ImageTooLarge, match="30 x 20 = 600 pixels"):
        decode(encoded(Image.fromarray(PIXELS)), 599)


def test_a_file_without_pixels_is_refused() -> None:
    with pytest.raises(BadImage):
        decode(png_header(0, 10), LIMIT)


def test_pixels_are_taken_as_they_are() -> None:
    picture = from_pixels(PIXELS.tobytes(), 20, 30, LIMIT)
    assert np.array_equal(np.asarray(picture), PIXELS)


@pytest.mark.parametrize(
    ("rgb", "height", "width", "kind", "problem"),
    [
        (b"", 0, 5, InvalidArgument, "no pixels"),
        (b"abc", 1, 2, InvalidArgument, "6 are needed"),
        (b"abc", 2**32 - 1, 2**32 - 1, ImageTooLarge, "at most"),
    ],
)
def test_pixels_that_do_not_fit_are_refused(
    rgb: bytes, height: int, width: int, kind: type[AssayError], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        from_pixels(rgb, height, width, LIMIT)


def check_safe(data: bytes) -> None:
    """Decoding gives a picture within the limit or an error for the caller; nothing else."""
    with suppress(AssayError):
        picture = decode(data, LIMIT)
        assert picture.mode == "RGB"
        assert 0 < picture.width * picture.height <= LIMIT


KINDS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("JPEG", {"quality": 80}),
    ("JPEG", {"progressive": True}),
    ("WEBP", {}),
    ("GIF", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    *[(kind, {}) for kind in ("AVIF", "JPEG2000") if kind in FORMATS],
]
SEEDS = [encoded(Image.fromarray(PIXELS), kind, **options) for kind, options in KINDS] + [
    encoded(Image.fromarray(PIXELS).convert("P"), "PNG", transparency=bytes(256))
]


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=0, max_size=8),
    st.floats(0, 1) | st.just(1.0),
    st.binary(max_size=8),
)
def test_damaged_files_are_pictures_or_refused(
    seed: bytes, edits: list[tuple[float, int]], kept: float, tail: bytes
) -> None:
    data = bytearray(seed)
    for place, value in edits:
        data[int(place * (len(data) - 1))] = value
    damaged = bytes(data[: int(kept * len(data))]) + tail
    check_safe(damaged)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_random_bytes_are_pictures_or_refused(data: bytes) -> None:
    check_safe(data)
