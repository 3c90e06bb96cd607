"""Confidence intervals for what the ranker measures, at 99 % unless asked otherwise. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from services.common.median import median_interval
from services.ranker.claims.model import Interval

LEVEL = 0.99
"""Level of an interval about one claim: of some fifty verdicts less than one errs by chance."""


def clustered_median(clusters: Sequence[Sequence[float]], level: float = LEVEL) -> Interval | None:
    """Interval of a median whose observations come in clusters (the restarts of a benchmark).

    Observations of one process share its fate, so each cluster counts as one observation, its
    median; the interval is Student's over those. None for fewer than two clusters.
    """
    medians = [float(np.median(cluster)) for cluster in clusters if len(cluster)]
    return student(medians, level)


def order_statistics(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Interval of a median, whatever the distribution; see `services.common.median`.

    Of too few values to reach `level`, the least and the greatest, at their own level. Raises
    ValueError for no values.
    """
    found = median_interval(values, level)
    return Interval(found.low, found.high, found.level)


def student(values: Sequence[float], level: float = LEVEL) -> Interval | None:
    """Student's interval of the mean of independent values. None for fewer than two."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    quantile = float(special.stdtrit(len(values) - 1, 0.5 + level / 2))
    half = quantile * math.sqrt(variance / len(values))
    return Interval(mean - half, mean + half, level)


def share(successes: int, trials: int, level: float = LEVEL) -> Interval:
    """Clopper and Pearson's interval of a share: it holds at least its level at every size.

    Raises ValueError unless 0 <= successes <= trials and there are trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share")
    tail = (1 - level) / 2
    low, high = 0.0, 1.0
    if successes:
        low = float(special.betaincinv(successes, trials - successes + 1, tail))
    if successes < trials:
        high = float(special.betaincinv(successes + 1, trials - successes, 1 - tail))
    return Interval(low, high, level)


def quotient(above: Interval, below: Interval) -> Interval:
    """Every quotient of a value in `above` and one in `below`, both positive.

    It holds both levels at once, so its own is at least 1 - (1 - a) - (1 - b).
    """
    level = round(max(0.0, above.level + below.level - 1), 9)
    return Interval(above.low / below.high, above.high / below.low, level)


def hull(intervals: Sequence[Interval]) -> Interval:
    """The least interval that holds them all, at the least of their levels."""
    return Interval(
        min(one.low for one in intervals),
        max(one.high for one in intervals),
        min(one.level for one in intervals),
    )
