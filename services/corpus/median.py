"""A median and how sure it is, without assuming how the values are distributed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A closed interval and the confidence that it covers the true median with."""

    low: float
    high: float
    level: float


def median(values: Sequence[float]) -> float:
    """Return the median of at least one value."""
    return statistics.median(values)


def median_interval(values: Sequence[float], level: float) -> Interval:
    """Return the narrowest pair of order statistics that covers the median with `level`.

    The pair of the k-th smallest and k-th largest of n covers it with 1 - 2 P(B < k), where B is
    binomial with n and 1/2. Where even smallest and largest do not reach `level` (n < 8 for 0.99),
    they are returned with the level that they do reach.
    """
    ordered = sorted(values)
    count = len(ordered)
    best, reached = 0, _coverage(count, 1)
    for k in range(2, count // 2 + 1):
        coverage = _coverage(count, k)
        if coverage < level:
            break
        best, reached = k - 1, coverage
    return Interval(ordered[best], ordered[-1 - best], min(reached, level))


def _coverage(count: int, k: int) -> float:
    below = sum(math.comb(count, i) for i in range(k))
    return max(0.0, 1.0 - 2.0 * below / 2.0**count)
