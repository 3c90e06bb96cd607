"""The units of a plan cut into chunks, with the cursor to resume from after each."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from services.corpus.shards.frames import FrameReader, SkippedFrame
from services.corpus.stream import resume, spans
from services.corpus.stream.chunks import Chunk, Limits, cut_items
from services.corpus.stream.cursor import CursorCodec
from services.corpus.stream.plan import StreamPlan
from services.corpus.stream.reader import Item
from services.corpus.stream.resume import RankPosition
from services.corpus.stream.spans import SpanPosition
from services.corpus.stream.unit_reader import StoredFrame, StoredUnit, UnitReader
from services.corpus.stream.waiting import Waiting

UnitPosition: TypeAlias = RankPosition | SpanPosition


@dataclass(frozen=True, slots=True)
class FramePart:
    """A frame as it is stored, or a part of it; `first` says that its data begins here."""

    shard: FrameReader
    frame: int
    data: bytes | memoryview
    first: bool
    continues: bool


@dataclass(frozen=True, slots=True)
class FrameChunk:
    """Frames of some units; the last chunk of a batch of them has `cursor` and `order`."""

    cursor: bytes
    parts: tuple[FramePart, ...]
    order: Sequence[int]
    damaged: tuple[SkippedFrame, ...] = ()


def frame_chunks(
    units: UnitReader,
    position: UnitPosition,
    codec: CursorCodec,
    limits: Limits,
    waiting: Waiting | None = None,
) -> Generator[FrameChunk | None, None, None]:
    """Pass the stored frames of a rank's units on, in batches of about `chunk_bytes`.

    No chunk has more than `fragment_bytes` of them. Raises DamagedFrame as `units` does.
    """
    batch = _Batch()
    waiting = waiting or Waiting()
    while (next_part := _head(position, units.plan)) is not None:
        number, taken, until = next_part
        if not waiting.allowed and not units.prepare(number):
            waiting.failed()
            yield None
        stored = units.stored(number, taken, until)
        waiting.read()
        if stored.damage is not None:
            position = after(position, units.plan, stored.documents)
        else:
            position = _through(position, until - taken)
        batch.add(stored)
        if batch.bytes >= limits.chunk_bytes or stored.damage is not None:
            yield from _batch_chunks(batch, codec.encode(position), limits.fragment_bytes)
            batch = _Batch()
        else:
            yield None
        if stored.damage is not None:
            raise stored.damage
    yield from _batch_chunks(batch, codec.encode(position), limits.fragment_bytes)


def after(position: UnitPosition, plan: StreamPlan, documents: int) -> UnitPosition:
    """Return the position once `documents` more were taken.

    Raises InvalidArgument when fewer are left.
    """
    if isinstance(position, SpanPosition):
        return spans.after(position, documents)
    return resume.after(position, plan.counts, documents)


def _head(position: UnitPosition, plan: StreamPlan) -> tuple[int, int, int] | None:
    """Return what to deliver next: a unit, and its documents from where to where."""
    if isinstance(position, SpanPosition):
        return spans.head(position, plan.counts)
    found = resume.head(position, plan.units)
    return None if found is None else (*found, int(plan.counts[found[0]]))


def _through(position: UnitPosition, documents: int) -> UnitPosition:
    """Return the position once what `_head` said was delivered."""
    if isinstance(position, SpanPosition):
        return spans.after(position, documents)
    return resume.through(position)


class _Batch:
    """Stored units put together: their frames, and which of the documents to take."""

    def __init__(self) -> None:
        self._units: list[StoredUnit] = []
        self.frames: list[StoredFrame] = []
        self.skipped: list[SkippedFrame] = []
        self.bytes = self.documents = 0

    def add(self, stored: StoredUnit) -> None:
        self._units.append(stored)
        for one in stored.skipped:
            places = tuple(place + self.documents for place in one.places)
            self.skipped.append(replace(one, places=places))
        self.frames += stored.frames
        self.documents += stored.documents
        self.bytes += sum(len(data) for _, _, data in stored.frames)

    def order(self) -> list[int]:
        """Indices into the documents of the frames; empty for all as they stand."""
        if not any(unit.order for unit in self._units):
            return []
        order: list[int] = []
        first = 0
        for unit in self._units:
            held = sum(int(shard.index.frames["documents"][n]) for shard, n, _ in unit.frames)
            order += [place + first for place in unit.order or range(held)]
            first += held
        return order


def _batch_chunks(batch: _Batch, cursor: bytes, fragment_bytes: int) -> Iterator[FrameChunk]:
    if not batch.documents:
        return
    parts = _parts(batch.frames, fragment_bytes)
    group = next(parts, ())
    for following in parts:
        yield FrameChunk(b"", group, ())
        group = following
    yield FrameChunk(cursor, group, batch.order(), tuple(batch.skipped))


def document_chunks(
    units: UnitReader,
    position: UnitPosition,
    codec: CursorCodec,
    limits: Limits,
    *,
    jsonl: bool,
) -> Generator[Chunk | None, None, None]:
    """Deliver the documents, or with `jsonl` the lines, of a rank's units.

    Raises DamagedFrame as `units` does, and as `cut_items` does, after everything before.
    """
    yield from cut_items(_items(units, position, jsonl=jsonl), codec, limits)


def _items(units: UnitReader, position: UnitPosition, *, jsonl: bool) -> Iterator[Item | None]:
    while (next_part := _head(position, units.plan)) is not None:
        number, taken, until = next_part
        for end, line, shard, line_number, frame in units.lines(number, taken, until):
            here = after(position, units.plan, end - taken)
            document = None if jsonl else shard.parse(line[:-1], line_number, frame)
            yield Item(document, line if jsonl else b"", here, units.take_damaged())
        position = _through(position, until - taken)
        yield None
    damaged = units.take_damaged()
    if damaged:  # a cursor after it, so that a resumed stream does not report it again
        yield Item(None, b"", position, damaged)


def _parts(found: Sequence[StoredFrame], limit: int) -> Iterator[tuple[FramePart, ...]]:
    """Group frames so that none of the groups has more than `limit` bytes of data."""
    group: list[FramePart] = []
    room = limit
    for shard, frame, data in found:
        start = 0
        while True:
            piece = data[start : start + room]
            end = start + len(piece)
            if piece or not data:
                group.append(FramePart(shard, frame, piece, start == 0, end < len(data)))
            room -= len(piece)
            start = end
            if start >= len(data):
                break
            yield tuple(group)
            group, room = [], limit
    if group:
        yield tuple(group)
