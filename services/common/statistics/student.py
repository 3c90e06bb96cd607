"""Intervals of an estimate from its standard error: Student's, and one that allows for skewness.

Student's interval covers at its level if the estimate is normal around the true value, as sums of
many parts are. The mean of a few values of an unknown distribution is not: use `means` for that.
"""

from __future__ import annotations

import math

from services.common.statistics.distributions import student_quantile
from services.common.statistics.estimate import Estimate
from services.common.statistics.interval import Interval, Kind

METHOD = "student@1"
SKEWED_METHOD = "student-hall@1"


def quantile(freedom: float, level: float) -> float:
    """Return how many standard errors the interval reaches to each side.

    Fewer degrees than 1 count as 1.
    """
    return student_quantile(0.5 + level / 2, max(1.0, freedom))


def student(estimate: Estimate, level: float, effective_n: float | None = None) -> Interval:
    """Return Student's interval."""
    half = quantile(estimate.freedom, level) * estimate.error
    low, high = estimate.value - half, estimate.value + half
    return Interval(low, high, level, Kind.CONFIDENCE, METHOD, effective_n)


def skewed(estimate: Estimate, level: float, effective_n: float | None = None) -> Interval:
    """Return the least interval that contains both Student's and Hall's.

    Hall ("On the removal of skewness by transformation", 1992) removes the skewness of a
    studentised estimate with a monotone cubic. Student's interval is too short for a skewed
    estimate, and Hall's for a symmetric one with long tails; taking both costs a normal estimate
    half a percent of coverage.
    """
    plain = quantile(estimate.freedom, level)
    above = max(plain, _untransformed(plain, estimate.skewness))
    below = min(-plain, _untransformed(-plain, estimate.skewness))
    low, high = estimate.value - estimate.error * above, estimate.value - estimate.error * below
    return Interval(low, high, level, Kind.CONFIDENCE, SKEWED_METHOD, effective_n)


def _untransformed(value: float, skewness: float) -> float:
    """Return the t with t + a t^2 + a^2 t^3 / 3 + a / 2 = `value`; a is a third of the skewness."""
    third = skewness / 3
    if abs(third) < 1e-9:
        return value
    return (math.cbrt(1 + 3 * third * (value - third / 2)) - 1) / third
