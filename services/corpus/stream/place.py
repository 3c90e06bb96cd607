"""Where one rank is in a stream of units, and how the places of all ranks are dealt out anew.

Ranks take the units of a plan in turn. A rank's place is all that it has still to deliver: units
that it has begun or was left with, then every `stride`-th unit from `next` on. So a place says
nothing about the past, and the places of all ranks together say exactly what is left, whatever the
ranks were before. That is what makes a change of their number exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.errors import InvalidArgument

MAX_WORLD_SIZE = 1 << 20

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Place:
    """What rank `rank` of a world has left.

    First `pieces`, (unit, documents of it that were taken), ascending and all before `next`; then
    the units `next`, `next + stride`, ... Ranks of one world have the same `stride`, its size, and
    no two of them the same `next` modulo it.
    """

    pieces: tuple[tuple[int, int], ...]
    next: int
    stride: int
    rank: int


def start(rank: int, world_size: int) -> Place:
    """Place a rank at the beginning.

    Raises InvalidArgument when there is no such rank.
    """
    if not 1 <= world_size <= MAX_WORLD_SIZE:
        raise InvalidArgument(
            "rank.world_size", f"{world_size} is not between 1 and {MAX_WORLD_SIZE}"
        )
    if not 0 <= rank < world_size:
        raise InvalidArgument(
            "rank.rank", f"{rank} is not one of {world_size} ranks, 0 to {world_size - 1}"
        )
    return Place((), rank, world_size, rank)


def head(place: Place, units: int) -> tuple[int, int] | None:
    """Return what to deliver next, (unit, documents of it already taken); None at the end."""
    if place.pieces:
        return place.pieces[0]
    return (place.next, 0) if place.next < units else None


def after(place: Place, counts: Counts, documents: int) -> Place:
    """Return the place once `documents` more were taken; `counts` has those of each unit.

    Raises InvalidArgument when fewer are left.
    """
    left = documents
    while left:
        unit_and_taken = head(place, len(counts))
        if unit_and_taken is None:
            raise InvalidArgument(
                "resume.documents", f"{left} more than there are after the cursor"
            )
        unit, taken = unit_and_taken
        rest = int(counts[unit]) - taken
        if left < rest:
            return _begun(place, unit, taken + left)
        left -= max(rest, 0)
        place = through(place)
        if left and not place.pieces:
            return _far_after(place, counts, left)
    return place


def through(place: Place) -> Place:
    """Return the place once the unit at its head was delivered whole."""
    if place.pieces:
        return Place(place.pieces[1:], place.next, place.stride, place.rank)
    return Place((), place.next + place.stride, place.stride, place.rank)


def redeal(places: Sequence[Place], units: int, rank: int, world_size: int) -> Place:
    """Deal what the ranks of one world have left of `units` units to another world.

    Returns `rank`'s share of it.

    Begun and left-over units are dealt in turn, then the units that no rank had reached. Dealing to
    a world of the same size changes nothing where every rank has come equally far.

    Raises InvalidArgument when `places` are not those of every rank of one world, each once.
    """
    start(rank, world_size)
    if not places:
        raise InvalidArgument("resume", "has no place to go on from")
    stride = places[0].stride
    if any(place.stride != stride for place in places):
        raise InvalidArgument("resume", "mixes places of worlds of different sizes")
    ranks = [place.rank for place in places]
    if sorted(ranks) != list(range(stride)):
        missing = sorted(set(range(stride)) - set(ranks))
        what = f"rank {missing[0]} is missing" if missing else "a rank is there twice"
        raise InvalidArgument(
            "resume", f"needs the place of each of the {stride} ranks once, and {what}"
        )
    if len({place.next % stride for place in places}) != stride:
        raise InvalidArgument("resume", "mixes places of runs that were dealt differently")
    front = max(place.next for place in places)
    pieces = [piece for place in places for piece in place.pieces]
    for place in places:
        pieces += [(unit, 0) for unit in range(place.next, min(front, units), stride)]
    pieces.sort()
    # The unit `front + k` goes to the rank that comes k turns after the last piece.
    first = front + (rank - len(pieces)) % world_size
    return Place(tuple(pieces[rank::world_size]), first, world_size, rank)


def _far_after(place: Place, counts: Counts, documents: int) -> Place:
    """Do what `after` does, at once for any number of units, where no pieces are left."""
    ends = np.cumsum(counts[place.next :: place.stride])
    if not len(ends) or documents > ends[-1]:
        missing = documents - (int(ends[-1]) if len(ends) else 0)
        raise InvalidArgument("resume.documents", f"{missing} more than there are after the cursor")
    whole = int(np.searchsorted(ends, documents, side="right"))
    place = Place((), place.next + whole * place.stride, place.stride, place.rank)
    left = documents - (int(ends[whole - 1]) if whole else 0)
    return _begun(place, place.next, left) if left else place


def _begun(place: Place, unit: int, taken: int) -> Place:
    if place.pieces:
        pieces = ((unit, taken), *place.pieces[1:])
        return Place(pieces, place.next, place.stride, place.rank)
    return Place(((unit, taken),), place.next + place.stride, place.stride, place.rank)
