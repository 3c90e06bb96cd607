"""Intervals of a median, without assumptions about the distribution of the values.

The pair of the k-th least and k-th greatest of n values covers the median of their distribution
with probability 1 - 2 P(B < k), where B is binomial with n and 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.common.statistics.distributions import fair_tail
from services.common.statistics.interval import Interval, Kind, TooFewError

METHOD = "order-statistics@1"


def reached(count: int, rank: int) -> float:
    """Return the level of the pair of the `rank`-th least and greatest of `count` values."""
    return max(0.0, 1.0 - 2.0 * fair_tail(count, rank))


def rank_for(count: int, level: float) -> int:
    """Return the greatest rank whose pair reaches `level`; 1 if none does."""
    rank = 1
    while rank < count // 2 and reached(count, rank + 1) >= level:
        rank += 1
    return rank


def least_count(level: float) -> int:
    """Return how many values are needed for the least and the greatest to reach `level`."""
    count = 1
    while reached(count, 1) < level:
        count += 1
    return count


def widest_median_interval(values: Sequence[float], level: float) -> Interval:
    """Return the narrowest pair that reaches `level`, or else the extremes with their own level.

    The interval's level is the one that it reaches: `level` or more from `least_count` values on,
    less below. One value reaches no level: its interval is the bounds of what was seen. Raises
    ValueError for no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values have no median")
    rank = rank_for(len(ordered), level)
    return pair(ordered[rank - 1], ordered[-rank], reached(len(ordered), rank), len(ordered))


def median_interval(values: Sequence[float], level: float) -> Interval:
    """Return the narrowest pair of order statistics that covers the median with `level`.

    Raises TooFewError if not even the extremes do: 0.95 takes 6 values, 0.99 takes 8.
    """
    if len(values) < (need := least_count(level)):
        raise TooFewError("values", len(values), need)
    return widest_median_interval(values, level)


def pair(low: float, high: float, level: float, count: int) -> Interval:
    """Return two order statistics of `count` values as an interval; at level 0 they are bounds."""
    kind = Kind.CONFIDENCE if level else Kind.BOUNDS
    return Interval(low, high, level, kind, METHOD, count)
