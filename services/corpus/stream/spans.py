"""Equal shares of a stream for every rank: spans of the order, in documents.

Ranks that take whole units differ by up to a unit, and training on all of them stops with the first
that has no more. Here the documents of the order are numbered, and each rank has as many of them,
one after the other. A position is the spans that are left, so that what the ranks of one world have
left can be divided among another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from services.corpus.stream.resume import start
from services.errors import InvalidArgument

Counts = npt.NDArray[np.int64]
Spans = tuple[tuple[int, int], ...]
"""(first document, the one behind the last), in the order of delivery."""


class Remainder(Enum):
    """What is done with documents that do not make a batch for every rank."""

    DROP = "drop"
    WRAP = "wrap"


@dataclass(frozen=True, slots=True)
class SpanPosition:
    """The documents that rank `rank` of `stride` has left."""

    spans: Spans
    stride: int
    rank: int


@dataclass(frozen=True)
class Share:
    """A rank's equal part: what it gets, and what all ranks together leave out or get twice."""

    position: SpanPosition
    documents: int
    dropped: int
    repeated: int


def share(left: Spans, rank: int, world_size: int, batch: int, remainder: Remainder) -> Share:
    """Divide documents among ranks, as many for each, in multiples of `batch`.

    Raises InvalidArgument for a rank that there is not, and where nothing is left to wrap.
    """
    start(rank, world_size)
    total = sum(end - begin for begin, end in left)
    whole = world_size * batch
    steps = total // whole if remainder is Remainder.DROP else -(-total // whole)
    each = steps * batch
    position = SpanPosition(_cut(left, total, rank * each, each), world_size, rank)
    given = each * world_size
    return Share(position, each, max(0, total - given), max(0, given - total))


def after(position: SpanPosition, documents: int) -> SpanPosition:
    """Return the position once `documents` more were taken.

    Raises InvalidArgument when fewer are left.
    """
    spans = list(position.spans)
    left = documents
    while left:
        if not spans:
            raise InvalidArgument(
                "resume.documents", f"{left} more than there are after the cursor"
            )
        begin, end = spans[0]
        taken = min(left, end - begin)
        left -= taken
        spans[:1] = [(begin + taken, end)] if begin + taken < end else []
    return SpanPosition(tuple(spans), position.stride, position.rank)


def left_of(positions: Sequence[SpanPosition]) -> Spans:
    """Return what the ranks of one world have left, in order.

    Raises InvalidArgument when `positions` are not those of every rank of one world, each once.
    """
    stride = positions[0].stride
    ranks = sorted(position.rank for position in positions)
    if any(position.stride != stride for position in positions) or ranks != list(range(stride)):
        raise InvalidArgument(
            "resume", f"needs the place of each of the {stride} ranks of one world, once"
        )
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(span for position in positions for span in position.spans):
        if merged and merged[-1][1] == begin:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((begin, end))
    return tuple(merged)


def head(position: SpanPosition, counts: Counts) -> tuple[int, int, int] | None:
    """Return what to deliver next: a unit, and its documents from where to where."""
    if not position.spans:
        return None
    begin, end = position.spans[0]
    ends = np.cumsum(counts)
    unit = int(np.searchsorted(ends, begin, side="right"))
    first = int(ends[unit] - counts[unit])
    return unit, begin - first, min(end - first, int(counts[unit]))


def _cut(left: Spans, total: int, begin: int, size: int) -> Spans:
    """Cut `size` documents out of `left`, from its `begin`-th on and around again."""
    found: list[tuple[int, int]] = []
    while size:
        place = begin % total
        for first, end in left:
            if place < end - first:
                taken = min(size, end - first - place)
                found.append((first + place, first + place + taken))
                begin, size = begin + taken, size - taken
                break
            place -= end - first
    return tuple(found)
