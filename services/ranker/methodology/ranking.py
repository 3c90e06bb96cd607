"""Scores of artifacts of one type -> the order that the evidence allows.

Pure. One artifact surely beats another when its worst case beats the other's best under every
declared weighting; that is a strict order of some pairs. Artifacts that it leaves undecided,
directly or through others, are one group: of two groups every member of one beats every member of
the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.ranker.claims.model import ArtifactType
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.separation import Separation, Side, overall


@dataclass(frozen=True)
class Rank:
    """The place of one artifact among the `of` of its type that anything is known of.

    Groups and places count from 1; they are None for one that nothing is known of.
    """

    side: Side
    tie_group: int | None
    best_place: int | None
    worst_place: int | None
    of: int
    not_separable_from: tuple[str, ...]


def rank(sides: Sequence[Side], methodology: Methodology) -> tuple[Rank, ...]:
    """The ranks of artifacts of one type, by group and then by id. Their order does not matter.

    Those that nothing is known of have no place, and come last.
    """
    everyone = sorted(sides, key=lambda side: side.id)
    ordered = [side for side in everyone if side.score.coverage > 0]
    unknown = [
        Rank(side, None, None, None, len(ordered), ())
        for side in everyone
        if not side.score.coverage > 0
    ]
    return (*_ranked(ordered, methodology), *unknown)


def _ranked(ordered: Sequence[Side], methodology: Methodology) -> Sequence[Rank]:
    if not ordered:
        return ()
    ranges = methodology.rules(ArtifactType(ordered[0].type)).weights
    beaten_by: dict[str, set[str]] = {side.id: set() for side in ordered}
    beats: dict[str, set[str]] = {side.id: set() for side in ordered}
    for index, left in enumerate(ordered):
        for right in ordered[index + 1 :]:
            separation = overall(left, right, ranges)
            if separation is Separation.NOT_SEPARABLE:
                continue
            winner, loser = (
                (left.id, right.id) if separation is Separation.LEFT else (right.id, left.id)
            )
            beats[winner].add(loser)
            beaten_by[loser].add(winner)
    names = [side.id for side in ordered]
    tied = {name: frozenset(set(names) - beats[name] - beaten_by[name] - {name}) for name in names}
    groups = _connected(names, tied)
    # Between groups all is decided, so those of a better group are beaten by fewer.
    groups.sort(key=lambda group: min(len(beaten_by[name]) for name in group))
    group_of = {name: number for number, group in enumerate(groups, start=1) for name in group}
    ranks = [
        Rank(
            side=side,
            tie_group=group_of[side.id],
            best_place=1 + len(beaten_by[side.id]),
            worst_place=len(ordered) - len(beats[side.id]),
            of=len(ordered),
            not_separable_from=tuple(sorted(tied[side.id])),
        )
        for side in ordered
    ]
    return sorted(ranks, key=lambda one: (group_of[one.side.id], one.side.id))


def _connected(names: Sequence[str], tied: dict[str, frozenset[str]]) -> list[set[str]]:
    """Sets of names that ties connect."""
    left = list(names)
    groups: list[set[str]] = []
    while left:
        group, edge = {left[0]}, [left[0]]
        while edge:
            fresh = tied[edge.pop()] - group
            group |= fresh
            edge += fresh
        groups.append(group)
        left = [name for name in left if name not in group]
    return groups
