"""Verifies that an indexed shard holds every line of its source, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import xxhash

from services.corpus.shards.bad_lines import BadLines
from services.corpus.shards.blocks import read_blocks
from services.corpus.shards.documents import parse_line, subset_of
from services.corpus.shards.formats import READING, Reading
from services.corpus.shards.frames import FrameReader
from services.corpus.shards.index.format import (
    Index,
    IndexFormatError,
    index_path,
    open_index,
    text_path,
)
from services.corpus.shards.layout import LayoutError, ShardFile
from services.corpus.shards.records import BadLineError
from services.errors import DataLoss


def _source_digests(
    shard: ShardFile, bad_lines: int, progress: Callable[[int, int], None]
) -> tuple[dict[str, hashlib._Hash], int]:
    """Digest the lines of each subset of a shard; return that and the bytes of all of them."""
    digests: dict[str, hashlib._Hash] = {}
    jsonl = 0
    bad = BadLines(shard.path, skip=bad_lines > 0)
    blocks = read_blocks(shard.file, shard.path, reading=shard.reading)
    for block in bad.readable(blocks):
        lines = block.data.split(b"\n")
        lines.pop()
        for number, line in enumerate(lines, block.first_line):
            try:
                # If every line was a document, only its subset must be found.
                subset = parse_line(line, "", number).subset if bad_lines else subset_of(line)
            except BadLineError as error:
                bad.met(block, number, line, error)
                continue
            digests.setdefault(subset, hashlib.sha256()).update(line + b"\n")
        jsonl += len(block.data)
        progress(block.offset, jsonl)
    if bad.count != bad_lines:
        problem = f"has {bad.count} lines that are not documents, and its index {bad_lines},"
        raise DataLoss(shard.path, 0, problem)
    return digests, jsonl


def _open(file: Path) -> Index:
    try:
        return open_index(file)
    except FileNotFoundError:
        problem = "is missing"
    except IndexFormatError as error:
        problem = str(error)
    raise LayoutError(f"the index {file} {problem}; make it with `assay corpus index`")


@dataclass(frozen=True)
class Verified:
    """What was compared."""

    documents: int
    frames: int
    jsonl_bytes: int


def verify(
    source: Path,
    name: str,
    out: Path,
    *,
    path: str = "",
    reading: Reading = READING,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Verified:
    """Compare `out`/`name` with the shard it was made of, by reading both whole.

    The lines of each subset have to be the same, in the same order; the files, the frames and the
    texts have to be what the index says. Raises DataLoss naming what differs; LayoutError where
    there is no index; OSError.
    """
    index = _open(out / index_path(name))
    header = index.header
    digests, jsonl = _source_digests(
        ShardFile("", path or name, source, reading), header.bad_lines, progress
    )
    wanted = {subset: f"sha256:{one.hexdigest()}" for subset, one in digests.items()}
    listed = dict(zip(header.subsets, header.subset_digests, strict=True))
    for subset in sorted(wanted.keys() | listed.keys()):
        if wanted.get(subset) != listed.get(subset):
            raise DataLoss(name, 0, f"does not hold the lines of {subset!r} that its source has,")
    facts = [(out / name, header.shard)]
    facts += [(out / text_path(name), header.text)] if header.text else []
    for file, fact in facts:
        with file.open("rb") as opened:
            digest = f"sha256:{hashlib.file_digest(opened, 'sha256').hexdigest()}"
        if digest != fact.digest:
            raise DataLoss(file.name, 0, "is not the file that was indexed,")
    found = {subset: hashlib.sha256() for subset in header.subsets}
    with closing(FrameReader(name, out / name, out / text_path(name), index)) as frames:
        for frame, record in enumerate(index.frames):
            lines = frames.lines(frame)
            subset = header.subsets[int(record["subset"])]
            found[subset].update(b"".join(lines))
            texts = [document.text for document in frames.documents(frame)]
            first = int(record["first_line"])
            hashes = index.text_hash[first : first + len(texts)].tolist()
            if [xxhash.xxh3_64_intdigest(text) for text in texts] != hashes or (
                frames.has_text(frame) and frames.texts(frame) != texts
            ):
                raise DataLoss(name, int(record["offset"]), f"frame {frame} has other texts")
            if any(subset_of(line[:-1]) != subset for line in lines):
                raise DataLoss(name, int(record["offset"]), f"frame {frame} mixes subsets")
    for subset, digest_of in found.items():
        if f"sha256:{digest_of.hexdigest()}" != listed[subset]:
            raise DataLoss(name, 0, f"does not hold the lines of {subset!r} as indexed,")
    return Verified(index.documents, len(index.frames), jsonl)
