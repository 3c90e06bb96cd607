"""Profiles: which artifacts are ranked together, by what, and which of two is better in one.

A profile is a declared list of metrics with a range of weights each. Only artifacts that have
every metric of it, measured on the same things, are compared: nothing outside the profile enters,
and nothing missing is filled in. What separates two is in
`services.common.statistics.ranking.separation`.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from services.common.statistics.ranking import separation
from services.ranker.methodology.definition import GREATEST, LEAST, TypeRules
from services.ranker.methodology.readings import Reading, Readings

_NOTHING = separation.Reading(0.0, 0.0, 0.0, sampled=False)
_OPEN = Reading(0.0, LEAST, GREATEST, sampled=False)
"""A missing value: anything from the worst to the best."""


@dataclass(frozen=True)
class Profile:
    """A named list of metrics, each with the least and the greatest weight that it may have."""

    name: str
    ranges: Mapping[str, tuple[float, float]]

    @cached_property
    def weights(self) -> dict[str, float]:
        """The middles of the ranges, which sum to 1."""
        return {name: (low + high) / 2 for name, (low, high) in self.ranges.items()}

    @cached_property
    def _corners(self) -> tuple[dict[str, float], ...]:
        return separation.corners(self.ranges)

    def lacks(self, readings: Readings) -> tuple[str, ...]:
        """The metrics that an artifact has no reading for, in the profile's order."""
        return tuple(name for name in self.ranges if name not in readings)

    def on(self, readings: Readings) -> str:
        """What a complete artifact was measured on, in words."""
        same = {name: readings[name].same for name in self.ranges}
        return "; ".join(f"{name} on {one}" for name, one in same.items() if one)

    def differs(self, first: Readings, second: Readings) -> tuple[str, ...]:
        """The metrics with readings of both, but of different things."""
        both = [name for name in self.ranges if name in first and name in second]
        return tuple(name for name in both if first[name].same != second[name].same)

    def comparable(self, first: Readings, second: Readings) -> bool:
        """Whether both have every metric, measured on the same things."""
        return not (self.lacks(first) or self.lacks(second) or self.differs(first, second))

    def beats(self, first: Readings, second: Readings) -> bool:
        """Whether the first is better than the second under every allowed weighting."""
        return self.comparable(first, second) and separation.beats(first, second, self._corners)

    def level(self, *sides: Readings) -> float:
        """The least level of the readings; 1 if none is random."""
        return min(one[name].level for one in sides for name in self.ranges)

    def score(self, readings: Readings) -> tuple[float, float | None, float]:
        """Low, point and high out of 100 at the middle weights.

        If anything is missing there is no point, and the ends are the remaining bounds.
        """
        filled = {name: readings.get(name, _OPEN) for name in self.ranges}
        nothing = dict.fromkeys(self.ranges, _NOTHING)
        low = 100 * separation.margin(filled, nothing, self.weights)
        high = -100 * separation.margin(nothing, filled, self.weights)
        if self.lacks(readings):
            return low, None, high
        point = 100 * math.fsum(w * readings[name].point for name, w in self.weights.items())
        return min(low, point), point, max(high, point)


def profiles(rules: TypeRules) -> tuple[Profile, ...]:
    """The declared profiles in their order, then each metric alone, by its own name."""
    ranges = rules.ranges()
    alone = {name: {name: (1.0, 1.0)} for name in rules.metrics if name not in ranges}
    return tuple(Profile(name, range_of) for name, range_of in (ranges | alone).items())


def first_complete(candidates: Sequence[Profile], *sides: Readings) -> Profile | None:
    """The first profile that every side is complete in, all on the same things."""
    for one in candidates:
        if all(one.comparable(sides[0], side) for side in sides):
            return one
    return None
