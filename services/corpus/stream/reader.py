"""Reads the documents or lines of a selection, in order, from any position.

It blocks on the disk, and reads only as its consumer pulls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from services.corpus.shards.bad_lines import BadLine, BadLines
from services.corpus.shards.blocks import BLOCK_BYTES, Block, read_blocks
from services.corpus.shards.documents import Document, parse_wanted, subset_of
from services.corpus.shards.formats import Reading
from services.corpus.shards.frames import SkippedFrame
from services.corpus.shards.records import BadLineError
from services.corpus.storage.files import StoredFile
from services.corpus.stream.cursor import LinePosition, Position
from services.corpus.stream.selection import WITHDRAWN, Selection
from services.errors import DataLoss, InvalidArgument

# A line of a withdrawn subset has the name in it, or a character of it spelled as a JSON escape. A
# block without either is delivered unparsed.
_WITHDRAWN = tuple(name.encode() for name in WITHDRAWN)
_ESCAPED = re.compile(rb"\\u00[2-7]")
_LINE_BREAK, _SPACE = ord("\n"), ord(" ")
# Around a document's fields in a message.
_FIELDS_BYTES = 32


class ShardLike(Protocol):
    """What reading needs to know of a shard."""

    @property
    def split(self) -> str: ...  # noqa: D102

    @property
    def path(self) -> str: ...  # noqa: D102

    @property
    def file(self) -> StoredFile: ...  # noqa: D102

    @property
    def reading(self) -> Reading: ...  # noqa: D102


@dataclass(slots=True)
class Item:
    """One document, one line, or whole lines that are delivered as they stand.

    `damaged` frames and `bad` lines were skipped before it. An item may have nothing else.
    `size` is about how many bytes it takes in a message.
    """

    document: Document | None
    lines: bytes
    after: Position
    damaged: tuple[SkippedFrame, ...] = ()
    bad: tuple[BadLine, ...] = ()
    size: int = field(init=False)

    def __post_init__(self) -> None:
        document = self.document
        self.size = len(self.lines)
        if document is not None:
            around = len(document.id) + len(document.subset) + len(document.shard) + _FIELDS_BYTES
            self.size = len(document.text) + len(document.meta) + around


def documents(shards: Sequence[ShardLike], selection: Selection) -> Iterator[Document]:
    """Read the documents of a resolved selection. Raises as `Reader.items` does."""
    for item in Reader(shards, selection, None, parse=True).items():
        if item is not None and item.document is not None:
            yield item.document


class _WantedSubsets(dict[str, bool]):
    """Whether each subset that was met is wanted, looked up once."""

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self._selection = selection

    def __missing__(self, subset: str) -> bool:
        wanted = self[subset] = self._selection.wants(subset)
        return wanted


class Reader:
    """Reads the shards of a resolved selection from a position, up to its limits.

    With `parse` it finds documents, else lines, which it parses only where the selection's filter
    or limit needs to know what is in them. Shards are read in blocks of about `block_bytes`;
    unparsed lines come together in pieces of at most `piece_bytes`, or one longer line. With
    `skip_bad_lines` every line is parsed, and those that are not documents are passed over.
    Raises InvalidArgument when `position` is not in the selection.
    """

    def __init__(
        self,
        shards: Sequence[ShardLike],
        selection: Selection,
        position: LinePosition | None,
        *,
        parse: bool,
        block_bytes: int = BLOCK_BYTES,
        piece_bytes: int = BLOCK_BYTES,
        skip_bad_lines: bool = False,
    ) -> None:
        self._shards = [s for split in selection.splits for s in shards if s.split == split]
        self._selection = selection
        self._wanted = _WantedSubsets(selection)
        self._parse = parse
        self._skip = skip_bad_lines
        self._block_bytes = block_bytes
        self._piece_bytes = piece_bytes
        self._documents = position.documents if position else 0
        self._text_bytes = position.text_bytes if position else 0
        self._first_line = position.line if position else 0
        self._full = False  # the next document would exceed the limit in bytes
        if position:
            paths = [shard.path for shard in self._shards]
            if position.shard not in paths:
                raise InvalidArgument("cursor", "names a shard that is not in the selection")
            self._shards = self._shards[paths.index(position.shard) :]

    def items(self) -> Iterator[Item | None]:
        """Yield what is wanted, and None now and then, so that a long search can be stopped.

        Raises, after everything before it, DataLoss at a damaged shard, and at a line that had to
        be parsed and is not a document.
        """
        limit = self._selection.max_documents
        selection = self._selection
        filters = selection.filters or selection.uncopyrighted
        by_line = (
            *(self._parse, filters, selection.filters_text, selection.max_bytes),
            self._skip,
        )
        each = any(by_line)
        for shard in self._shards:
            if limit and self._documents >= limit:
                return
            bad = BadLines(shard.path, skip=self._skip, size=shard.reading.size)
            end = 0
            for block in self._blocks(shard, bad):
                end = block.first_line + block.lines
                if not block.data:
                    yield None
                elif each or block.bad or _may_be_withdrawn(block.data) or _has_blank(block.data):
                    yield from self._lines(shard.path, block, bad)
                    yield None
                else:
                    yield from self._pieces(shard.path, block.first_line, block.data)
                if self._done(limit):
                    return
            found = bad.take()
            if found:
                after = LinePosition(shard.path, end, self._documents, self._text_bytes)
                yield Item(None, b"", after, bad=found)

    def _done(self, limit: int) -> bool:
        return bool(self._full or (limit and self._documents >= limit))

    def _blocks(self, shard: ShardLike, bad: BadLines) -> Iterator[Block]:
        """Yield the blocks from the position on; they have no lines while skipping."""
        start, self._first_line = self._first_line, 0
        end = 0
        blocks = read_blocks(
            shard.file, shard.path, block_bytes=self._block_bytes, reading=shard.reading
        )
        while True:
            try:
                block = next(blocks)
            except StopIteration:
                break
            except DataLoss as error:
                bad.ended(max(start, end), error)
                return
            end = block.first_line + block.lines
            if end <= start:
                yield block._replace(data=b"", first_line=end, lines=0)
            elif block.first_line < start:
                cut = _after_lines(block.data, start - block.first_line)
                yield block._replace(data=block.data[cut:], first_line=start, lines=end - start)
            else:
                yield block
            del block  # while a client is slow, this frame would hold its lines
        if start > end:
            raise InvalidArgument("cursor", f"names line {start} of {shard.path}, which has {end}")

    def _pieces(self, path: str, line: int, data: bytes) -> Iterator[Item]:
        """Deliver a block as it stands, in pieces of whole lines."""
        limit = self._selection.max_documents
        if limit:
            data = data[: _after_lines(data, limit - self._documents)]
        start = 0
        while start < len(data):
            end = min(start + self._piece_bytes, len(data))
            if end < len(data):
                end = data.rfind(b"\n", start, end) + 1 or data.index(b"\n", end) + 1
            piece = data if end - start == len(data) else data[start:end]
            lines = piece.count(b"\n")
            line += lines
            self._documents += lines
            yield Item(None, piece, LinePosition(path, line, self._documents, 0))
            start = end

    def _lines(self, path: str, block: Block, bad: BadLines) -> Iterator[Item]:
        """Deliver those lines of a block that are wanted."""
        selection = self._selection
        limit, max_bytes = selection.max_documents, selection.max_bytes
        by_size = selection.filters_text
        parse = self._parse or max_bytes or by_size or self._skip
        wanted = self._wanted
        lines = block.data.split(b"\n")
        lines.pop()
        for number, raw in enumerate(lines, block.first_line):
            try:
                document = parse_wanted(raw, path, number, wanted) if parse else None
                if document is None and (parse or not wanted[subset_of(raw)]):
                    continue
                if by_size and document and not selection.wants_text(len(document.text)):
                    continue
            except BadLineError as error:
                bad.met(block, number, raw, error)
                continue
            if document and max_bytes:
                if self._text_bytes + len(document.text) > max_bytes:
                    self._full = True
                    return
                self._text_bytes += len(document.text)
            self._documents += 1
            after = LinePosition(path, number + 1, self._documents, self._text_bytes)
            if not self._parse:
                yield Item(None, raw + b"\n", after, bad=bad.take())
            else:
                yield Item(document, b"", after, bad=bad.take())
            if limit and self._documents >= limit:
                return


def _has_blank(data: bytes) -> bool:
    """Whether a line begins with white space, as one of nothing else does."""
    characters = np.frombuffer(data, np.uint8)
    # `in` and patterns look at every space or line break; this costs a hundredth of decoding.
    begins = np.flatnonzero(characters[:-1] == _LINE_BREAK) + 1
    return bool(characters[0] <= _SPACE or (characters[begins] <= _SPACE).any())


def _may_be_withdrawn(data: bytes) -> bool:
    return any(name in data for name in _WITHDRAWN) or _ESCAPED.search(data) is not None


def _after_lines(data: bytes, count: int) -> int:
    """Return where the first `count` lines of whole lines end."""
    return len(data) - len(data.split(b"\n", count)[-1]) if count < len(data) else len(data)
