"""Encoded bytes or a pixel tensor to one RGB picture.

Adapter of Pillow. The number of pixels, and everything else that would make decoding long
(services.segment.images.limits), is checked from the file's header before any pixel is decoded.
Conversion to RGB is Pillow's `convert("RGB")`, as in Hugging Face's examples: alpha is dropped,
palettes are looked up, CMYK is inverted. 16-bit greyscale keeps its high byte, as Pillow does for
16-bit colour. EXIF orientation is applied. Of several frames or pages, the first is used.
"""

from __future__ import annotations

import io
from typing import cast

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError, features

from services.errors import AssayError, BadImage, ImageTooLarge, InvalidArgument
from services.segment.images.file_kinds import describe
from services.segment.images.limits import check_pieces, check_run_lengths, check_size, check_tile

ALWAYS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""Formats that every Pillow decodes."""


def _other_formats() -> tuple[str, ...]:
    """Return the other formats that this Pillow, and pillow-heif if installed, can decode."""
    found = [
        name
        for name, feature in (("AVIF", "avif"), ("JPEG2000", "jpg_2000"))
        if features.check(feature)
    ]
    try:
        from pillow_heif import register_heif_opener  # noqa: PLC0415  # an extra
    except ImportError:
        return tuple(found)
    register_heif_opener(thumbnails=False)
    return (*found, "HEIF")


FORMATS = (*ALWAYS, *_other_formats())
NOTICES = "assay notices"
"""Key of a decoded picture's `info`: sentences on what the file probably should not be."""
# Pillow itself warns above this and refuses above twice this; settings stay below.
PILLOW_LIMIT = 89_478_485
_ORIENTATION, _TILE_WIDTH, _TILE_LENGTH = 0x0112, 322, 323
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_RETRY = "send a whole " + ", ".join(FORMATS) + " file"
_TIFF, _MARK = b"II*\0", slice(8, 10)
_SUBFILE_TYPE, _REDUCED, _DNG_VERSION = 254, 1, 50706
_BITS, _SAMPLE_FORMAT, _SIGNED, _FLOAT = 258, 339, 2, 3
_FRAMED = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")
_SEVERAL = "of its frames or pages the first was taken: send the others as files of their own"
# 12-bit values, which cameras and scanners store in 16 bits.
_TWELVE_BITS = 1 << 12


def decode(data: bytes, max_pixels: int, field: str = "image.encoded") -> Image.Image:
    """Decode a whole image file to an RGB picture, upright.

    Raises BadImage if the bytes are not an image of a known format, are cut off or damaged, or
    would take their decoder far longer than ordinary files of their size; ImageTooLarge, before
    pixels are decoded, for more than `max_pixels` pixels or too long a side.
    """
    if not data:
        raise BadImage(field, f"empty; {_RETRY}")
    try:
        check_pieces(data, field)
        _check_canon(data, field)
        # Left open: it only holds memory, and closing would require a copy.
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        check_size(image.height, image.width, max_pixels, field)
        _check_first(image, field)
        _check_work(image, max_pixels, field)
        several = _has_several(image)
        image.load()
        picture = _upright(_rgb(image, field), _orientation(image))
        return _noticed(picture, _SEVERAL) if several else picture
    except AssayError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(
            field,
            f"more than {max_pixels} pixels (ASSAY_SEGMENT_MAX_PIXELS of the server); send a "
            "smaller one",
        ) from error
    except UnidentifiedImageError as error:
        what, remedy = describe(data, FORMATS)
        raise BadImage(field, f"{what}; {remedy or _RETRY}") from error
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's decoders raise a dozen classes on hostile bytes (SyntaxError, struct.error,
        # IndexError, zlib.error, ...); callers treat them all alike.
        raise BadImage(field, f"damaged or cut off ({error}); {_RETRY}") from error


