"""A median and how sure it is, without assuming how the values are distributed. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A closed interval and the confidence that it covers the true median with."""

    low: float
    high: float
    level: float


def median_interval(values: Sequence[float], level: float) -> Interval:
    """Return the narrowest pair of order statistics that covers the median with `level`.

    The pair of the k-th least and the k-th greatest of n covers it with 1 - 2 P(B < k), where B is
    binomial with n and 1/2; that, at least `level`, is the interval's. Where even the least and the
    greatest do not reach `level` (n < 8 for 0.99), they are returned with what they do reach.
    Raises ValueError for no values.
    """
    ordered = sorted(values)
    count = len(ordered)
    if not count:
        raise ValueError("no values have no median")
    rank, reached = 1, _coverage(count, 1)
    while rank < count // 2 and (coverage := _coverage(count, rank + 1)) >= level:
        rank, reached = rank + 1, coverage
    return Interval(ordered[rank - 1], ordered[-rank], reached)


def _coverage(count: int, rank: int) -> float:
    below = sum(math.comb(count, smaller) for smaller in range(rank))
    return max(0.0, 1.0 - 2.0 * below / 2.0**count)
