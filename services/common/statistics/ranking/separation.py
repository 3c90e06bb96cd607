"""Which of two artifacts is better in several metrics at once, under every declared weighting.

An artifact beats another when its lead exceeds the slack, the most that the lead may owe to chance.
Slacks of measurements add as squares, since their errors are independent (square-and-add: Zou,
Donner, "Construction of confidence limits about effect measures", 2008); slacks of bounds add
directly. The result is a strict order, and third artifacts do not affect it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NOISE = 1e-12


@dataclass(frozen=True)
class Reading:
    """An artifact's metric on a scale where more is better.

    `sampled` means that the ends come from an interval with a level; otherwise they are bounds.
    Raises ValueError unless low <= point <= high.
    """

    point: float
    low: float
    high: float
    sampled: bool = True

    def __post_init__(self) -> None:
        if not self.low <= self.point <= self.high:
            raise ValueError(f"{self.point} is not between {self.low} and {self.high}")


Readings = Mapping[str, Reading]
Weights = Mapping[str, float]


def corners(ranges: Mapping[str, tuple[float, float]]) -> tuple[dict[str, float], ...]:
    """Return the extreme weightings within ranges, each of which sums to 1.

    In each of them, all weights but one are at an end of their range. Raises ValueError if no
    weighting within the ranges sums to 1.
    """
    found: dict[tuple[float, ...], dict[str, float]] = {}
    for name in ranges:
        others = [other for other in ranges if other != name]
        for ends in itertools.product(*(sorted(set(ranges[other])) for other in others)):
            rest = 1 - math.fsum(ends)
            low, high = ranges[name]
            if low - _NOISE <= rest <= high + _NOISE:
                chosen = {**dict(zip(others, ends, strict=True)), name: rest}
                weights = {each: chosen[each] for each in ranges}
                found.setdefault(tuple(round(one, 12) for one in weights.values()), weights)
    if not found:
        raise ValueError("no weighting within these ranges sums to 1")
    return tuple(found.values())


def margin(mine: Readings, other: Readings, weights: Weights) -> float:
    """Return the lead of `mine` over `other` minus its slack."""
    leads: list[float] = []
    bounds: list[float] = []
    squares: list[float] = []
    for name, weight in weights.items():
        one, two = mine[name], other[name]
        leads.append(weight * (one.point - two.point))
        for reading, down in ((one, one.point - one.low), (two, two.high - two.point)):
            (squares if reading.sampled else bounds).append(weight * down)
    return math.fsum(leads) - math.fsum(bounds) - math.hypot(*squares)


def beats(mine: Readings, other: Readings, weightings: Sequence[Weights]) -> bool:
    """Whether `mine` is better under all weightings, whose corners are `corners`.

    The margin is concave in the weights, so the corners decide for all weightings between them.
    False if either artifact lacks one of the metrics.
    """
    wanted = weightings[0].keys()
    if not (wanted <= mine.keys() and wanted <= other.keys()):
        return False
    return all(margin(mine, other, weights) > _NOISE for weights in weightings)


def places(
    artifacts: Mapping[str, Readings], weightings: Sequence[Weights]
) -> dict[str, tuple[int, int]]:
    """Return the best and the worst place of each artifact that has all of the metrics."""
    ranked = [name for name, one in artifacts.items() if weightings[0].keys() <= one.keys()]
    wins = {
        (one, two)
        for one, two in itertools.permutations(ranked, 2)
        if beats(artifacts[one], artifacts[two], weightings)
    }
    return places_by(ranked, wins)


def places_by(ranked: Sequence[str], wins: set[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    """Return the best and the worst place of each, from (winner, loser) pairs."""
    return {
        name: (
            1 + sum((other, name) in wins for other in ranked),
            len(ranked) - sum((name, other) in wins for other in ranked),
        )
        for name in ranked
    }
