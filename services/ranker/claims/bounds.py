"""Observed values and their intervals, and the bounds that a claim sets for them.

Pure, with the conventions of `services.ranker.claims.model`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal

from services.common.statistics import interval as statistics


@dataclass(frozen=True)
class Interval:
    """An interval in evidence: `level` is its confidence, 0 if the ends are bounds.

    An open end is infinite. Code that computes intervals uses `services.common.statistics`.
    """

    low: float
    high: float
    level: float = 0.0

    @classmethod
    def of(cls, found: statistics.Interval) -> Interval:
        """Return a computed interval in the form for evidence."""
        return cls(
            -math.inf if found.low is None else found.low,
            math.inf if found.high is None else found.high,
            found.level,
        )


@dataclass(frozen=True)
class Equals:
    """The value equals this number within `tolerance` (same unit)."""

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
    """The value equals this text: letter for letter, or the same numbers in the same order."""

    value: str


@dataclass(frozen=True)
class Boolean:
    """The value equals this truth value."""

    value: bool


Bound = Equals | Range | Ratio | Text | Boolean


def ends(bound: Bound) -> tuple[float, float]:
    """Return the ends of the range that a numeric bound allows, including tolerance."""
    if isinstance(bound, Equals):
        # As decimals, as written: 0.8 - 0.1 is 0.7, but more with floats.
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
    """Return the numbers of a text that is a row of numbers; none for any other text."""
    found = _plain(text)
    return found if all(_DIGITS.fullmatch(one) for one in found) else ()


def is_said(bound: Text | Boolean, content: object) -> bool:
    """Return whether a found or printed text or truth value equals that of a bound."""
    return _plain(str(bound.value)) == _plain(str(content))


def _plain(text: str) -> tuple[str, ...]:
    """A text for comparison: rows of numbers are equal whatever separates the numbers.

    "32, 64, 160, 256", "32-64-160-256" and "32 x 64 x 160 x 256" are equal; "-5" and "5" differ.
    """
    visible = "".join(one for one in text if one.isprintable())
    if _NUMBERS.fullmatch(visible) and not _MINUS.search(visible):
        return tuple(one.lstrip("0") or "0" for one in _DIGITS.findall(visible))
    return (" ".join(visible.split()),)


@dataclass(frozen=True)
class Value:
    """An observed number (with unit), text or truth value."""

    content: float | str | bool
    unit: str = ""

    @property
    def number(self) -> float | None:
        """The number; None for a text or a truth value."""
        if isinstance(self.content, bool | str):
            return None
        return self.content
