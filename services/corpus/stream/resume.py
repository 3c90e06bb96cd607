"""Where each rank resumes, and how the remaining units are divided among a new number of ranks.

Ranks take the units of a plan in turn. A rank's position is all that it has still to deliver: units
that it has begun or was left with, then every `stride`-th unit from `next` on. A position says
nothing about the past, so the positions of all ranks together are exactly what is left, and a
change of the number of ranks loses and repeats nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.errors import InvalidArgument

MAX_WORLD_SIZE = 65_536
"""As the contract says, and as many positions as a call may resume from."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RankPosition:
    """What rank `rank` of a world has left.

    First `pieces`, (unit, documents of it that were taken), ascending and all before `next`; then
    the units `next`, `next + stride`, ... Ranks of one world have the same `stride`, its size, and
    no two of them the same `next` modulo it.
    """

    pieces: tuple[tuple[int, int], ...]
    next: int
    stride: int
    rank: int


def start(rank: int, world_size: int) -> RankPosition:
    """Return the position of a rank at the beginning.

    Raises InvalidArgument when there is no such rank.
    """
    if not 1 <= world_size <= MAX_WORLD_SIZE:
        raise InvalidArgument(
            "rank.world_size", f"{world_size} is not between 1 and {MAX_WORLD_SIZE:,}"
        )
    if not 0 <= rank < world_size:
        raise InvalidArgument(
            "rank.rank", f"{rank} is not one of {world_size} ranks, 0 to {world_size - 1}"
        )
    return RankPosition((), rank, world_size, rank)


def head(position: RankPosition, units: int) -> tuple[int, int] | None:
    """Return what to deliver next, (unit, documents of it already taken); None at the end."""
    if position.pieces:
        return position.pieces[0]
    return (position.next, 0) if position.next < units else None


def after(position: RankPosition, counts: Counts, documents: int) -> RankPosition:
    """Return the position once `documents` more were taken; `counts` has those of each unit.

    Raises InvalidArgument when fewer are left.
    """
    left = documents
    while left:
        unit_and_taken = head(position, len(counts))
        if unit_and_taken is None:
            raise InvalidArgument(
                "resume.documents", f"{left} more than there are after the cursor"
            )
        unit, taken = unit_and_taken
        rest = int(counts[unit]) - taken
        if left < rest:
            return _begun(position, unit, taken + left)
        left -= max(rest, 0)
        position = through(position)
        if left and not position.pieces:
            return _far_after(position, counts, left)
    return position


def through(position: RankPosition) -> RankPosition:
    """Return the position once the unit at its head was delivered whole."""
    if position.pieces:
        return RankPosition(position.pieces[1:], position.next, position.stride, position.rank)
    return RankPosition((), position.next + position.stride, position.stride, position.rank)


def redeal(
    positions: Sequence[RankPosition], units: int, rank: int, world_size: int
) -> RankPosition:
    """Deal what the ranks of one world have left of `units` units to another world.

    Returns `rank`'s share of it.

    Begun and left-over units are dealt in turn, then the units that no rank had reached. Dealing to
    a world of the same size changes nothing where every rank has come equally far.

    Raises InvalidArgument when `positions` are not those of every rank of one world, each once.
    """
    start(rank, world_size)
    if not positions:
        raise InvalidArgument("resume", "has no position to continue from")
    stride = positions[0].stride
    if any(position.stride != stride for position in positions):
        raise InvalidArgument("resume", "mixes places of worlds of different sizes")
    ranks = [position.rank for position in positions]
    if sorted(ranks) != list(range(stride)):
        missing = sorted(set(range(stride)) - set(ranks))
        what = f"rank {missing[0]} is missing" if missing else "a rank appears twice"
        raise InvalidArgument(
            "resume", f"needs the place of each of the {stride} ranks once, and {what}"
        )
    if len({position.next % stride for position in positions}) != stride:
        raise InvalidArgument("resume", "mixes places of runs that were dealt differently")
    front = max(position.next for position in positions)
    pieces = [piece for position in positions for piece in position.pieces]
    for position in positions:
        pieces += [(unit, 0) for unit in range(position.next, min(front, units), stride)]
    pieces.sort()
    # The unit `front + k` goes to the rank that comes k turns after the last piece.
    first = front + (rank - len(pieces)) % world_size
    return RankPosition(tuple(pieces[rank::world_size]), first, world_size, rank)


def _far_after(position: RankPosition, counts: Counts, documents: int) -> RankPosition:
    """Do what `after` does, at once for any number of units, where no pieces are left."""
    ends = np.cumsum(counts[position.next :: position.stride])
    if not len(ends) or documents > ends[-1]:
        missing = documents - (int(ends[-1]) if len(ends) else 0)
        raise InvalidArgument("resume.documents", f"{missing} more than there are after the cursor")
    whole = int(np.searchsorted(ends, documents, side="right"))
    position = RankPosition(
        (), position.next + whole * position.stride, position.stride, position.rank
    )
    left = documents - (int(ends[whole - 1]) if whole else 0)
    return _begun(position, position.next, left) if left else position


def _begun(position: RankPosition, unit: int, taken: int) -> RankPosition:
    if position.pieces:
        pieces = ((unit, taken), *position.pieces[1:])
        return RankPosition(pieces, position.next, position.stride, position.rank)
    return RankPosition(
        ((unit, taken),), position.next + position.stride, position.stride, position.rank
    )
