r"""The file beside a shard that says where its frames are and what they hold.

    train/00.jsonl.zst    many zstd frames, each with whole lines of one subset
    train/00.text.zst     for each frame of plain documents their texts alone, as a frame; optional
    train/00.index        this file

Layout of the index, little-endian, every part aligned to 8 bytes:

    "assay-index 1\n"  0x00 0x00
    size of the header, 8 bytes
    header, JSON, filled up with spaces
    frames              FRAME records
    text_bytes          4 bytes a document
    line_bytes          4 bytes a document, with the newline
    text_hash           8 bytes a document: XXH3-64 of the text
    XXH3-64 of everything before, 8 bytes

The arrays are mapped, not read: opening an index costs the same whatever its size, except where
`check` verifies the checksum.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

INDEX_SUFFIX = ".index"
TEXT_SUFFIX = ".text.zst"

FRAME = np.dtype(
    [
        ("offset", "<u8"),  # in the shard
        ("text_offset", "<u8"),  # in the file of texts
        ("first_line", "<u8"),  # in the shard, which is also the frame's first document
        ("digest", "<u8"),  # XXH3-64 of the compressed frame
        ("text_digest", "<u8"),  # of the frame of texts
        ("bytes", "<u4"),  # compressed
        ("jsonl_bytes", "<u4"),  # decompressed
        ("text_frame_bytes", "<u4"),  # compressed frame of texts; 0: the frame has none
        ("text_bytes", "<u4"),  # of all texts
        ("documents", "<u4"),
        ("subset", "<u4"),  # index into the header's subsets
    ]
)
_MAGIC = b"assay-index 1\n\x00\x00"
_ALIGN = 8
_MAX_HEADER_BYTES = 64 << 20


class IndexFormatError(ValueError):
    """The file is not an index; the message says why."""


@dataclass(frozen=True)
class FileFact:
    """A file that belongs to an index: its size and "sha256:<hex>" of its content."""

    bytes: int
    digest: str


@dataclass(frozen=True)
class Header:
    """What an index says of the whole shard.

    `subset_digests` has, for each subset, "sha256:<hex>" over its lines, each with its newline, in
    their order: the same before and after indexing, which only brings the lines of one subset
    together. `subsets` has "" for documents that name none. `text` is None without a file of texts.
    `source` describes the file that was indexed, `keys` how its records were read where that is not
    as usual (`Keys.describe`). `bad_lines` of it were passed over.
    """

    shard: FileFact
    text: FileFact | None
    source: FileFact
    subsets: tuple[str, ...]
    subset_digests: tuple[str, ...]
    frame_bytes: int
    level: int
    keys: str = ""
    bad_lines: int = 0


@dataclass(frozen=True)
class Index:
    """An index in memory or mapped: the header, the frames, and a column of each per document."""

    header: Header
    frames: npt.NDArray[np.void]
    text_bytes: npt.NDArray[np.uint32]
    line_bytes: npt.NDArray[np.uint32]
    text_hash: npt.NDArray[np.uint64]

    @property
    def documents(self) -> int:
        """Documents in the shard."""
        return len(self.text_bytes)


def index_path(shard: str) -> str:
    """Name the index of the shard of this name ("train/00.jsonl.zst" -> "train/00.index")."""
    return shard.removesuffix(".jsonl.zst") + INDEX_SUFFIX


def text_path(shard: str) -> str:
    """Name the file of texts of the shard of this name."""
    return shard.removesuffix(".jsonl.zst") + TEXT_SUFFIX


def encode(index: Index) -> bytes:
    """Spell an index."""
    fields = asdict(index.header) | {"frames": len(index.frames), "documents": index.documents}
    for name in ("keys", "bad_lines"):
        # Left out where unset: an index that has neither is that of every earlier version.
        if not fields[name]:
            del fields[name]
    header = json.dumps(fields, separators=(",", ":"), sort_keys=True).encode()
    header += b" " * (-len(header) % _ALIGN)
    columns = index.text_bytes.tobytes() + index.line_bytes.tobytes()
    body = b"".join(
        (
            _MAGIC,
            len(header).to_bytes(8, "little"),
            header,
            index.frames.tobytes(),
            columns,
            index.text_hash.tobytes(),
        )
    )
    return body + xxhash.xxh3_64_intdigest(body).to_bytes(8, "little")


def open_index(file: Path, *, check: bool = True) -> Index:
    """Map the index `file`. Raises IndexFormatError, and OSError when it cannot be read."""
    with file.open("rb") as source:
        try:
            data = mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise IndexFormatError("is empty") from None
    return decode(memoryview(data), check=check)


def decode(data: memoryview, *, check: bool = True) -> Index:
    """Read an index from its bytes, which the result keeps alive. Raises IndexFormatError."""
    start = len(_MAGIC) + 8
    if len(data) < start + 8 or bytes(data[: len(_MAGIC)]) != _MAGIC:
        raise IndexFormatError("does not begin as an index of version 1 does")
    if check and xxhash.xxh3_64_intdigest(data[:-8]) != int.from_bytes(data[-8:], "little"):
        raise IndexFormatError("its checksum is off, so it was cut or changed")
    size = int.from_bytes(data[len(_MAGIC) : start], "little")
    if size > min(_MAX_HEADER_BYTES, len(data) - start - 8) or size % _ALIGN:
        raise IndexFormatError("its header's size is out of range")
    try:
        fields = json.loads(bytes(data[start : start + size]))
        header, frames, documents = _header(fields)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise IndexFormatError("its header lacks a field or has one of another kind") from None
    if len(data) != start + size + frames * FRAME.itemsize + documents * 16 + 8:
        raise IndexFormatError("its size is not that of what the header counts")
    position = start + size

    def column(dtype: Any, count: int) -> npt.NDArray[Any]:
        nonlocal position
        values: npt.NDArray[Any] = np.frombuffer(data, dtype, count, position)
        position += values.nbytes
        return values

    return Index(
        header,
        frames=column(FRAME, frames),
        text_bytes=column("<u4", documents),
        line_bytes=column("<u4", documents),
        text_hash=column("<u8", documents),
    )


def _header(fields: Mapping[str, Any]) -> tuple[Header, int, int]:
    text, subsets, digests = fields["text"], fields["subsets"], fields["subset_digests"]
    frames, documents = fields["frames"], fields["documents"]
    counts = (frames, documents, fields["frame_bytes"], fields["level"])
    if not all(type(count) is int and count >= 0 for count in counts):
        raise TypeError
    if not all(isinstance(name, str) for name in (*subsets, *digests)):
        raise TypeError
    if len(subsets) != len(digests):
        raise ValueError
    header = Header(
        shard=_fact(fields["shard"]),
        text=None if text is None else _fact(text),
        source=_fact(fields["source"]),
        subsets=tuple(subsets),
        subset_digests=tuple(digests),
        frame_bytes=fields["frame_bytes"],
        level=fields["level"],
        keys=str(fields.get("keys", "")),
        bad_lines=int(fields.get("bad_lines", 0)),
    )
    return header, frames, documents


def _fact(value: Mapping[str, Any]) -> FileFact:
    size, digest = value["bytes"], value["digest"]
    if type(size) is not int or not isinstance(digest, str):
        raise TypeError
    return FileFact(size, digest)
