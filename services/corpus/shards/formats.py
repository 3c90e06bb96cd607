"""What a file of a corpus holds and how it is compressed, by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from services.errors import DataLoss

COMPRESSIONS = {".zst": "zst", ".zstd": "zst", ".gz": "gz", ".bz2": "bz2", ".xz": "xz"}
_CONTENTS: dict[str, Literal["lines", "json", "parquet", "arrow"]] = {
    ".jsonl": "lines",
    ".jsonlines": "lines",
    ".ndjson": "lines",
    ".json": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
TEXT_SUFFIX = ".txt"
TEXT_FOLDER = "*.txt"
"""Last part of the path of a shard that is a folder of text files."""
WARC_SUFFIXES = (".warc", ".warc.gz", ".wet", ".wet.gz")
_ARCHIVES = (".7z", ".rar", ".tar", ".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst", ".tgz", ".zip")
# Data that may be part of a corpus and that is not read.
_UNREAD = (
    ".arc", ".avro", ".bin", ".csv", ".feather", ".h5", ".hdf5", ".ipc", ".jsonl.lz4", ".lz4",
    ".mds", ".msgpack", ".npy", ".npz", ".orc", ".pickle", ".pkl", ".rar", ".tar", ".tgz",
    ".tfrecord", ".tsv", ".warc", ".wet", ".xml", ".zip", ".7z",
)  # fmt: skip
_UNREAD_COMPRESSIONS = frozenset(
    {".br", ".bzip2", ".gzip", ".lz4", ".lzma", ".lzo", ".snappy", ".sz", ".z", ".zlib"}
)
_UNFINISHED = re.compile(
    r"(\.(part|partial|incomplete|tmp|temp|crdownload|download|aria2|bak|old|orig|save|[0-9]+)|~)+$"
)
"""What programs put behind the name of a file that is not whole yet, or that is an older one."""
_SPARK_PART = re.compile(r"part-(r-|m-)?[0-9]{5,}\b.*")
"""What Spark and Hadoop call their output, often without an ending that says its format."""
MIB = 1 << 20
WINDOW_LOG = 27
"""zstd's own limit: a decoder of such a window takes 128 MiB."""
MAX_WINDOW_LOG = 31


class Unreadable(DataLoss):
    """A shard that is whole, and that cannot be read as things are: no damage to pass over."""


@dataclass(frozen=True)
class Format:
    """What a file holds once it is decompressed, and how it is compressed ("" for not)."""

    content: Literal["lines", "json", "parquet", "arrow", "texts"]
    compression: str = ""

    @property
    def rows(self) -> bool:
        """Whether it holds rows of a table or whole texts, of which lines have to be made."""
        return self.content in {"parquet", "arrow", "texts"}


ZSTD_LINES = Format("lines", "zst")


def format_of(path: str) -> Format | None:
    """Return the format of the shard at `path`; None for a file that is not read as one."""
    name = path.rpartition("/")[2].lower()
    if name == TEXT_FOLDER:
        return Format("texts")
    stem, suffix = _split(name)
    compression = COMPRESSIONS.get(suffix, "")
    if compression:
        stem, suffix = _split(stem)
    content = _CONTENTS.get(suffix)
    if content is None or not stem:
        return None
    if compression and content in {"parquet", "arrow"}:
        return None  # both are compressed inside
    return Format(content, compression)


def stem_of(path: str) -> str:
    """Return the path of a shard without what its format says."""
    folder, _, name = path.rpartition("/")
    if name == TEXT_FOLDER:
        name = "texts"
    else:
        stem, suffix = _split(name)
        name = _split(stem)[0] if suffix.lower() in COMPRESSIONS else stem
    return f"{folder}/{name}" if folder else name


def looks_like_data(name: str) -> bool:
    """Whether a file that is not read may hold documents all the same."""
    name = _UNFINISHED.sub("", name.lower())
    whole = name
    while (split := _split(name))[1] in COMPRESSIONS or split[1] in _UNREAD_COMPRESSIONS:
        name = split[0]
    if name.endswith((TEXT_SUFFIX, *_CONTENTS)):
        return True
    if name != whole and _SPARK_PART.fullmatch(name):
        return True  # one that is not compressed is looked into
    return whole.endswith(_UNREAD) or name.endswith(_UNREAD)


def how_to_read(path: str) -> str:
    """Say what to do with an archive, by its name; of other files nothing."""
    if path.lower().endswith(WARC_SUFFIXES):
        return "WARC files are sources of `assay corpus build`, which makes a corpus; "
    packed = path.lower().endswith(_ARCHIVES)
    return "archives are not read: unpack them, and give the folder; " if packed else ""


def _split(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem else (name, "")


@dataclass(frozen=True)
class Keys:
    """Where a record has its text, its own id and its subset.

    A key is a member's name, or several joined by dots ("meta.lang"). Without `subset` what is
    published of well-known datasets finds it; `FOLDER_SUBSET` takes the shard's folder.
    """

    text: str = "text"
    id: str = ""
    subset: str = ""

    @property
    def given(self) -> bool:
        """Whether a record has to be rewritten for them."""
        return self != _USUAL

    def describe(self) -> str:
        """Spell those that are not the usual ones, for digests; empty for the usual ones."""
        parts = {"text": self.text, "id": self.id, "subset": self.subset}
        usual = {"text": _USUAL.text, "id": "", "subset": ""}
        return " ".join(f"{name}={key!r}" for name, key in parts.items() if key != usual[name])


_USUAL = Keys()
FOLDER_SUBSET = "folder"


@dataclass(frozen=True)
class Reading:
    """How a shard is read.

    `window_log` is the largest zstd window that is decoded, as a power of two: a stream of such a
    shard takes that much memory. `size` is that of the file in bytes when it was registered, beyond
    which it is not read; None reads it to its end.
    """

    keys: Keys = field(default=_USUAL)
    window_log: int = WINDOW_LOG
    size: int | None = None


READING = Reading()
