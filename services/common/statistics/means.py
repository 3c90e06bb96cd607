"""The interval of a mean of independent values, whatever their distribution."""

from __future__ import annotations

from collections.abc import Sequence

from services.common.statistics.estimate import mean_of
from services.common.statistics.interval import Interval, TooFewError
from services.common.statistics.student import skewed

LEAST = 50
"""With 20 values, one in eight samples of a population with a rare tenth holds none of it."""


def mean_interval(values: Sequence[float], level: float) -> Interval:
    """Return the interval of the mean of the distribution that the values are drawn from.

    With 50 values or more it covers, at 95 and at 99 %, for values that are normal, skewed (up to a
    lognormal of spread 1), heavy-tailed (down to Student's t with 2 degrees) or of two modes (down
    to one in ten in the rarer). Raises TooFewError for fewer.
    """
    count = len(values)
    if count < LEAST:
        raise TooFewError("values", count, LEAST)
    return skewed(mean_of(values), level, count)
