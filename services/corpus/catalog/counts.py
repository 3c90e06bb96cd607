"""Counts the documents of a corpus: from the indexes of its shards, or by reading them once."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.corpus.shards.bad_lines import BadLines
from services.corpus.shards.blocks import Block, read_blocks
from services.corpus.shards.documents import parse_line
from services.corpus.shards.index.format import Index
from services.corpus.shards.records import BadLineError
from services.corpus.stream.reader import ShardLike
from services.errors import DataLoss, Unavailable

_HASH_BYTES = 8


@dataclass(frozen=True)
class Count:
    """Documents, UTF-8 bytes of their texts, and the sum of those sizes squared.

    The last gives the variance of a share under sampling of documents.
    """

    documents: int
    text_bytes: int
    squared_text_bytes: int


@dataclass(frozen=True)
class Stored:
    """Lines in bytes, with their newlines, and the zstd frames that hold them."""

    jsonl_bytes: int
    compressed_bytes: int


@dataclass(frozen=True)
class ShardCount:
    """Documents of a shard and the size of its jsonl in bytes."""

    documents: int
    jsonl_bytes: int


@dataclass(frozen=True)
class CorpusCounts:
    """What a corpus holds.

    `shards` is in the corpus's order; `subsets` has "" for documents that name none.
    `duplicate_documents` have the text of an earlier one, compared by 64-bit digests: among 200
    million documents the chance that two different texts have one digest is 0.1 %. `stored` is by
    subset, and None unless every shard has an index: without one a frame mixes subsets. `damage` is
    the first damage found, or the first line that is not a document; all other documents are
    counted but for those behind damage in its shard.
    """

    shards: tuple[ShardCount, ...]
    subsets: Mapping[str, Count]
    duplicate_documents: int
    stored: Mapping[str, Stored] | None = None
    damage: DataLoss | None = None

    @property
    def documents(self) -> int:
        """Documents over all shards."""
        return sum(shard.documents for shard in self.shards)

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of text over all shards."""
        return sum(count.text_bytes for count in self.subsets.values())


class SizedShard(ShardLike, Protocol):
    """A shard whose file's size is known."""

    @property
    def compressed_bytes(self) -> int: ...  # noqa: D102


@dataclass
class CountProgress:
    """How far a count is: written by the thread that counts, read by any."""

    shards_done: int = 0
    bytes_done: int = 0


class _Tally:
    """Running counts. Memory: 8 bytes a document and a few numbers a subset."""

    def __init__(self) -> None:
        self.documents: dict[str, int] = {}
        self.text_bytes: dict[str, int] = {}
        self.squared: dict[str, int] = {}
        self.digests = array("Q")

    def add(self, subset: str, text: bytes) -> None:
        self.documents[subset] = self.documents.get(subset, 0) + 1
        self.text_bytes[subset] = self.text_bytes.get(subset, 0) + len(text)
        self.squared[subset] = self.squared.get(subset, 0) + len(text) ** 2
        digest = hashlib.blake2b(text, digest_size=_HASH_BYTES).digest()
        self.digests.append(int.from_bytes(digest, "little"))

    def duplicates(self) -> int:
        digests = np.array(self.digests, dtype=np.uint64)
        digests.sort()
        return int(np.count_nonzero(digests[1:] == digests[:-1]))


def counts_of_indexes(indexes: Sequence[Index]) -> CorpusCounts:
    """Count from the indexes of all shards, without reading a shard."""
    counts: list[ShardCount] = []
    sums: dict[str, npt.NDArray[np.float64]] = {}
    for index in indexes:
        frames = index.frames
        counts.append(ShardCount(index.documents, int(frames["jsonl_bytes"].sum(dtype=np.int64))))
        names = index.header.subsets
        of = frames["subset"].astype(np.int64)
        of_document = np.repeat(of, frames["documents"])
        squares = np.square(index.text_bytes.astype(np.float64))
        columns = [
            np.bincount(of, frames[column], len(names))
            for column in ("documents", "text_bytes", "jsonl_bytes", "bytes")
        ]
        columns.append(np.bincount(of_document, squares, len(names)))
        for name, row in zip(names, np.stack(columns, axis=1), strict=True):
            sums[name] = sums.get(name, 0) + row
    hashes = np.concatenate([index.text_hash for index in indexes])
    hashes.sort()
    duplicates = int(np.count_nonzero(hashes[1:] == hashes[:-1]))
    found = {name: [int(value) for value in sums[name]] for name in sorted(sums)}
    return CorpusCounts(
        tuple(counts),
        {name: Count(row[0], row[1], row[4]) for name, row in found.items()},
        duplicates,
        {name: Stored(row[2], row[3]) for name, row in found.items()},
    )


def _damage(
    bad: BadLines, block: Block, number: int, line: bytes, error: BadLineError
) -> DataLoss | None:
    try:
        bad.met(block, number, line, error)
    except DataLoss as damage:
        return damage
    return None


def count_shards(
    shards: Sequence[SizedShard], stopped: Callable[[], bool], progress: CountProgress
) -> CorpusCounts:
    """Read every shard and count. Blocks for as long as that takes.

    Raises Unavailable once `stopped` says so, which is asked after every megabyte or so.
    """
    tally = _Tally()
    counts: list[ShardCount] = []
    damage: DataLoss | None = None
    for shard in shards:
        documents = jsonl_bytes = 0
        before = progress.bytes_done
        bad = BadLines(shard.path, skip=False)
        try:
            blocks = read_blocks(shard.file, shard.path, reading=shard.reading)
            for block in bad.readable(blocks):  # which says what is before the damage
                if stopped():
                    raise Unavailable("the server is shutting down")
                progress.bytes_done = before + block.offset
                lines = block.data.split(b"\n")
                lines.pop()
                for number, line in enumerate(lines, block.first_line):
                    try:
                        document = parse_line(line, shard.path, number)
                    except BadLineError as error:
                        # Documents after it are counted, because a stream may skip it.
                        damage = damage or _damage(bad, block, number, line, error)
                        continue
                    tally.add(document.subset, document.text)
                    documents += 1
                    jsonl_bytes += len(line) + 1
        except DataLoss as error:
            damage = damage or error
        counts.append(ShardCount(documents, jsonl_bytes))
        progress.bytes_done = before + shard.compressed_bytes
        progress.shards_done += 1
    subsets = {
        name: Count(tally.documents[name], tally.text_bytes[name], tally.squared[name])
        for name in sorted(tally.documents)
    }
    return CorpusCounts(tuple(counts), subsets, tally.duplicates(), damage=damage)
