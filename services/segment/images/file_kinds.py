"""Recognises files that are not pictures by their first bytes, and says what to do. Pure.

This tells the sender more than that the file is not an image.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from services.common.counts import plural

_CONVERT = "convert it to JPEG or PNG"
# Formats that only some servers decode, by Pillow's names: first bytes, name, remedy.
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
# Formats that every Pillow decodes, with their first bytes: a file with one of these is damaged.
_DAMAGED: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(start, re.DOTALL), name)
    for start, name in (
        (rb"\xff\xd8", "JPEG"),
        (rb"\x89PNG", "PNG"),
        (rb"GIF8[79]a", "GIF"),
        (rb"RIFF....WEBP", "WebP"),
        (rb"BM....\0\0\0\0", "BMP"),
        (rb"(II[*+]\0|MM\0[*+]).{4}(?!CR)", "TIFF"),
    )
)
_BYTES_THEMSELVES = "send the decoded bytes themselves"
_DEVELOP = "develop it to JPEG or PNG"
_LOOK = "the download or the copy may not have ended: look at the file"
_FRAMES = "send single frames as JPEG or PNG"
# First bytes of other files, what those files are, and the remedy. The first match is used.
_OTHERS: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(start, re.DOTALL | re.IGNORECASE), what, remedy)
    for start, what, remedy in (
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture", _CONVERT),
        (rb"....ftypcrx |II\*\0....CR|FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR|FOVb|\0MRM",
         "a camera's raw file", _DEVELOP),
        (rb"....ftyp(M4A|M4B)|RIFF....WAVE|ID3|OggS|fLaC", "a sound", "send a picture"),
        (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01[\xb3\xba]", "a video", _FRAMES),
        (rb"%PDF-", "a PDF document", "send its pages as pictures"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document", "draw it at the size that you mean"),
        (rb"8BPS", "a Photoshop file", _CONVERT),
        (rb"qoif", "a QOI picture", _CONVERT),
        (rb"DDS ", "a DDS texture", _CONVERT),
        (rb"#\?(RADIANCE|RGBE)", "a Radiance picture", f"{_CONVERT} with the range that you mean"),
        (rb"v/1\x01", "an OpenEXR picture", f"{_CONVERT} with the range that you mean"),
        (rb"SIMPLE  =", "a FITS file", f"{_CONVERT} with the range that you mean"),
        (rb"\x5c\x01\0\0.{340}n[i+]1\0", "a NIfTI volume", "send one slice as PNG"),
        (rb".{128}DICM", "a DICOM file", f"{_CONVERT} with the window that you mean"),
        (rb"\x93NUMPY", "a NumPy array", "send its values as `pixels`"),
        (rb"\x89HDF", "an HDF5 file", "send one picture of it as `pixels`"),
        (rb"PK\x03\x04", "a ZIP archive", "send the pictures that are in it one by one"),
        (rb"7z\xbc\xaf|Rar!\x1a|.{257}ustar", "an archive (7z, RAR or tar)",
         "send the pictures that are in it one by one"),
        (rb"\x1f\x8b|\x28\xb5\x2f\xfd|\xfd7zXZ|BZh\d", "compressed data (gzip, zstd, xz or bzip2)",
         "decompress it"),
        (rb"SQLite format 3", "an SQLite database", "send one picture of it"),
        (rb"\x80[\x02-\x05][\x95c}\](]", "a Python pickle",
         "send its values as `pixels`, or a picture's file"),
        (rb"\x7fELF|MZ[\x90\0]", "a program", "look at the file"),
        (rb"\0\0\x01\0", "an icon (ICO)", _CONVERT),
        (rb"P[1-7f]\s", "a PBM, PGM or PPM picture", "convert it to PNG"),
        (rb"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull` and send the file"),
        (rb"\s*<(!doctype html|html)", "an HTML page",
         "a download may have ended in an error page: look at the file"),
        (rb"\s*<(svg|[^s].*<svg|[^s].*doctype svg)[\s/>]", "an SVG drawing",
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
    """Return what the bytes are, and what to send instead; "" for the usual case.

    `formats` are those that the server decodes, by Pillow's names: a file in one of them is
    damaged.
    """
    head = _as_bytes(data[:_HEAD])
    for kind, (start, name, remedy) in _FORMATS.items():
        if start.match(head) and kind in formats:
            return f"a damaged or cut off {name} picture", ""
        if start.match(head):
            return f"a {name} picture, which this server does not decode", remedy
    for start, what, remedy in _OTHERS:
        if start.match(head):
            return what, remedy
    for start, name in _DAMAGED:
        if start.match(head):
            return f"a damaged or cut off {name} picture", ""
    if not head.strip(b"\0"):
        return f"{plural(len(data), 'byte')}, of which the first are all zero", _LOOK
    return f"{plural(len(data), 'byte that is', 'bytes that are')} not an image", ""


def _as_bytes(head: bytes) -> bytes:
    """Return a text in UTF-16, or with a byte order mark, as plain bytes."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            return head[2:].decode(encoding, "replace").encode()
    return head.removeprefix(b"\xef\xbb\xbf")