def from_pixels(
    rgb: bytes, height: int, width: int, max_pixels: int, field: str = "image.pixels"
) -> Image.Image:
    """Return the picture of height * width * 3 bytes, rows first, each pixel as R, G, B.

    Raises InvalidArgument if the size is not positive or the bytes don't fit it, ImageTooLarge
    above `max_pixels` pixels or too long a side.
    """
    check_size(height, width, max_pixels, field, empty=InvalidArgument)
    if len(rgb) != height * width * 3:
        raise InvalidArgument(
            f"{field}.rgb",
            f"{len(rgb)} bytes; {height} x {width} x 3 = {height * width * 3} are needed",
        )
    return Image.frombuffer("RGB", (width, height), rgb, "raw", "RGB", 0, 1)


def _noticed(picture: Image.Image, notice: str) -> Image.Image:
    picture.info[NOTICES] = (*picture.info.get(NOTICES, ()), notice)
    return picture


def _has_several(image: Image.Image) -> bool:
    """Return whether frames or pages follow the first one. Looks no further than that."""
    if image.format not in _FRAMED:
        return False  # cameras put previews behind a JPEG picture
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001  # what is damaged behind the first picture damages no picture
        return False


def _check_work(image: Image.Image, max_pixels: int, field: str) -> None:
    """Check properties that affect the time and memory of decoding, besides the pixel count."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        check_tile(tags.get(_TILE_WIDTH), tags.get(_TILE_LENGTH), max_pixels, field)
    elif any(tile[0] == "bmp_rle" for tile in getattr(image, "tile", ())):
        check_run_lengths(image.width * image.height, field)


def _check_canon(data: bytes, field: str) -> None:
    """Refuse Canon's raw files: TIFFs that begin with a preview without a tag that says so."""
    if data.startswith(_TIFF) and data[_MARK] == b"CR":
        raise BadImage(field, "; ".join(describe(data, FORMATS)))


def _check_first(image: Image.Image, field: str) -> None:
    """Refuse a TIFF that begins with a preview, as cameras' raw files do (DNG, NEF, ARW)."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    tags, kind = image.tag_v2, image.tag_v2.get(_SUBFILE_TYPE, 0)
    if _DNG_VERSION in tags:
        raise BadImage(field, "a camera's raw file; develop it to JPEG or PNG")
    if isinstance(kind, int) and kind & _REDUCED:
        raise BadImage(
            field,
            "the first picture of this TIFF is a preview of another one in it, as in a camera's "
            "raw file; develop it to JPEG or PNG, or send the whole picture alone",
        )


def _rgb(image: Image.Image, field: str) -> Image.Image:
    """Convert a loaded picture of any mode to RGB."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        # Pillow's own conversion would clip at 255; for 16-bit colour it keeps the high byte.
        values = np.asarray(image)
        picture = Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
        if 0 < values.max() < _TWELVE_BITS:
            notice = (
                f"all values of this 16-bit picture are below {_TWELVE_BITS} of 65536, and it was "
                "taken as nearly black: stretch data of 12 bits to the full range first"
            )
            picture.info[NOTICES] = (notice,)
        return picture
    if image.mode in {"I", "F"}:
        raise BadImage(
            field,
            f"{_kind_of_grey(image)} greyscale has no fixed range; convert it to 8 or 16 bits a "
            "channel, without a sign",
        )
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.convert(
            "RGBA"
        )  # Pillow warns about the direct conversion, which gives equal colours
    return image.convert("RGB")


def _kind_of_grey(image: Image.Image) -> str:
    """Return the type of a greyscale that Pillow loads as 32 bits."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    bits = tags.get(_BITS, (32,))
    signs = tags.get(_SAMPLE_FORMAT, (_FLOAT if image.mode == "F" else 1,))
    first = signs[0] if isinstance(signs, tuple) else signs
    kind = {_SIGNED: "signed ", _FLOAT: "floating-point "}.get(first, "")
    return f"{kind}{bits[0] if isinstance(bits, tuple) else bits}-bit"


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 if none can be read.

    Call this after reading the pixels: a PNG may store it after them.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 1  # Pillow has turned it while loading
    try:
        return cast("int", image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  # broken metadata, of whatever kind, is no broken picture
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    if turn is None:
        return image
    turned = image.transpose(turn)
    if NOTICES in image.info:
        turned.info[NOTICES] = image.info[NOTICES]
    return turned
