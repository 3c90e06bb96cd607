"""The numbered sequences of a plan, and how each is read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.corpus.stream.plan import StreamPlan
from services.corpus.tokens.packing import best_fit, concatenated
from services.corpus.tokens.store import ShardTokens

# Sequences' worth of documents that are packed together. At most one of them is not full.
_PACKED_TOGETHER = 2048
_KEPT = 4


class Packing(Enum):
    """How documents share a sequence."""

    CONCATENATED = "concatenated"
    BEST_FIT = "best fit"


@dataclass(frozen=True)
class Cut:
    """What a sequence is: its tokens, the token between documents, and how they share it."""

    length: int
    separator: int
    packing: Packing


class Part(NamedTuple):
    """A piece of a document in a sequence; one without a document fills the end."""

    shard: int
    line: int
    offset: int
    tokens: int


@dataclass(frozen=True)
class _Documents:
    """Documents in the order of the plan: shard, line, and tokens with the separator."""

    shard: npt.NDArray[np.int64]
    line: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


class _Group(NamedTuple):
    """The documents of a group, as lists: one number of an array takes thrice as long to get.

    `cut` is where they end, or how they are packed.
    """

    shard: list[int]
    line: list[int]
    cut: list[Any]


@dataclass(frozen=True)
class Numbering:
    """Groups of units (from, to), and where each ends: in tokens, or in packed sequences."""

    groups: tuple[tuple[int, int], ...]
    ends: npt.NDArray[np.int64]


class Sequences:
    """The sequences of a plan over the tokens of its shards.

    They are numbered by `prepare`, or as an earlier one was. `total` is how many there are;
    `left_out` the tokens behind the last whole one. For one thread.
    """

    def __init__(
        self,
        plan: StreamPlan,
        tokens: Sequence[ShardTokens],
        cut: Cut,
        numbering: Numbering | None = None,
    ) -> None:
        self._plan, self._tokens, self._cut = plan, tokens, cut
        self._first_lines = plan.first_lines()
        self.numbering = Numbering((), np.zeros(0, np.int64))
        if numbering is not None:
            self._take(numbering)
        self._kept: OrderedDict[int, _Group] = OrderedDict()

    total = left_out = 0

    def _take(self, numbering: Numbering) -> None:
        self.numbering = numbering
        end = int(numbering.ends[-1]) if len(numbering.ends) else 0
        best = self._cut.packing is Packing.BEST_FIT
        self.total = end if best else end // self._cut.length
        self.left_out = 0 if best else end % self._cut.length

    def prepare(self) -> Iterator[None]:
        """Number the sequences, which looks at every document; yields now and then."""
        groups: list[tuple[int, int]] = []
        together = _PACKED_TOGETHER * self._cut.length
        best = self._cut.packing is Packing.BEST_FIT
        ends: list[int] = []
        end = begun = size = 0
        for unit in range(self._plan.units):
            size += int(self._documents(unit, unit + 1).counts.sum())
            last = unit + 1 == self._plan.units
            if not best or size >= together or last:
                if best:
                    counts = self._documents(begun, unit + 1).counts.tolist()
                    size = len(best_fit(counts, self._cut.length))
                end += size
                groups.append((begun, unit + 1))
                ends.append(end)
                begun, size = unit + 1, 0
            yield None
        self._take(Numbering(tuple(groups), np.array(ends, np.int64)))

    def read(self, number: int) -> tuple[npt.NDArray[Any], list[Part]]:
        """Read a sequence: its ids, and the pieces that they are."""
        length, separator = self._cut.length, self._cut.separator
        parts = self._parts(number)
        dtype = self._tokens[0].ids.dtype
        ids = np.empty(length, dtype)
        place = 0
        for shard, line, offset, size in parts:
            tokens = self._tokens[shard]
            begin, end = int(tokens.starts[line]) + offset, int(tokens.starts[line + 1])
            if begin + size <= end:
                ids[place : place + size] = tokens.ids[begin : begin + size]
            else:  # the separator is behind a document's own tokens
                own = place + max(0, end - begin)
                ids[place:own] = tokens.ids[begin:end]
                ids[own : place + size] = separator
            place += size
        if place < length:
            ids[place:] = separator
            parts.append(Part(-1, 0, 0, length - place))
        return ids, parts

    def _parts(self, number: int) -> list[Part]:
        if self._cut.packing is Packing.BEST_FIT:
            group = int(np.searchsorted(self.numbering.ends, number, side="right"))
            shards, lines, packed = self._group(group)
            before = int(self.numbering.ends[group - 1]) if group else 0
            return [
                Part(shards[document], lines[document], offset, tokens)
                for document, offset, tokens in packed[number - before]
            ]
        first, last = number * self._cut.length, (number + 1) * self._cut.length
        group = int(self.numbering.ends.searchsorted(first, side="right"))
        found: list[Part] = []
        while first < last:
            shards, lines, ends = self._group(group)
            before = int(self.numbering.ends[group - 1]) if group else 0
            until = min(last, int(self.numbering.ends[group]))
            found += [
                Part(shards[document], lines[document], offset, tokens)
                for document, offset, tokens in concatenated(ends, first - before, until - before)
            ]
            first, group = until, group + 1
        return found

    def _group(self, number: int) -> _Group:
        kept = self._kept.pop(number, None)
        if kept is None:
            documents = self._documents(*self.numbering.groups[number])
            best = self._cut.packing is Packing.BEST_FIT
            kept = _Group(
                documents.shard.tolist(),
                documents.line.tolist(),
                best_fit(documents.counts.tolist(), self._cut.length)
                if best
                else np.cumsum(documents.counts).tolist(),
            )
        self._kept[number] = kept
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return kept

    def _documents(self, first: int, last: int) -> _Documents:
        """The documents of the units `first` to `last`."""
        shards, lines = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        counts = [np.zeros(0, np.int64)]
        for number in range(first, last):
            unit = self._plan.unit(number)
            of_unit: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = []
            for shard, frame in unit.frames:
                begin, end = self._first_lines[shard][frame : frame + 2].tolist()
                of_unit.append((np.full(end - begin, shard), np.arange(begin, end)))
            shard_of = np.concatenate([one for one, _ in of_unit])[unit.order]
            line_of = np.concatenate([one for _, one in of_unit])[unit.order]
            shards.append(shard_of)
            lines.append(line_of)
            sizes = np.empty(len(line_of), np.int64)
            for shard in {shard for shard, _ in unit.frames}:
                mine = shard_of == shard
                sizes[mine] = self._tokens[shard].counts[line_of[mine]]
            counts.append(sizes + 1)
        return _Documents(np.concatenate(shards), np.concatenate(lines), np.concatenate(counts))
