"""The order in which the documents of an indexed selection are delivered.

The indexes and the selection alone decide the order, so the server keeps no shuffle buffer and no
record of who got what. The order is a sequence of units, each of a few frames that follow one
another in it. Ranks take whole units. With a seed, the documents of a unit are permuted together,
so that neighbours in a stream come from several frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from services.corpus.stream.mixture import Mixture, WeightUnit, interleave
from services.corpus.stream.permutation import permutation
from services.corpus.stream.selection import Selection
from services.errors import InvalidArgument

if TYPE_CHECKING:
    from services.corpus.shards.index.format import Index

# A small corpus has small units, so that there are some for every rank.
_UNIT_FRAMES = 4
_MIN_UNITS = 64
_MAX_OCCURRENCES = 1 << 26
# First part of the key of a permutation, so that no two kinds share a key.
_OF_FRAMES, _OF_DOCUMENTS = 1, 2

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Unit:
    """Frames that are delivered together.

    `frames` are (position of the shard among the plan's, frame); `order` says which of their
    documents are delivered, in which order: indices into the documents of the frames, one after
    the other. `whole` says that these are all of them as they stand.
    """

    frames: tuple[tuple[int, int], ...]
    order: npt.NDArray[np.uint32]
    whole: bool


class StreamPlan:
    """The units of a resolved selection over the indexes of its shards, in their order.

    `corpora` names the corpus of each index where the selection mixes several, and `tokens` has the
    tokens of each document where weights are shares of them.

    `counts` has the documents delivered of each unit, `text_bytes` the sizes of their texts.
    Raises InvalidArgument when there are too many epochs. Safe to share between threads.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        selection: Selection,
        *,
        corpora: Sequence[str] = (),
        tokens: Sequence[npt.NDArray[np.integer]] = (),
    ) -> None:
        self._indexes = tuple(indexes)
        self._selection = selection
        frames = _Frames(self._indexes, selection, corpora, tokens)
        self._shard, self._frame = frames.shard, frames.frame
        epochs = [_epoch(frames, selection, epoch) for epoch in range(selection.epochs)]
        size = max(1, min(_UNIT_FRAMES, len(frames.shard) // _MIN_UNITS))
        ends: list[Integers] = [np.zeros(1, np.int64)]
        for epoch in epochs:
            if len(epoch):
                inner = np.arange(size, len(epoch), size)
                ends.append(np.append(inner, len(epoch)) + ends[-1][-1])
        self._order: Integers = np.concatenate(epochs)
        self._bounds: Integers = np.concatenate(ends)
        self.counts = _sums(frames.documents[self._order], self._bounds)
        self.text_bytes = _sums(frames.text_bytes[self._order], self._bounds)
        self._cut()

    @property
    def units(self) -> int:
        """Units over all epochs, up to the selection's limits."""
        return len(self.counts)

    def unit(self, number: int) -> Unit:
        """Spell a unit out."""
        frames = self.frames(number)
        sizes = np.concatenate([self._text_bytes(shard, frame) for shard, frame in frames])
        order = self._arrange(number, sizes)[: self.counts[number]].astype(np.uint32)
        as_they_stand = self._selection.seed is None and len(order) == len(sizes)
        return Unit(frames, order, as_they_stand)

    def frames(self, number: int) -> tuple[tuple[int, int], ...]:
        """Return (shard, frame) of each frame of a unit."""
        chosen = self._order[self._bounds[number] : self._bounds[number + 1]]
        return tuple((int(self._shard[one]), int(self._frame[one])) for one in chosen)

    def first_lines(self) -> list[Integers]:
        """Of each shard: the first line of each frame, and its number of lines."""
        return [
            np.append(index.frames["first_line"], index.documents).astype(np.int64)
            for index in self._indexes
        ]

    def _arrange(self, number: int, sizes: npt.NDArray[np.uint32]) -> Integers:
        """Order the documents of a unit, without the limits; `sizes` are those of their texts."""
        selection = self._selection
        if selection.seed is None:
            order: Integers = np.arange(len(sizes))
        else:
            order = permutation(len(sizes), selection.seed, _OF_DOCUMENTS, number)
        return order[_wanted(sizes, selection)[order]] if selection.filters_text else order

    def _text_bytes(self, shard: int, frame: int) -> npt.NDArray[np.uint32]:
        index = self._indexes[shard]
        first = int(index.frames["first_line"][frame])
        return index.text_bytes[first : first + int(index.frames["documents"][frame])]

    def _cut(self) -> None:
        """End the units where the selection's limits do."""
        selection = self._selection
        last, documents = self.units, 0
        if selection.max_documents:
            before = np.cumsum(self.counts) - self.counts
            last = int(np.searchsorted(before, selection.max_documents))
            if last:
                documents = selection.max_documents - int(before[last - 1])
        if last:
            documents = min(documents or int(self.counts[last - 1]), int(self.counts[last - 1]))
        self._end(last, documents)
        if selection.max_bytes:
            ends = np.cumsum(self.text_bytes)
            last = int(np.searchsorted(ends, selection.max_bytes, side="right"))
            if last < self.units:
                left = selection.max_bytes - (int(ends[last - 1]) if last else 0)
                sizes = self.sizes_in_order(last)
                documents = int(np.searchsorted(np.cumsum(sizes), left, side="right"))
                self._end(last + 1, documents)

    def subset_bytes(self, number: int) -> list[tuple[str, int]]:
        """Of each frame of a unit: its subset, and the bytes of its texts."""
        found = []
        for one in self._order[self._bounds[number] : self._bounds[number + 1]]:
            record = self._indexes[self._shard[one]].frames[self._frame[one]]
            name = self._indexes[self._shard[one]].header.subsets[int(record["subset"])]
            found.append((name, int(record["text_bytes"])))
        return found

    def sizes_in_order(self, number: int) -> Integers:
        """Sizes of the texts of a unit, in the order of delivery."""
        chosen = self._order[self._bounds[number] : self._bounds[number + 1]]
        sizes = np.concatenate(
            [self._text_bytes(int(self._shard[one]), int(self._frame[one])) for one in chosen]
        )
        order = self._arrange(number, sizes)[: self.counts[number]]
        return sizes[order].astype(np.int64)

    def _end(self, units: int, documents: int) -> None:
        """Keep this many units, and this many documents of the last."""
        self.counts, self.text_bytes = self.counts[:units].copy(), self.text_bytes[:units].copy()
        self._bounds = self._bounds[: units + 1]
        if units and documents < self.counts[-1]:
            self.counts[-1] = documents
            self.text_bytes[-1] = self.sizes_in_order(units - 1).sum()


class _Frames:
    """The frames of the selection's subsets, with what the selection wants of each."""

    def __init__(
        self,
        indexes: Sequence[Index],
        selection: Selection,
        corpora: Sequence[str],
        tokens: Sequence[npt.NDArray[np.integer]],
    ) -> None:
        names = sorted({name for index in indexes for name in index.header.subsets})
        self.names = [name for name in names if selection.wants(name)]
        numbers = {name: number for number, name in enumerate(self.names)}
        parts: list[tuple[npt.NDArray[np.integer], ...]] = []
        for number, index in enumerate(indexes):
            subsets = np.array([numbers.get(name, -1) for name in index.header.subsets], np.int64)
            of = subsets[index.frames["subset"]] if len(subsets) else np.zeros(0, np.int64)
            chosen = np.flatnonzero(of >= 0)
            documents, text = index.frames["documents"], index.frames["text_bytes"]
            if selection.filters_text:
                documents, text = _filtered(index, selection)
            shard = np.full(len(chosen), number)
            unit = {WeightUnit.BYTES: text, WeightUnit.DOCUMENTS: documents}.get(selection.unit)
            if unit is None:
                bounds = np.append(index.frames["first_line"], index.documents).astype(np.int64)
                unit = _sums(tokens[number], bounds)
            columns_of = (documents, text, unit)
            parts.append((shard, chosen, of[chosen], *(one[chosen] for one in columns_of)))
        columns = [np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True)]
        self.shard, self.frame, self.subset, self.documents, self.text_bytes, self.unit = columns
        # What takes turns: the subsets of a mixture, or the corpora.
        self.kinds, self.kind, self.mixture = self.names, self.subset, selection.mixture
        if selection.corpora:
            self.kinds = [name for name, _ in selection.corpora]
            of_shard = np.array([self.kinds.index(name) for name in corpora], np.int64)
            self.kind = of_shard[self.shard]
            self.mixture = Mixture("weights", selection.corpora)


def _filtered(
    index: Index, selection: Selection
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Count the documents and bytes of each frame that are of the wanted size."""
    wanted = _wanted(index.text_bytes, selection)
    bounds = np.append(index.frames["first_line"], index.documents).astype(np.int64)
    return (
        _sums(wanted.astype(np.int64), bounds),
        _sums(np.where(wanted, index.text_bytes, 0).astype(np.int64), bounds),
    )


def _wanted(sizes: npt.NDArray[np.uint32], selection: Selection) -> npt.NDArray[np.bool_]:
    wanted: npt.NDArray[np.bool_] = sizes >= selection.min_text_bytes
    return wanted & (sizes <= selection.max_text_bytes) if selection.max_text_bytes else wanted


def _epoch(frames: _Frames, selection: Selection, epoch: int) -> Integers:
    """Order the frames of an epoch: positions in `frames`, repeated where a mixture says so."""
    if frames.mixture is None:
        _check(len(frames.shard) * selection.epochs)
        return _turns(np.arange(len(frames.shard)), selection.seed, epoch, 0, 0)
    totals = np.bincount(frames.kind, frames.unit, len(frames.kinds))
    sizes = {name: int(total) for name, total in zip(frames.kinds, totals, strict=True)}
    passes = frames.mixture.passes(sizes)
    queues: list[Integers] = []
    for number, name in enumerate(frames.kinds):
        own = np.flatnonzero(frames.kind == number)
        wanted = round(passes.get(name, 0.0) * len(own))
        _check(wanted * selection.epochs)
        rounds = [np.zeros(0, np.int64)]
        for pass_ in range(-(-wanted // len(own)) if len(own) else 0):
            turns = _turns(own, selection.seed, epoch, number + 1, pass_)
            left = wanted - pass_ * len(own)
            if left < len(own):  # the last pass is not whole: an even sample of it
                turns = turns[((np.arange(left) + 0.5) * len(own) / left).astype(np.int64)]
            rounds.append(turns)
        queues.append(np.concatenate(rounds))
    counts = np.array([len(queue) for queue in queues], np.int64)
    kinds = interleave(counts)
    order = np.empty(len(kinds), np.int64)
    for number, queue in enumerate(queues):
        order[kinds == number] = queue
    return order


def _turns(own: Integers, seed: int | None, epoch: int, subset: int, pass_: int) -> Integers:
    if seed is None:
        return own
    return own[permutation(len(own), seed, _OF_FRAMES, epoch, subset, pass_)]


def _check(occurrences: int) -> None:
    if occurrences > _MAX_OCCURRENCES:
        raise InvalidArgument(
            "selection.epochs", "is more than one stream can plan; request fewer at a time"
        )


def _sums(values: npt.NDArray[np.integer], bounds: Integers) -> Integers:
    """Sum values[bounds[i]:bounds[i + 1]] for each i."""
    sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)))
    return sums[bounds[1:]] - sums[bounds[:-1]]
