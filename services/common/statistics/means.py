"""The interval of a mean of independent values, whatever their distribution."""

from __future__ import annotations

from collections.abc import Sequence

from services.common.statistics.estimate import mean_of
from services.common.statistics.interval import Interval, TooFewError
from services.common.statistics.student import skewed

LEAST = 50
"""Least number of values. Of samples of 20, one in eight misses a rare tenth of the population."""


def mean_interval(values: Sequence[float], level: float) -> Interval:
    """Return the interval of the mean of the distribution that the values are drawn from.

    With 50 values or more, the interval covers at 95 % and 99 % for values that are normal, skewed
    (up to a lognormal of spread 1), heavy-tailed (down to Student's t with 2 degrees) or bimodal
    (down to one in ten in the rarer mode). Raises TooFewError for fewer values.
    """
    count = len(values)
    if count < LEAST:
        raise TooFewError("values", count, LEAST)
    return skewed(mean_of(values), level, count)
