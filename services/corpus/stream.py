"""The documents of a selection, in order, cut into chunks from whose cursors a stream goes on.

Everything here blocks on the disk and is pulled: nothing is read before it is asked for. Where a
function yields None it has read some of a shard and has nothing to deliver yet, so that a caller
can stop a search that finds little.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.corpus.cursor import CursorCodec, Position
from services.corpus.documents import BadLineError, Document, parse_line, subset_of
from services.corpus.selection import Selection
from services.corpus.shards import BLOCK_BYTES, read_blocks
from services.errors import AssayError, DataLoss, InvalidArgument, TooLarge

# Texts and lines longer than this are delivered in fragments: a message holds 4 MiB.
FRAGMENT_BYTES = 2 << 20
# A meta is not cut, and the subset's name in it is sent once more: both fit beside a fragment.
MAX_META_BYTES = FRAGMENT_BYTES // 4
# Around a document's fields in a message.
_FRAMING_BYTES = 32
# What one zstd block can add to a block of lines once that has its size.
_OVERSHOOT_BYTES = 128 << 10
_MIN_BLOCK_BYTES = 64 << 10


class ShardLike(Protocol):
    """What reading needs to know of a shard."""

    @property
    def split(self) -> str: ...  # noqa: D102

    @property
    def path(self) -> str: ...  # noqa: D102

    @property
    def file(self) -> Path: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of a stream: either `documents` or `lines`, the other is empty.

    `continues` says that the next chunk goes on in the middle of the last document or line;
    `cursor` is empty then, and otherwise the position after the chunk.
    """

    cursor: bytes
    documents: tuple[Document, ...] = ()
    lines: bytes = b""
    continues: bool = False


@dataclass(slots=True)
class _Item:
    """One document, one line, or whole lines that are delivered as they stand."""

    document: Document | None
    lines: bytes
    after: Position

    @property
    def size(self) -> int:
        document = self.document
        if document is None:
            return len(self.lines)
        around = len(document.id) + len(document.subset) + len(document.shard) + _FRAMING_BYTES
        return len(document.text) + len(document.meta) + around


def documents(shards: Sequence[ShardLike], selection: Selection) -> Iterator[Document]:
    """Read the documents of a resolved selection. Raises DataLoss as `chunks` does."""
    for item in _Reader(shards, selection, None, parse=True).items():
        if item is not None and item.document is not None:
            yield item.document


def chunks(
    shards: Sequence[ShardLike],
    selection: Selection,
    codec: CursorCodec,
    *,
    position: Position | None = None,
    jsonl: bool = False,
    chunk_bytes: int = 512 << 10,
    fragment_bytes: int = FRAGMENT_BYTES,
    max_meta_bytes: int = MAX_META_BYTES,
) -> Generator[Chunk | None, None, None]:
    """Cut a resolved selection into chunks of at most `chunk_bytes`, or of one larger document.

    A text or line of more than `fragment_bytes` takes several. With `jsonl` the shards' own lines
    are delivered, unparsed unless the selection's filter or limit needs to know what is in them.
    Begins at `position`, or at the beginning.

    Raises, after everything before it: DataLoss at a damaged shard, and at a line that had to be
    parsed and is not a document; TooLarge at a document whose meta does not fit in a message.
    InvalidArgument when `position` is not in the selection.
    """
    block_bytes = max(chunk_bytes - _OVERSHOOT_BYTES, _MIN_BLOCK_BYTES)
    reader = _Reader(
        shards,
        selection,
        position,
        parse=not jsonl,
        block_bytes=block_bytes,
        piece_bytes=chunk_bytes,
    )
    group: list[_Item] = []
    size = 0
    items = reader.items()
    while True:
        try:
            item = next(items)
        except StopIteration:
            break
        except AssayError:
            if group:
                yield _whole(group, codec)
            raise
        if item is None:
            yield None
            continue
        document = item.document
        oversized = len(document.text if document else item.lines) > fragment_bytes
        too_much_meta = document is not None and len(document.meta) > max_meta_bytes
        if group and (oversized or too_much_meta or size + item.size > chunk_bytes):
            yield _whole(group, codec)
            group, size = [], 0
        if document and too_much_meta:
            raise TooLarge(
                f"{document.id}: its meta of {len(document.meta)} bytes does not fit in a "
                "message; ask for DELIVERY_JSONL"
            )
        if oversized:
            yield from _fragments(item, codec, fragment_bytes)
        else:
            group.append(item)
            size += item.size
    if group:
        yield _whole(group, codec)


