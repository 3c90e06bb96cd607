"""Reads the units of a plan from the frames of its shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.corpus.documents import Document
from services.corpus.frames import DamagedFrame, FrameReader
from services.corpus.plan import Plan, Unit

Stored = tuple[list[tuple[FrameReader, int, bytes]], npt.NDArray[np.int64] | None]


class IndexedShard(Protocol):
    """What reading needs of a shard."""

    def open_frames(self) -> FrameReader: ...  # noqa: D102


class UnitReader:
    """Reads units of a plan over `shards`, those of the selection in its order. Close it.

    With `skip_damaged`, frames that are not what their index says are passed over and noted in
    `damaged`, which the caller empties; else reading one raises DamagedFrame.
    """

    def __init__(
        self, shards: Sequence[IndexedShard], plan: Plan, *, skip_damaged: bool = False
    ) -> None:
        self._shards, self._plan, self._skip = shards, plan, skip_damaged
        self._open: dict[int, FrameReader] = {}
        self.damaged: list[tuple[DamagedFrame, int]] = []

    def close(self) -> None:
        """Close the shards' files."""
        with ExitStack() as stack:
            for opened in self._open.values():
                stack.callback(opened.close)
        self._open.clear()

    def shard(self, number: int) -> FrameReader:
        """Open a shard of the plan, once."""
        if number not in self._open:
            self._open[number] = self._shards[number].open_frames()
        return self._open[number]

    def lines(self, number: int, taken: int) -> Iterator[tuple[int, bytes, FrameReader, int, int]]:
        """Decode what is left of a unit after `taken` documents.

        Yields (documents of the unit taken after this one, line with its newline, shard, line's
        number in it, frame).
        """
        unit = self._plan.unit(number)
        order = unit.order[taken:]
        decoded: list[list[bytes]] = []
        for place, (shard, frame) in enumerate(unit.frames):
            try:
                decoded.append(self.shard(shard).lines(frame))
            except DamagedFrame as error:
                self._pass_over(error, _documents_of(self, unit, place, order))
                decoded.append([])
        starts = _starts(self, unit)
        frame_of = np.searchsorted(starts, order, side="right") - 1
        for after, (index, place) in enumerate(
            zip(order.tolist(), frame_of.tolist(), strict=True), taken + 1
        ):
            if decoded[place]:
                shard, frame = unit.frames[place]
                reader = self.shard(shard)
                within = index - int(starts[place])
                line = int(reader.index.frames["first_line"][frame]) + within
                yield after, decoded[place][within], reader, line, frame

    def compressed(self, number: int, taken: int) -> Stored:
        """Read the frames of a unit as they are stored, and which documents to take from them.

        Returns [(shard, frame, data)] and the order, None for all as they stand.
        """
        unit = self._plan.unit(number)
        order = unit.order[taken:]
        starts = _starts(self, unit)
        frame_of = np.searchsorted(starts, order, side="right") - 1
        found: list[tuple[FrameReader, int, bytes]] = []
        kept = np.zeros(len(order), np.int64)  # the first document of each one's frame as sent
        lost = np.zeros(len(order), np.bool_)
        sent = 0
        for place, (shard, frame) in enumerate(unit.frames):
            mine = frame_of == place
            if not mine.any():
                continue
            reader = self.shard(shard)
            try:
                found.append((reader, frame, reader.compressed(frame, text=reader.has_text(frame))))
            except DamagedFrame as error:
                self._pass_over(error, int(mine.sum()))
                lost |= mine
                continue
            kept[mine] = sent - int(starts[place])
            sent += int(reader.index.frames["documents"][frame])
        places = (order.astype(np.int64) + kept)[~lost]
        whole = len(places) == sent and bool((places == np.arange(sent)).all())
        return found, None if whole else places

    def _pass_over(self, error: DamagedFrame, documents: int) -> None:
        if not self._skip:
            raise error
        self.damaged.append((error, documents))


def documents(shards: Sequence[IndexedShard], plan: Plan) -> Iterator[Document]:
    """Read all documents of a plan, in its order. Raises as FrameReader does."""
    with closing(UnitReader(shards, plan)) as units:
        for number in range(plan.units):
            for _, line, reader, place, frame in units.lines(number, 0):
                yield reader.parse(line[:-1], place, frame)


def _starts(units: UnitReader, unit: Unit) -> npt.NDArray[np.integer]:
    """Return where each frame's documents begin among those of the unit."""
    counts = [int(units.shard(s).index.frames["documents"][f]) for s, f in unit.frames]
    return np.cumsum([0, *counts[:-1]])


def _documents_of(units: UnitReader, unit: Unit, place: int, order: npt.NDArray[np.integer]) -> int:
    starts = _starts(units, unit)
    return int((np.searchsorted(starts, order, side="right") - 1 == place).sum())
