"""The documents of a selection cut into chunks, each with the cursor to resume from after it.

A chunk is made when it is pulled. `chunks` yields None when it has read some of a shard and has
nothing to deliver yet, so that a caller can stop a search that finds little.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from services.corpus.shards.bad_lines import BadLine
from services.corpus.shards.documents import Document
from services.corpus.shards.frames import SkippedFrame
from services.corpus.stream.cursor import CursorCodec, LinePosition
from services.corpus.stream.reader import Item, Reader, ShardLike
from services.corpus.stream.selection import Selection
from services.errors import AssayError, TooLarge

# Texts and lines longer than this are delivered in fragments: a message holds 4 MiB.
FRAGMENT_BYTES = 2 << 20
# A meta is not cut, and its subset's name is sent a second time: both fit beside a fragment.
MAX_META_BYTES = FRAGMENT_BYTES // 4
# Most that the last zstd block adds to a block of lines beyond its size.
_MAX_OVERSHOOT_BYTES = 128 << 10
_MIN_BLOCK_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of a stream: either `documents` or `lines`, the other is empty.

    `fragment` says that it is a part of one document or line, `continues` that the next chunk has
    more of it. `cursor` is the position after the chunk, and empty if it `continues`.
    """

    cursor: bytes
    documents: tuple[Document, ...] = ()
    lines: bytes = b""
    continues: bool = False
    fragment: bool = False
    damaged: tuple[SkippedFrame, ...] = ()
    bad: tuple[BadLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of what a message holds, in bytes: a chunk, a fragment of a document, a meta."""

    chunk_bytes: int = 512 << 10
    fragment_bytes: int = FRAGMENT_BYTES
    max_meta_bytes: int = MAX_META_BYTES


def chunks(
    shards: Sequence[ShardLike],
    selection: Selection,
    codec: CursorCodec,
    *,
    position: LinePosition | None = None,
    jsonl: bool = False,
    limits: Limits = Limits(),
    skip_bad_lines: bool = False,
) -> Generator[Chunk | None, None, None]:
    """Cut a resolved selection into chunks within `limits`.

    A chunk has at most `chunk_bytes`, or is one larger document.

    A text or line of more than `fragment_bytes` takes several. With `jsonl` the shards' own lines
    are delivered, unparsed unless the selection's filter or limit needs to know what is in them.
    Begins at `position`, or at the beginning.

    Raises, after everything before it: DataLoss at a damaged shard, and at a line that had to be
    parsed and is not a document; TooLarge at a document whose meta does not fit in a message.
    InvalidArgument when `position` is not in the selection.
    """
    block_bytes = max(limits.chunk_bytes - _MAX_OVERSHOOT_BYTES, _MIN_BLOCK_BYTES)
    reader = Reader(
        shards,
        selection,
        position,
        parse=not jsonl,
        block_bytes=block_bytes,
        piece_bytes=limits.chunk_bytes,
        skip_bad_lines=skip_bad_lines,
    )
    yield from cut_items(reader.items(), codec, limits)


def cut_items(
    items: Iterator[Item | None], codec: CursorCodec, limits: Limits
) -> Generator[Chunk | None, None, None]:
    """Cut documents or lines into chunks. Raises what `items` does, after everything before it.

    Raises TooLarge at a document whose meta does not fit in a message.
    """
    group: list[Item] = []
    size = 0
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
        oversized = len(document.text if document else item.lines) > limits.fragment_bytes
        too_much_meta = document is not None and len(document.meta) > limits.max_meta_bytes
        if group and (oversized or too_much_meta or size + item.size > limits.chunk_bytes):
            full = [_whole(group, codec)]
            group, size = [], 0
            yield full.pop()  # a paused generator holds no chunk that it passed on
        if document and too_much_meta:
            raise TooLarge(
                f"{document.id}: its meta of {len(document.meta)} bytes does not fit in a "
                "message; request DELIVERY_JSONL"
            )
        if oversized:
            yield from _fragments(item, codec, limits.fragment_bytes)
        else:
            group.append(item)
            size += item.size
    if group:
        yield _whole(group, codec)


def _whole(group: Sequence[Item], codec: CursorCodec) -> Chunk:
    cursor = codec.encode(group[-1].after)
    found = tuple(item.document for item in group if item.document is not None)
    damaged = tuple(one for item in group for one in item.damaged)
    bad = tuple(one for item in group for one in item.bad)
    lines = b"".join([item.lines for item in group])
    return Chunk(cursor, found, lines, damaged=damaged, bad=bad)


def _fragments(item: Item, codec: CursorCodec, fragment_bytes: int) -> Iterator[Chunk]:
    document = item.document
    payload = item.lines if document is None else document.text
    for start in range(0, len(payload), fragment_bytes):
        part = payload[start : start + fragment_bytes]
        continues = start + fragment_bytes < len(payload)
        cursor = b"" if continues else codec.encode(item.after)
        found: tuple[Document, ...] = ()
        if document is not None:
            found = (replace(document, text=part, meta=b"" if start else document.meta),)
        lines = part if document is None else b""
        # Damage is reported with the cursor after it, so that a resumed stream does not repeat it.
        skipped = Chunk(b"") if continues else Chunk(b"", damaged=item.damaged, bad=item.bad)
        yield replace(
            skipped,
            cursor=cursor,
            documents=found,
            lines=lines,
            continues=continues,
            fragment=True,
        )
