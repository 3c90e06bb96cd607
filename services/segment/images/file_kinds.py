"""What bytes are that no decoder here takes for a picture, and what to do about it. Pure.

Told by their first bytes, so that whoever sent them learns more than that they are no image.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_CONVERT = "convert it to JPEG or PNG"
# Formats that not every server decodes, by Pillow's names: how they begin, their name, what helps.
_FORMATS: dict[str, tuple[re.Pattern[bytes], str, str]] = {
    "AVIF": (re.compile(rb"....ftypavi[fs]", re.DOTALL), "AVIF", _CONVERT),
    "JPEG2000": (
        re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
        "JPEG 2000",
        _CONVERT,
    ),
    "HEIF": (
        re.compile(rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)", re.DOTALL),
        "HEIC (as iPhones take them)",
        f"{_CONVERT}, or install pillow-heif on the server (the extra heic)",
    ),
}
_BYTES_THEMSELVES = "send the decoded bytes themselves"
_FRAMES = "send single frames as JPEG or PNG"
# How other files begin, what they are, and what helps. The first that fits counts.
_OTHERS: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(start, re.DOTALL | re.IGNORECASE), what, remedy)
    for start, what, remedy in (
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", _CONVERT),
        (rb"....ftypcrx ", "a camera's raw file", "develop it to JPEG or PNG"),
        (rb"....ftyp|\x1aE\xdf\xa3", "a video", _FRAMES),
        (rb"%PDF-", "a PDF document", "send its pages as pictures"),
        (rb"8BPS", "a Photoshop file", _CONVERT),
        (rb"v/1\x01", "an OpenEXR picture", f"{_CONVERT} with the range that you mean"),
        (rb"SIMPLE  =", "a FITS file", f"{_CONVERT} with the range that you mean"),
        (rb".{128}DICM", "a DICOM file", f"{_CONVERT} with the window that you mean"),
        (rb"\x93NUMPY", "a NumPy array", "send its values as `pixels`"),
        (rb"\x89HDF", "an HDF5 file", "send one picture of it as `pixels`"),
        (rb"PK\x03\x04", "a ZIP archive", "send the pictures that are in it one by one"),
        (rb"\x1f\x8b|\x28\xb5\x2f\xfd", "compressed data (gzip or zstd)", "decompress it"),
        (rb"\0\0\x01\0", "an icon (ICO)", _CONVERT),
        (rb"P[1-7f]\s", "a PBM, PGM or PPM picture", "convert it to PNG"),
        (rb"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull` and send the file"),
        (rb"\s*<(!doctype html|html)", "an HTML page",
         "a download may have ended in an error page: look at the file"),
        (rb"\s*<(svg|[^s].*<svg)[\s/>]", "an SVG drawing",
         "draw it at the size that you mean and send that as PNG"),
        (rb"\s*data:", "a data: URL", _BYTES_THEMSELVES),
        (rb"\s*/9j/", "base64 text of a JPEG", _BYTES_THEMSELVES),
        (rb"\s*iVBORw0KGgo", "base64 text of a PNG", _BYTES_THEMSELVES),
        (rb"\s*(R0lGOD|UklGR)", "base64 text of a GIF or WebP", _BYTES_THEMSELVES),
        (rb"\s*(https?|s3|gs|file):", "a URL", "send the bytes of the file that it names"),
        (rb"\s*[{\[<]", "a text (JSON, XML or HTML)", "send the bytes of an image file"),
        (rb"[^\n\0]{1,255}\.(jpe?g|png|webp|bmp|gif|tiff?|hei[cf]|avif)\s*$",
         "the name of a file", "send its bytes"),
    )
)  # fmt: skip
_HEAD = 512


def describe(data: bytes, formats: Collection[str]) -> tuple[str, str]:
    """Return what the bytes are, and what to do instead of sending them; "" for the usual.

    `formats` are those that are decoded, by Pillow's names: a file of theirs is a damaged one.
    """
    head = data[:_HEAD]
    for kind, (start, name, remedy) in _FORMATS.items():
        if start.match(head) and kind in formats:
            return f"a damaged or cut off {name} picture", ""
        if start.match(head):
            return f"a {name} picture, which this server does not decode", remedy
    for start, what, remedy in _OTHERS:
        if start.match(head):
            return what, remedy
    return f"{len(data)} bytes that are not an image", ""
