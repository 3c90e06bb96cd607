"""Two artifacts -> which is better, metric by metric and profile by profile, or what would tell.

Pure. "Better" is about this pair alone, at the methodology's level for a pair. In a metric or a
profile it requires that both have all the evidence, on the same things; overall, it is that of the
first profile of their type for which this holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from services.ranker.methodology.definition import SHOWN
from services.ranker.methodology.profile import Profile, first_complete
from services.ranker.methodology.score import Component, Standing

_NOISE = 1e-12
_MORE = "a narrower interval: more observations, or figures printed to more digits"


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
    """What an artifact lacks for a decision, in words, and in which metric."""

    artifact: str
    metric: str
    what: str


@dataclass(frozen=True)
class Answer:
    """Which is better in a profile, or in what is shown beside profiles.

    `name` is the profile's; a metric's name is the profile of the metric alone. `complete` says
    that both have all of its evidence, on the same things.
    """

    name: str
    separation: Separation
    complete: bool
    missing: tuple[Missing, ...] = ()


def by_profile(left: Standing, right: Standing) -> tuple[Answer, ...]:
    """Which is better in each profile of their type; nothing where their types differ."""
    if left.record.artifact.type is not right.record.artifact.type:
        return ()
    return tuple(_profile(one, left, right) for one in left.profiles)


def by_component(left: Standing, right: Standing) -> tuple[Answer, ...]:
    """Which is better in each metric, then in what is shown of every type."""
    metrics = {
        name
        for one in (left, right)
        for name in one.methodology.rules(one.record.artifact.type).metrics
    }
    answers = tuple(one for one in by_profile(left, right) if one.name in metrics)
    first, second = (one.score(one.profiles[0]).components for one in (left, right))
    mine, other = ({one.name: one for one in parts} for parts in (first, second))
    return answers + tuple(_shown(left, right, mine[name], other[name]) for name in SHOWN)


def decisive(left: Standing, right: Standing) -> Profile | None:
    """The profile that decides overall: the first that both are complete in."""
    if left.record.artifact.type is not right.record.artifact.type:
        return None
    return first_complete(left.profiles, left.readings, right.readings)


def _profile(profile: Profile, left: Standing, right: Standing) -> Answer:
    complete = profile.comparable(left.readings, right.readings)
    if profile.beats(left.readings, right.readings):
        return Answer(profile.name, Separation.LEFT, complete)
    if profile.beats(right.readings, left.readings):
        return Answer(profile.name, Separation.RIGHT, complete)
    sides = sorted((left, right), key=lambda one: one.id)
    missing = tuple(one for side in sides for one in _missing(profile, side, left, right))
    return Answer(profile.name, Separation.NOT_SEPARABLE, complete, missing)


def _missing(
    profile: Profile, side: Standing, left: Standing, right: Standing
) -> Iterator[Missing]:
    """What one side lacks; nothing if more evidence would not help."""
    lacks = profile.lacks(side.readings)
    components = {one.name: one for one in side.score(profile).components}
    for name in lacks:
        yield Missing(side.id, name, components[name].missing)
    for name in profile.differs(left.readings, right.readings):
        on = side.readings[name].same or "something that is not said"
        yield Missing(side.id, name, f"evidence on what the other was measured on; it is of {on}")
    if profile.comparable(left.readings, right.readings):
        for name in profile.ranges:
            if side.readings[name].high - side.readings[name].low > _NOISE:
                yield Missing(side.id, name, _MORE)


def _shown(left: Standing, right: Standing, mine: Component, other: Component) -> Answer:
    known = mine.point is not None and other.point is not None
    if known and mine.low > other.high + _NOISE:
        return Answer(mine.name, Separation.LEFT, complete=True)
    if known and other.low > mine.high + _NOISE:
        return Answer(mine.name, Separation.RIGHT, complete=True)
    missing = tuple(
        Missing(side.id, mine.name, component.missing or _MORE)
        for side, component in sorted(((left, mine), (right, other)), key=lambda pair: pair[0].id)
        if component.high - component.low > _NOISE
    )
    return Answer(mine.name, Separation.NOT_SEPARABLE, known, missing)
