"""Artifacts of one type -> the places that the evidence allows them in a profile.

Pure. There are two kinds of lists. In the registry's, an artifact beats another by their evidence
alone, at a level that holds for 50 at once: others change nothing. In a list that a caller names,
the places hold together, by stepping down (Holm 1979): pairs that differ are set aside, which
leaves more room for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

from services.common.statistics.ranking.family import simultaneous_level
from services.common.statistics.ranking.rank_sets import holm
from services.common.statistics.ranking.separation import places_by
from services.ranker.methodology.profile import Profile
from services.ranker.methodology.score import Score, Standing

Pair = tuple[str, str]


@dataclass(frozen=True)
class Rank:
    """The place of one artifact in a profile, among the `of` that were measured on the same things.

    Places count from 1; they are None for an artifact that lacks a metric. It is surely better than
    those in `beats`, and too close to call with those in `not_separable_from`; `on` is what all of
    them were measured on.
    """

    artifact: str
    score: Score
    best_place: int | None
    worst_place: int | None
    of: int
    beats: tuple[str, ...] = ()
    not_separable_from: tuple[str, ...] = ()
    on: str = ""


@dataclass(frozen=True)
class Places:
    """The places of one type's artifacts in a profile.

    `level` is the chance that no artifact is called better by chance alone; 1 if nothing was
    measured by sampling.
    """

    profile: str
    ranks: tuple[Rank, ...]
    level: float


def of_registry(sides: Sequence[Standing], profile: Profile) -> Places:
    """Places by a fixed family: each pair separately. The order of the sides does not matter."""
    groups = _groups(sides, profile)
    wins = {pair for group in groups.values() for pair in _won(group, profile)}
    largest = max(map(len, groups.values()), default=0)
    sampled = _sampled(sides, profile)
    level = simultaneous_level(largest, sampled) if sampled else 1.0
    return Places(profile.name, _ranked(sides, profile, wins), level)


def of_list(sides: Sequence[Standing], profile: Profile, level: float) -> Places:
    """Places that hold together with `level`, for artifacts that a caller named."""
    wins: set[Pair] = set()
    for group in _groups(sides, profile).values():
        won = _won(group, profile)
        levels = {frozenset(pair): at for pair, at in won.items()}
        pairs = [frozenset(pair) for pair in combinations([side.id for side in group], 2)]
        apart = holm(pairs, partial(_sure, levels), level)
        wins |= {pair for pair in won if frozenset(pair) in apart}
    reached = level if _sampled(sides, profile) else 1.0
    return Places(profile.name, _ranked(sides, profile, wins), reached)


def _won(group: Sequence[Standing], profile: Profile) -> dict[Pair, float]:
    """Winner and loser of each pair that has them, and the least level of their readings.

    Only the one with more points can be the winner, for the middle weights are in the ranges.
    """
    ordered = sorted(group, key=lambda side: profile.score(side.readings)[1] or 0.0, reverse=True)
    return {
        (one.id, two.id): profile.level(one.readings, two.readings)
        for one, two in combinations(ordered, 2)
        if profile.beats(one.readings, two.readings)
    }


def _sure(levels: Mapping[frozenset[str], float], pair: frozenset[str], level: float) -> bool:
    return levels.get(pair, 0.0) >= level


def _sampled(sides: Sequence[Standing], profile: Profile) -> int:
    """Number of the profile's metrics whose readings have random errors."""
    return sum(
        any(name in side.readings and side.readings[name].sampled for side in sides)
        for name in profile.ranges
    )


def _groups(sides: Sequence[Standing], profile: Profile) -> dict[str, list[Standing]]:
    """Complete artifacts, by what they were measured on."""
    groups: dict[str, list[Standing]] = {}
    for side in sorted(sides, key=lambda side: side.id):
        if not profile.lacks(side.readings):
            groups.setdefault(profile.on(side.readings), []).append(side)
    return groups


def _ranked(sides: Sequence[Standing], profile: Profile, wins: set[Pair]) -> tuple[Rank, ...]:
    """The largest group first, each with the best places first; then those that lack least."""
    found: list[Rank] = []
    groups = sorted(_groups(sides, profile).items(), key=lambda one: (-len(one[1]), one[0]))
    for on, group in groups:
        names = [side.id for side in group]
        places = places_by(names, wins)
        ranks = [
            Rank(
                side.id,
                side.score(profile),
                *places[side.id],
                of=len(group),
                beats=tuple(other for other in names if (side.id, other) in wins),
                not_separable_from=tuple(
                    other
                    for other in names
                    if other != side.id
                    and (side.id, other) not in wins
                    and (other, side.id) not in wins
                ),
                on=on,
            )
            for side in group
        ]
        found += sorted(ranks, key=lambda one: (one.best_place, one.worst_place, one.artifact))
    unranked = [
        Rank(side.id, side.score(profile), None, None, 0)
        for side in sides
        if profile.lacks(side.readings)
    ]
    return (*found, *sorted(unranked, key=lambda one: (-one.score.coverage, one.artifact)))
