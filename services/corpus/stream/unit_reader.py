"""Reads the units of a plan from the frames of its shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from services.corpus.shards.documents import Document
from services.corpus.shards.frames import DamagedFrame, FrameReader, SkippedFrame
from services.corpus.stream.plan import StreamPlan, Unit

# Of a stream; each has up to two open files.
_MAX_OPEN_SHARDS = 4
# Checking more than this takes too long for the event loop.
_MAX_READY_BYTES = 4 << 20


StoredFrame: TypeAlias = tuple[FrameReader, int, bytes | memoryview]
"""A shard, the number of a frame of it, and the frame as it is stored."""


@dataclass(frozen=True)
class StoredUnit:
    """Frames as they are stored, and which of their documents to take.

    `order` is empty for all as they stand. `documents` of the unit are dealt with, and what
    follows them is `damage`, where there is some. the places of `skipped` count among them.
    """

    frames: list[StoredFrame]
    order: list[int]
    documents: int
    damage: DamagedFrame | None = None
    skipped: tuple[SkippedFrame, ...] = ()


class IndexedShard(Protocol):
    """What reading needs of a shard."""

    def open_frames(self) -> FrameReader: ...  # noqa: D102


class UnitReader:
    """Reads units of a plan over `shards`, those of the selection in its order. Close it.

    With `skip_damaged`, frames that are not what their index says are skipped; else reading one
    raises DamagedFrame. A skipped frame is reported in each unit where its first document would
    have come; a stream that resumes after that does not report it again.
    """

    def __init__(
        self, shards: Sequence[IndexedShard], plan: StreamPlan, *, skip_damaged: bool = False
    ) -> None:
        self._shards, self.plan, self._skip = shards, plan, skip_damaged
        self._open: dict[int, FrameReader] = {}
        self._damaged: list[SkippedFrame] = []
        # What `prepare` has read.
        self._ready: dict[tuple[int, int], bytes | memoryview] = {}

    def close(self) -> None:
        """Close the shards' files."""
        with ExitStack() as stack:
            for opened in self._open.values():
                stack.callback(opened.close)
        self._open.clear()

    def shard(self, number: int) -> FrameReader:
        """Open a shard of the plan. The files of only a few are kept open."""
        found = self._open.pop(number, None)
        if found is None:
            if len(self._open) >= _MAX_OPEN_SHARDS:
                self._open.pop(next(iter(self._open))).close()
            found = self._shards[number].open_frames()
        self._open[number] = found
        return found

    def take_damaged(self) -> tuple[SkippedFrame, ...]:
        """Return the frames to report that `lines` has skipped since the last call."""
        if not self._damaged:
            return ()
        damaged, self._damaged = tuple(self._damaged), []
        return damaged

    def lines(
        self, number: int, taken: int, until: int | None = None
    ) -> Iterator[tuple[int, bytes, FrameReader, int, int]]:
        """Decode the documents of a unit from `taken` to `until`, a frame when it is needed.

        Yields (documents of the unit taken after this one, line with its newline, shard, line's
        number in it, frame).
        """
        unit = self.plan.unit(number)
        order = unit.order[taken:until]
        starts, frame_of = self._frame_of(unit)
        begun, frame_of = set(frame_of[:taken].tolist()), frame_of[taken:until]
        decoded: dict[int, list[bytes]] = {}
        for after, (index, place) in enumerate(
            zip(order.tolist(), frame_of.tolist(), strict=True), taken + 1
        ):
            shard, frame = unit.frames[place]
            if place not in decoded:
                try:
                    decoded[place] = self.shard(shard).lines(frame)
                except DamagedFrame as error:
                    if not self._skip:
                        raise
                    if place not in begun:
                        self._damaged.append(SkippedFrame(error, int((frame_of == place).sum())))
                    decoded[place] = []
            if decoded[place]:
                reader = self.shard(shard)
                within = index - int(starts[place])
                line = int(reader.index.frames["first_line"][frame]) + within
                yield after, decoded[place][within], reader, line, frame

    def prepare(self, number: int) -> bool:
        """Read the frames of a unit for `stored`, if that is possible without waiting."""
        self._ready.clear()
        room = _MAX_READY_BYTES
        for shard, frame in self.plan.frames(number):
            reader = self.shard(shard)
            text = reader.has_text(frame)
            data = reader.compressed_in_memory(frame, text=text, limit=room)
            if data is None:
                self._ready.clear()
                return False
            room -= len(data)
            self._ready[shard, frame] = data
        return True

    def stored(self, number: int, taken: int, until: int | None = None) -> StoredUnit:
        """Read the frames of a unit as they are stored, for its documents `taken` to `until`."""
        unit = self.plan.unit(number)
        if unit.whole and not taken and until in {None, len(unit.order)}:
            with suppress(DamagedFrame):  # handled below
                frames = [self._stored_frame(shard, frame) for shard, frame in unit.frames]
                return StoredUnit(frames, [], len(unit.order))
        order = unit.order[taken:until]
        starts, frame_of = self._frame_of(unit)
        begun, frame_of = set(frame_of[:taken].tolist()), frame_of[taken:until]
        frames = []
        shift = np.zeros(
            len(order), np.int64
        )  # from an index in the unit to one in the frames sent
        lost = np.zeros(len(order), np.bool_)
        skipped: list[SkippedFrame] = []
        sent, damage = 0, None
        for place, (shard, frame) in enumerate(unit.frames):
            mine = frame_of == place
            if not mine.any():
                continue
            try:
                stored = self._stored_frame(shard, frame)
            except DamagedFrame as error:
                if self._skip:
                    places = tuple(np.flatnonzero(mine).tolist())
                    skipped.append(SkippedFrame(error, len(places), places, place in begun))
                    lost |= mine
                    continue
                # Documents before it are still delivered.
                damage, end = error, int(np.argmax(mine))
                order, frame_of = order[:end], frame_of[:end]
                shift, lost = shift[:end], lost[:end]
                continue
            frames.append(stored)
            shift[mine] = sent - int(starts[place])
            sent += int(stored[0].index.frames["documents"][frame])
        if not len(order):  # no order would mean all documents of the frames
            frames, sent = [], 0
        taken_from = (order.astype(np.int64) + shift)[~lost]
        whole = len(taken_from) == sent and bool((taken_from == np.arange(sent)).all())
        kept = [] if whole else taken_from.tolist()
        return StoredUnit(frames, kept, len(order), damage, tuple(skipped))

    def _stored_frame(self, shard: int, frame: int) -> StoredFrame:
        reader = self.shard(shard)
        ready = self._ready.pop((shard, frame), None)
        if ready is not None:
            return reader, frame, ready
        return reader, frame, reader.compressed(frame, text=reader.has_text(frame))

    def _frame_of(self, unit: Unit) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return where each frame's documents begin in the unit, and the frame of each ordered."""
        counts = [int(self.shard(s).index.frames["documents"][f]) for s, f in unit.frames]
        starts = np.cumsum([0, *counts[:-1]])
        return starts, np.searchsorted(starts, unit.order, side="right") - 1


def documents(shards: Sequence[IndexedShard], plan: StreamPlan) -> Iterator[Document]:
    """Read all documents of a plan, in its order. Raises as FrameReader does."""
    with closing(UnitReader(shards, plan)) as units:
        for number in range(plan.units):
            for _, line, reader, place, frame in units.lines(number, 0):
                yield reader.parse(line[:-1], place, frame)
