"""Which artifacts a profile separates, and the places that follow.

A profile is a declared list of metrics with a range of weights each. Only artifacts that have
every metric of it, measured on the same things, take part: nothing outside the profile enters, and
nothing missing is filled in. With u the utility of a reading (`Scale`), i beats j when at every
corner of the weights

    sum w (u_i - u_j)  >  sum over bounded w (u_i - low_i + high_j - u_j)
                          + sqrt(sum over sampled w^2 ((u_i - low_i)^2 + (high_j - u_j)^2))

Ends of a bounded reading (rounding of a published figure) add up; those of a sampled one are
independent and add as squares (Zou, Donner, Statistics in Medicine 27, 2008). The left side minus
the right is concave in w, so the corners decide for every weighting. The relation reads the two
artifacts alone, and it is a strict order: no third artifact changes an answer.

Pure: the standard library.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product

_LEAST, _GREATEST = -0.5, 1.5
"""A utility is cut there: what is better than the scale's end still gains."""

_SLACK = 1e-12
"""Weights that miss their range by less, by rounding, are inside."""


class Kind(Enum):
    """How the ends of a reading are meant."""

    EXACT = "exact"
    """A count: no ends."""
    BOUNDED = "bounded"
    """The value lies between the ends for certain: a figure that was printed rounded."""
    SAMPLED = "sampled"
    """The ends are of an interval at the family's level."""


@dataclass(frozen=True)
class Scale:
    """Maps a value to a utility: 0 at `zero`, 1 at `one`, linear or linear in the logarithm.

    `zero` above `one` makes smaller values better. Utilities are cut at -0.5 and 1.5.
    """

    zero: float
    one: float
    logarithmic: bool = False

    def utility(self, value: float) -> float:
        """Return the utility of a value in the metric's unit."""
        zero, one = self.zero, self.one
        if self.logarithmic:
            if value <= 0:
                return _GREATEST if one < zero else _LEAST
            value, zero, one = math.log(value), math.log(zero), math.log(one)
        return min(_GREATEST, max(_LEAST, (value - zero) / (one - zero)))

    def ends(self, low: float, high: float) -> tuple[float, float]:
        """Return the utilities of an interval's ends, the lesser first."""
        first, second = sorted((self.utility(low), self.utility(high)))
        return first, second


@dataclass(frozen=True)
class Reading:
    """A metric of an artifact as utilities, `low` <= `point` <= `high`.

    `same` is what it was measured on (test set and protocol; hardware, engine and input): readings
    of different things are not compared.
    """

    point: float
    low: float
    high: float
    kind: Kind
    same: str = ""
    evidence: tuple[str, ...] = ()


Readings = Mapping[str, Reading]
"""An artifact's readings by metric."""


@dataclass(frozen=True)
class Weights:
    """The least, the middle and the greatest weight that a reader may give a metric."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Profile:
    """A named list of metrics with the range of each weight; middle weights sum to 1."""

    name: str
    metrics: Mapping[str, Weights]

    def corners(self) -> tuple[Mapping[str, float], ...]:
        """Return the corners of the allowed weightings; each sums to 1.

        At a corner all weights but one are at an end of their range.
        """
        names = sorted(self.metrics)
        found: dict[tuple[float, ...], Mapping[str, float]] = {}
        for free in names:
            fixed = [name for name in names if name != free]
            for ends in product(*((self.metrics[n].low, self.metrics[n].high) for n in fixed)):
                rest = 1.0 - math.fsum(ends)
                limits = self.metrics[free]
                if not limits.low - _SLACK <= rest <= limits.high + _SLACK:
                    continue
                weights = {**dict(zip(fixed, ends, strict=True)), free: rest}
                found[tuple(round(weights[name], 12) for name in names)] = weights
        return tuple(found.values())

    def lacks(self, readings: Readings) -> tuple[str, ...]:
        """Return the metrics that an artifact has no reading of, in the profile's order."""
        return tuple(name for name in self.metrics if name not in readings)

    def comparable(self, first: Readings, second: Readings) -> bool:
        """Say whether both have every metric, measured on the same things."""
        if self.lacks(first) or self.lacks(second):
            return False
        return all(first[name].same == second[name].same for name in self.metrics)

    def beats(self, first: Readings, second: Readings) -> bool:
        """Say whether the first is better than the second under every allowed weighting."""
        if not self.comparable(first, second):
            return False
        return all(_leads(first, second, weights) for weights in self.corners())

    def score(self, readings: Readings) -> tuple[float, float, float] | None:
        """Return low, point and high out of 100 at the middle weights; None where one lacks."""
        if self.lacks(readings):
            return None
        parts = [(self.metrics[name].middle, readings[name]) for name in self.metrics]
        point = math.fsum(w * one.point for w, one in parts)
        below = _slack([(w, one.kind, one.point - one.low) for w, one in parts])
        above = _slack([(w, one.kind, one.high - one.point) for w, one in parts])
        return 100 * (point - below), 100 * point, 100 * (point + above)


@dataclass(frozen=True)
class Place:
    """Where an artifact stands among those that take part: between two places, 1 the best."""

    artifact: str
    best: int
    worst: int
    beats: tuple[str, ...]


def places(profile: Profile, readings: Mapping[str, Readings]) -> tuple[Place, ...]:
    """Return the places of artifacts that are comparable with each other, the best first.

    `best` is one more than the number that beat it, `worst` the number of artifacts less those that
    it beats. Raises ValueError where two are not comparable: rank them apart.
    """
    names = sorted(readings)
    for first, second in product(names, names):
        if not profile.comparable(readings[first], readings[second]):
            raise ValueError(f"{first} and {second} are not comparable in {profile.name}")
    beaten = {
        name: tuple(
            other
            for other in names
            if other != name and profile.beats(readings[name], readings[other])
        )
        for name in names
    }
    found = [
        Place(
            name,
            1 + sum(name in others for others in beaten.values()),
            len(names) - len(beaten[name]),
            beaten[name],
        )
        for name in names
    ]
    return tuple(sorted(found, key=lambda one: (one.best, one.worst, one.artifact)))


def comparable_groups(
    profile: Profile, readings: Mapping[str, Readings]
) -> tuple[tuple[str, ...], ...]:
    """Return the artifacts that take part, grouped by what they were measured on; largest first."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for artifact in sorted(readings):
        if not profile.lacks(readings[artifact]):
            on = tuple(readings[artifact][name].same for name in profile.metrics)
            groups.setdefault(on, []).append(artifact)
    ordered = sorted(groups.values(), key=lambda group: (-len(group), group))
    return tuple(tuple(group) for group in ordered)


def _leads(first: Readings, second: Readings, weights: Mapping[str, float]) -> bool:
    lead = math.fsum(w * (first[n].point - second[n].point) for n, w in weights.items())
    slack = _slack(
        [
            part
            for name, w in weights.items()
            for part in (
                (w, first[name].kind, first[name].point - first[name].low),
                (w, second[name].kind, second[name].high - second[name].point),
            )
        ]
    )
    return lead > slack + _SLACK


def _slack(parts: Sequence[tuple[float, Kind, float]]) -> float:
    """Add bounded distances, and sampled ones as squares; each is (weight, kind, distance)."""
    certain = math.fsum(w * far for w, kind, far in parts if kind is Kind.BOUNDED)
    sampled = math.fsum((w * far) ** 2 for w, kind, far in parts if kind is Kind.SAMPLED)
    return certain + math.sqrt(sampled)
