"""Observed values and their intervals, and the bounds that a claim sets to them.

Pure, as `services.ranker.claims.model` is, whose conventions hold here too.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

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
    """The value is this text: letter for letter, or the same numbers in a row."""

    value: str


@dataclass(frozen=True)
class Boolean:
    """The value is this truth."""

    value: bool


Bound = Equals | Range | Ratio | Text | Boolean


def ends(bound: Bound) -> tuple[float, float]:
    """Return the ends of what a numeric bound allows, tolerance included."""
    if isinstance(bound, Equals):
        # As decimals, as they are written: 0.8 - 0.1 is 0.7, and as floats it is more.
        value, tolerance = Decimal(repr(bound.value)), Decimal(repr(bound.tolerance))
        return float(value - tolerance), float(value + tolerance)
    if isinstance(bound, Text | Boolean):
        raise TypeError(f"{bound!r} has no ends")
    return (
        -math.inf if bound.low is None else bound.low,
        math.inf if bound.high is None else bound.high,
    )


_NUMBERS = re.compile(r"[(\[\s]*[0-9][0-9\s,;x×*()\[\]\u2010-\u2015-]*")
_MINUS = re.compile(r"[\s,;x×*(\[][\u2010-\u2015-][0-9]")
_DIGITS = re.compile(r"[0-9]+")


def numbers_in(text: str) -> tuple[str, ...]:
    """Return the numbers of a text that is numbers in a row; none for any other text."""
    found = _plain(text)
    return found if all(_DIGITS.fullmatch(one) for one in found) else ()


def is_said(bound: Text | Boolean, content: object) -> bool:
    """Return whether a text or a truth, as it was found or is printed, is the one of a bound."""
    return _plain(str(bound.value)) == _plain(str(content))


def _plain(text: str) -> tuple[str, ...]:
    """A text as it is compared: numbers in a row are the same however they are set apart.

    "32, 64, 160, 256", "32-64-160-256" and "32 x 64 x 160 x 256" say one thing; "-5" and "5" two.
    """
    visible = "".join(one for one in text if one.isprintable())
    if _NUMBERS.fullmatch(visible) and not _MINUS.search(visible):
        return tuple(one.lstrip("0") or "0" for one in _DIGITS.findall(visible))
    return (" ".join(visible.split()),)


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
