"""Finds documents by id."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from services.corpus.catalog.corpus import Corpus, Shard
from services.corpus.shards.bad_lines import BadLines
from services.corpus.shards.blocks import read_blocks
from services.corpus.shards.documents import Document, parse_line
from services.corpus.shards.records import BadLineError
from services.errors import InvalidArgument, NotFound, TooLarge

_ID = re.compile(r"(.+):([0-9]{1,15})", re.DOTALL)


def find_documents(
    corpus: Corpus, ids: Sequence[str], max_bytes: int
) -> Generator[list[Document] | None, None, None]:
    """Find documents: yield None while looking, then, once, all of them in the order of `ids`.

    Blocks for a frame at a time, or, where a shard has no index, for a block of it. Raises
    InvalidArgument and NotFound naming the id, TooLarge when their texts and metas have more than
    `max_bytes`, and DataLoss.
    """
    shards = {shard.path: shard for shard in corpus.shards}
    wanted: dict[str, list[int]] = {}
    for one in ids:
        match = _ID.fullmatch(one)
        if match is None:
            raise InvalidArgument("ids", f'{one[:80]!r} is not "<shard path>:<line>"')
        if match[1] not in shards:
            raise NotFound("shard", match[1], list(itertools.islice(shards, 10)))
        wanted.setdefault(match[1], []).append(int(match[2]))
    asked = Counter(ids)
    found: dict[str, Document] = {}
    size = 0
    for path, lines in wanted.items():
        shard = shards[path]
        for document in _indexed(shard, lines) if shard.index else _scanned(shard, lines):
            if document is None:
                yield None
                continue
            size += (len(document.text) + len(document.meta)) * asked[document.id]
            if size > max_bytes:
                raise TooLarge("these documents do not fit in a message; request fewer at a time")
            found[document.id] = document
    try:
        yield [found[one] for one in ids]
    except KeyError as error:
        raise InvalidArgument("ids", f"{error.args[0]!r} is not spelled as ids are") from None


def _indexed(shard: Shard, lines: Sequence[int]) -> Iterator[Document | None]:
    with closing(shard.open_frames()) as frames:
        for line in dict.fromkeys(lines):
            try:
                yield frames.document(line)
            except IndexError:
                raise _missing(shard, line) from None
            # A frame in object storage can take long: the caller may have left meanwhile.
            yield None


def _scanned(shard: Shard, lines: Sequence[int]) -> Iterator[Document | None]:
    left = set(lines)
    bad = BadLines(shard.path, skip=False)
    for block in read_blocks(shard.file, shard.path, reading=shard.reading):
        here = {line for line in left if line < block.first_line + block.lines}
        data = block.data.split(b"\n") if here else []
        for line in here:
            raw = data[line - block.first_line]
            try:
                yield parse_line(raw, shard.path, line)
            except BadLineError as error:
                bad.met(block, line, raw, error)
                raise _missing(shard, line) from None
        left -= here
        if not left:
            return
        yield None
    raise _missing(shard, min(left))


def _missing(shard: Shard, line: int) -> NotFound:
    return NotFound("document", f"{shard.path}:{line}", [])
