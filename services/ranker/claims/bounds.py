"""Observed values and their intervals, and the bounds that a claim sets to them.

Pure, as `services.ranker.claims.model` is, whose conventions hold here too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.common.statistics import interval as statistics


@dataclass(frozen=True)
class Interval:
    """An interval as evidence keeps it: `level` is its confidence, 0 when the ends are bounds.

    An end that is open is infinite. What computes intervals has `services.common.statistics`.
    """

    low: float
    high: float
    level: float = 0.0

    @classmethod
    def of(cls, found: statistics.Interval) -> Interval:
        """Return an interval that was computed, as evidence keeps it."""
        return cls(
            -math.inf if found.low is None else found.low,
            math.inf if found.high is None else found.high,
            found.level,
        )


@dataclass(frozen=True)
class Equals:
    """The value is this number, give or take `tolerance` (same unit)."""

    value: float
    tolerance: float
    unit: str


@dataclass(frozen=True)
class Range:
    """The value lies in a closed range; an end that is None is open."""

    low: float | None
    high: float | None
    unit: str


@dataclass(frozen=True)
class Ratio:
    """The artifact's figure over the comparator's lies in a closed range."""

    low: float | None
    high: float | None
    unit: str = "1"


@dataclass(frozen=True)
class Text:
    """The value is this text, letter for letter."""

    value: str


@dataclass(frozen=True)
class Boolean:
    """The value is this truth."""

    value: bool


Bound = Equals | Range | Ratio | Text | Boolean


def ends(bound: Bound) -> tuple[float, float]:
    """Return the ends of what a numeric bound allows, tolerance included."""
    if isinstance(bound, Equals):
        return bound.value - bound.tolerance, bound.value + bound.tolerance
    if isinstance(bound, Text | Boolean):
        raise TypeError(f"{bound!r} has no ends")
    return (
        -math.inf if bound.low is None else bound.low,
        math.inf if bound.high is None else bound.high,
    )


@dataclass(frozen=True)
class Value:
    """An observed number (with unit), text or truth."""

    content: float | str | bool
    unit: str = ""

    @property
    def number(self) -> float | None:
        """The number, or None for a text or a truth."""
        if isinstance(self.content, bool | str):
            return None
        return self.content
