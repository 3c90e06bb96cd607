"""What a file holds that is not what its name says, by how it begins."""

from __future__ import annotations

import re
from pathlib import Path

from services.corpus.shards.formats import COMPRESSIONS, Unreadable

_AGAIN = "fetch it again"
_CONVERT = "convert it to UTF-8, with `iconv` for one"
_NAMED = "its name has to end with"
_NAME = _NAMED + " {} for it to be read"
_UNPACK = "unpack it, and give the files"
_BEGINNINGS = (
    (b"\x1f\x8b", "gzip data", _NAME.format(".gz")),
    (b"\x28\xb5\x2f\xfd", "zstd data", _NAME.format(".zst")),
    (b"BZh", "bzip2 data", _NAME.format(".bz2")),
    (b"\xfd7zXZ\0", "xz data", _NAME.format(".xz")),
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"PAR1", "a parquet file", _NAME.format(".parquet")),
    (b"ARROW1", "an Arrow file", _NAME.format(".arrow")),
    (b"SQLite format 3\0", "an SQLite database", "write its texts as JSON lines"),
    (b"version https://git-lfs", "a git-lfs pointer", "get the file with `git lfs pull`"),
    (b"\xff\xfe\0\0", "text in UTF-32", _CONVERT),
    (b"\0\0\xfe\xff", "text in UTF-32", _CONVERT),
    (b"\xff\xfe", "text in UTF-16", _CONVERT),
    (b"\xfe\xff", "text in UTF-16", _CONVERT),
    *((mark + b"\0\0\0", "text in UTF-32", _CONVERT) for mark in (b"{", b"[")),
    *((b"\0\0\0" + mark, "text in UTF-32", _CONVERT) for mark in (b"{", b"[")),
    *((mark + b"\0", "text in UTF-16", _CONVERT) for mark in (b"{", b"[")),
    *((b"\0" + mark, "text in UTF-16", _CONVERT) for mark in (b"{", b"[")),
    (b"WARC/", "a WARC file", "it is a source of `assay corpus build`, by the ending .warc"),
    (b"\x04\x22\x4d\x18", "lz4 data", "decompress it, with `lz4 -d`, and give that"),
    (b"\x5d\0\0", "lzma data", "decompress it, with `xz -d --format=lzma`, and give that"),
    (b"\xff\x06\0\0sNaPpY", "snappy data", "decompress it, and give that"),
    (b"FEA1", "a Feather file of version 1", "write it as parquet"),
    (b"Obj\x01", "an Avro file", "write it as parquet or JSON lines"),
    (b"ORC", "an ORC file", "write it as parquet"),
    (b"%PDF-", "a PDF document", "extract its text"),
    (
        b"\x1e",
        "a JSON text sequence",
        "take the record separators (0x1E) out, with `tr -d '\\036'`",
    ),
)
SEVERAL_LINES = "has objects over several lines: write each on a line of its own, as `jq -c .` does"
_PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<error>")
_FIRST_LINE_BYTES = 64
_TABLE_BEGUN_BYTES = 512
# A carriage return between two records; in JSON it can stand between members too.
_LOOKED_AT = 1 << 20
_OLD_LINES = re.compile(rb"\}\r+\{")
_TAR_MAGIC = slice(257, 262)


def foreign(begun: bytes, shard: str = "") -> str:
    """Say what data that begins so is, and what to do, where it is surely no JSON lines.

    Empty where nothing is known. `begun` are the first bytes: 512, where there are as many. They
    are what is left once the data of `shard`, where it is given, was decompressed.
    """
    for beginning, what, remedy in _BEGINNINGS:
        if begun.startswith(beginning):
            twice = remedy.startswith(_NAMED) and shard.lower().endswith(tuple(COMPRESSIONS))
            told = f"holds {what} once it is decompressed: decompress it, and give that"
            return told if twice else f"is {what}: {remedy}"
    if begun[_TAR_MAGIC] == b"ustar":
        return f"is a tar archive: {_UNPACK}"
    if begun.lstrip()[:20].lower().startswith(_PAGES):
        return f"is a page of the web, or an error that was saved as one: {_AGAIN}"
    if begun.strip() == b"{":
        return SEVERAL_LINES
    if b"\n" not in begun and _OLD_LINES.search(begun[:_LOOKED_AT]):
        return "has lines that end with a carriage return alone: write them with `tr '\\r' '\\n'`"
    return ""


def is_wide(begun: bytes) -> bool:
    """Whether data that begins so is text in UTF-16 or UTF-32."""
    return foreign(begun).endswith(_CONVERT)


def is_over_lines(file: Path) -> bool:
    """Whether a JSON file begins with an object that goes on in its next line. Raises OSError."""
    if file.suffix.lower() != ".json" or not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.readline(_FIRST_LINE_BYTES).removeprefix(b"\xef\xbb\xbf").strip() == b"{"


def require_table(shard: str, file: Path, ending: str) -> None:
    """Refuse a table that begins as something else does, or that is empty. Raises Unreadable.

    `ending` is that of its name: ".parquet". Raises OSError.
    """
    with file.open("rb") as opened:
        begun = opened.read(_TABLE_BEGUN_BYTES)
    other = foreign(begun)
    if other.endswith(_NAME.format(ending)):  # it is what its name says
        return
    if not begun:
        other = f"is empty: {_AGAIN}, or remove it"
    elif begun.lstrip()[:1] in {b"{", b"["}:
        other = f"is JSON: {_NAME.format('.jsonl or .json')}"
    if other:
        raise Unreadable(shard, 0, f"{other},")


def refuse_another_kind(shard: str, begun: bytes, ending: str) -> None:
    """Refuse a compressed shard that begins as something else does, or as text. Raises Unreadable.

    `ending` is that of its name: ".gz".
    """
    other = foreign(begun)
    if begun.lstrip()[:1] in {b"{", b"["}:
        other = f"is not compressed: take {ending} off its name"
    if other:
        raise Unreadable(shard, 0, f"{other},")
