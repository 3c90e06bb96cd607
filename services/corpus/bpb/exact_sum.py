"""Sums of floats that do not depend on their order."""

from __future__ import annotations

import math


class ExactSum:
    """A sum of floats without rounding error, stored as partial sums that do not overlap."""

    def __init__(self) -> None:
        self._partials: list[float] = []

    def add(self, value: float) -> None:
        """Add a finite value (Shewchuk's two-sum, as in `math.fsum`)."""
        kept = 0
        for partial in self._partials:
            low, high = (value, partial) if abs(value) < abs(partial) else (partial, value)
            value = high + low
            rest = low - (value - high)
            if rest:
                self._partials[kept] = rest
                kept += 1
        self._partials[kept:] = [value]

    def merge(self, other: ExactSum) -> None:
        """Add another sum."""
        for partial in other._partials:
            self.add(partial)

    @property
    def value(self) -> float:
        """The sum, correctly rounded."""
        return math.fsum(self._partials)