def _whole(group: Sequence[_Item], codec: CursorCodec) -> Chunk:
    cursor = codec.encode(group[-1].after)
    found = tuple(item.document for item in group if item.document is not None)
    return Chunk(cursor, found, b"".join([item.lines for item in group]))


def _fragments(item: _Item, codec: CursorCodec, fragment_bytes: int) -> Iterator[Chunk]:
    document = item.document
    payload = item.lines if document is None else document.text
    for start in range(0, len(payload), fragment_bytes):
        part = payload[start : start + fragment_bytes]
        continues = start + fragment_bytes < len(payload)
        cursor = b"" if continues else codec.encode(item.after)
        if document is None:
            yield Chunk(cursor, lines=part, continues=continues)
        else:
            meta = b"" if start else document.meta
            fragment = Document(
                document.id, document.subset, part, meta, document.shard, document.line
            )
            yield Chunk(cursor, (fragment,), continues=continues)


class _Reader:
    """Walks the shards of a selection from a position, and charges the selection's limits."""

    def __init__(
        self,
        shards: Sequence[ShardLike],
        selection: Selection,
        position: Position | None,
        *,
        parse: bool,
        block_bytes: int = BLOCK_BYTES,
        piece_bytes: int = BLOCK_BYTES,
    ) -> None:
        self._shards = [s for split in selection.splits for s in shards if s.split == split]
        self._selection = selection
        self._parse = parse
        self._block_bytes = block_bytes
        self._piece_bytes = piece_bytes
        self._documents = position.documents if position else 0
        self._text_bytes = position.text_bytes if position else 0
        self._first_line = position.line if position else 0
        self._full = False  # the next document would pass the limit in bytes
        if position:
            paths = [shard.path for shard in self._shards]
            if position.shard not in paths:
                raise InvalidArgument("cursor", "names a shard that is not in the selection")
            self._shards = self._shards[paths.index(position.shard) :]

    def items(self) -> Iterator[_Item | None]:
        """Yield what is wanted; None wherever a stretch of a shard held nothing wanted."""
        limit = self._selection.max_documents
        by_line = self._parse or self._selection.filters or self._selection.max_bytes
        for shard in self._shards:
            if limit and self._documents >= limit:
                return
            for first, data, offset in self._blocks(shard):
                if not data:
                    yield None
                elif by_line:
                    yield from self._lines(shard.path, first, data, offset)
                    yield None
                else:
                    yield from self._pieces(shard.path, first, data)
                if self._done(limit):
                    return

    def _done(self, limit: int) -> bool:
        return bool(self._full or (limit and self._documents >= limit))

    def _blocks(self, shard: ShardLike) -> Iterator[tuple[int, bytes, int]]:
        """Yield (line, lines, compressed offset) from the position on; no lines while skipping."""
        start, self._first_line = self._first_line, 0
        end = 0
        for block in read_blocks(shard.file, shard.path, block_bytes=self._block_bytes):
            end = block.first_line + block.lines
            if end <= start:
                yield end, b"", block.offset
            elif block.first_line < start:
                cut = _after_lines(block.data, start - block.first_line)
                yield start, block.data[cut:], block.offset
            else:
                yield block.first_line, block.data, block.offset
        if start > end:
            raise InvalidArgument("cursor", f"names line {start} of {shard.path}, which has {end}")

    def _pieces(self, path: str, line: int, data: bytes) -> Iterator[_Item]:
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
            yield _Item(None, piece, Position(path, line, self._documents, 0))
            start = end

    def _lines(self, path: str, line: int, data: bytes, offset: int) -> Iterator[_Item]:
        """Deliver those lines of a block that are wanted."""
        selection = self._selection
        limit, max_bytes = selection.max_documents, selection.max_bytes
        parse = self._parse or max_bytes
        lines = data.split(b"\n")
        lines.pop()
        for number, raw in enumerate(lines, line):
            try:
                if selection.filters and not selection.wants(subset_of(raw)):
                    continue
                document = parse_line(raw, path, number) if parse else None
            except BadLineError as error:
                raise DataLoss(path, offset, f"line {number} {error},") from None
            if document and max_bytes:
                if self._text_bytes + len(document.text) > max_bytes:
                    self._full = True
                    return
                self._text_bytes += len(document.text)
            self._documents += 1
            after = Position(path, number + 1, self._documents, self._text_bytes)
            if not self._parse:
                yield _Item(None, raw + b"\n", after)
            else:
                yield _Item(document, b"", after)
            if limit and self._documents >= limit:
                return


def _after_lines(data: bytes, count: int) -> int:
    """Return where the first `count` lines of whole lines end."""
    return len(data) - len(data.split(b"\n", count)[-1]) if count < len(data) else len(data)
