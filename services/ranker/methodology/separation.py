"""Two scores -> which artifact is better, component by component and overall, or what would tell.

Pure. Better in a component means that the two intervals are disjoint. Better overall is said only
of two artifacts of one type, and only when the winner's low end stays above the other's high end
under every weighting in the declared range.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.ranker.methodology.definition import Weight
from services.ranker.methodology.score import Component, Score

SHARED_SCALES = frozenset({"match_graph", "freshness", "adoption"})
"""Components that mean the same for every type. Quality and ecosystem are scaled by type."""

_NOISE = 1e-12
_MORE = "more observations, for a narrower interval"


class Separation(StrEnum):
    """Which of two artifacts is better."""

    LEFT = "LEFT"
    RIGHT = "RIGHT"
    NOT_SEPARABLE = "NOT_SEPARABLE"
    DIFFERENT_TYPES = "DIFFERENT_TYPES"

    def swapped(self) -> Separation:
        """The same answer with the sides exchanged."""
        return {Separation.LEFT: Separation.RIGHT, Separation.RIGHT: Separation.LEFT}.get(
            self, self
        )


@dataclass(frozen=True)
class Missing:
    """Evidence that an artifact lacks, in words; of which metric, where the component has them."""

    artifact: str
    metric: str
    what: str


@dataclass(frozen=True)
class ComponentComparison:
    """Which is better in one component, and what would separate them when nothing here does."""

    component: str
    separation: Separation
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True)
class Side:
    """One artifact as the comparison sees it: its id for messages, its type and its score."""

    id: str
    type: str
    score: Score


def by_component(left: Side, right: Side) -> tuple[ComponentComparison, ...]:
    """Which is better in each component, in the score's order."""
    pairs = zip(left.score.components, right.score.components, strict=True)
    return tuple(_component(left, right, mine, other) for mine, other in pairs)


def overall(left: Side, right: Side, ranges: Mapping[str, Weight]) -> Separation:
    """Which is better overall. `ranges` are the declared weightings of the sides' type."""
    if left.type != right.type:
        return Separation.DIFFERENT_TYPES
    if least_lead(left.score, right.score, ranges) > _NOISE:
        return Separation.LEFT
    if least_lead(right.score, left.score, ranges) > _NOISE:
        return Separation.RIGHT
    return Separation.NOT_SEPARABLE


def least_lead(mine: Score, other: Score, ranges: Mapping[str, Weight]) -> float:
    """The least lead, in [-1, 1], of `mine` at its worst over `other` at its best.

    The least over every weighting within `ranges` that sums to 1. It is a linear programme with one
    equation: give each component its least weight, then the rest to the smallest leads first.
    """
    leads = sorted(
        (a.low - b.high, a.name) for a, b in zip(mine.components, other.components, strict=True)
    )
    rest = 1 - sum(ranges[name].low for _, name in leads)
    total = 0.0
    for lead, name in leads:
        extra = min(rest, ranges[name].high - ranges[name].low)
        total += lead * (ranges[name].low + extra)
        rest -= extra
    return total


def what_would_separate(left: Side, right: Side) -> str:
    """The evidence whose absence leaves most of the two scores open, heaviest first."""
    gaps = [
        (component.weight * (component.high - component.low), side.id, component)
        for side in (left, right)
        for component in side.score.components
        if component.weight * (component.high - component.low) > _NOISE
    ]
    gaps.sort(key=lambda gap: (-gap[0], gap[2].name, gap[1]))
    if not gaps:
        return "nothing: the two are equal within the declared weightings"
    return "; ".join(_needed(name, component) for _, name, component in gaps[:3])


def _component(left: Side, right: Side, mine: Component, other: Component) -> ComponentComparison:
    if left.type != right.type and mine.name not in SHARED_SCALES:
        return ComponentComparison(mine.name, Separation.DIFFERENT_TYPES)
    if mine.low > other.high + _NOISE:
        return ComponentComparison(mine.name, Separation.LEFT)
    if other.low > mine.high + _NOISE:
        return ComponentComparison(mine.name, Separation.RIGHT)
    wide = tuple(
        one
        for side, component in sorted(((left, mine), (right, other)), key=lambda pair: pair[0].id)
        if component.high - component.low > _NOISE
        for one in _missing(side.id, component)
    )
    return ComponentComparison(mine.name, Separation.NOT_SEPARABLE, wide)


def _missing(artifact: str, component: Component) -> Iterator[Missing]:
    """What would narrow one component of one artifact."""
    of_metrics = component.name not in SHARED_SCALES
    for name in component.missing:
        yield Missing(artifact, name if of_metrics else "", name)
    if not component.missing:
        yield Missing(artifact, "", _MORE)


def _needed(artifact: str, component: Component) -> str:
    """What would narrow one component of one artifact."""
    if component.missing:
        return f"{component.name} of {artifact}: {', '.join(component.missing)}"
    return f"{component.name} of {artifact}: {_MORE}"
