"""How sure a figure is: the type of every interval in the product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The meaning of an interval's ends.

    CONFIDENCE: intervals made this way contain the truth in `level` of all samples.
    CREDIBLE: the posterior under a stated prior has `level` between the ends.
    BOUNDS: the value is certainly between the ends, or they are the least and greatest seen.
    ALTERNATIVES: every value between the ends fits what is known, and none is preferred.
    """

    CONFIDENCE = "confidence"
    CREDIBLE = "credible"
    BOUNDS = "bounds"
    ALTERNATIVES = "alternatives"


_WITH_LEVEL = (Kind.CONFIDENCE, Kind.CREDIBLE)


@dataclass(frozen=True)
class Interval:
    """A closed interval; an end that is None is open.

    `level` is in (0, 1) for CONFIDENCE and CREDIBLE, and 0 for the other kinds. `method` is a name
    and a version, such as "student@1". `effective_n` is how many independent observations the
    interval is worth, None if that has no meaning. Raises ValueError for ends that are not finite,
    out of order, or both open, and for a level that the kind cannot have.
    """

    low: float | None
    high: float | None
    level: float
    kind: Kind
    method: str
    effective_n: float | None = None

    def __post_init__(self) -> None:
        ends = [end for end in (self.low, self.high) if end is not None]
        if not ends or not all(map(math.isfinite, ends)) or ends != sorted(ends):
            raise ValueError(f"an interval needs finite ends in order, not {self.low}, {self.high}")
        name, _, version = self.method.partition("@")
        if not name or not version.isdigit():
            raise ValueError(f"a method is a name and a version, as student@1, not {self.method!r}")
        if self.kind in _WITH_LEVEL:
            if not 0 < self.level < 1:
                raise ValueError(f"the level of a {self.kind.value} interval is not {self.level}")
        elif self.level:
            raise ValueError(f"{self.kind.value} have no level, not {self.level}")

    def holds(self, value: float) -> bool:
        """Whether a value is between the ends or equal to one of them."""
        above = self.low is None or self.low <= value
        return above and (self.high is None or value <= self.high)


class TooFewError(ValueError):
    """Too little data for the requested level: `have` is less than `need`."""

    def __init__(self, what: str, have: int, need: int) -> None:
        super().__init__(f"needs {need:,} {what}, has {have:,}")
        self.have, self.need = have, need


def quotient(above: Interval, below: Interval) -> Interval:
    """Return the interval of every quotient of a value in `above` and one in `below`.

    All ends must be positive. The two levels a and b hold together, so the quotient's level is 1 -
    (1 - a) - (1 - b) or more. An open end of either interval opens the corresponding end, down to
    0. Raises ValueError for an end that is not positive.
    """
    ends = (above.low, above.high, below.low, below.high)
    if any(end is not None and end <= 0 for end in ends):
        raise ValueError("a quotient is of intervals above 0")
    low = 0.0 if above.low is None or below.high is None else above.low / below.high
    high = None if above.high is None or below.low is None else above.high / below.low
    level = round(max(0.0, above.level + below.level - 1), 9)
    return Interval(low, high, *_certainty((above, below), level), "quotient@1")


def hull(intervals: Sequence[Interval]) -> Interval:
    """Return the least interval that contains all of them, at the lowest of their levels."""
    lows = [one.low for one in intervals if one.low is not None]
    highs = [one.high for one in intervals if one.high is not None]
    return Interval(
        min(lows) if len(lows) == len(intervals) else None,
        max(highs) if len(highs) == len(intervals) else None,
        *_certainty(intervals, min(one.level for one in intervals)),
        "hull@1",
    )


def _certainty(parts: Sequence[Interval], level: float) -> tuple[float, Kind]:
    """Return the level and the kind of an interval derived from `parts`."""
    kinds = {part.kind for part in parts}
    if level:
        return level, Kind.CREDIBLE if kinds == {Kind.CREDIBLE} else Kind.CONFIDENCE
    return 0.0, Kind.ALTERNATIVES if Kind.ALTERNATIVES in kinds else Kind.BOUNDS
