"""Quantiles and tails of the distributions behind the intervals; standard library only."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from services.common.statistics import incomplete_beta

_NORMAL = NormalDist()
_MANY = 1e7  # from here Student's quantile is expanded from the normal one, to 1e-15


def normal_quantile(probability: float) -> float:
    """Return the value below which the standard normal distribution has `probability`."""
    return _NORMAL.inv_cdf(probability)


def normal_cdf(value: float) -> float:
    """Return the probability of the standard normal distribution below `value`."""
    return 0.5 * math.erfc(-value / math.sqrt(2))


def student_quantile(probability: float, freedom: float) -> float:
    """Return the value below which Student's t has `probability`.

    `freedom` is any positive number or infinity. Raises ValueError for a probability outside (0,
    1), OverflowError for a quantile too large for a float.
    """
    if not (0 < probability < 1 and freedom > 0):
        raise ValueError(f"Student's t has no quantile at {probability} with {freedom} degrees")
    if probability > 0.5:  # 1 - p is exact there
        return -student_quantile(1 - probability, freedom)
    if probability == 0.5:
        return 0.0
    if freedom >= _MANY:
        return _expanded(normal_quantile(probability), freedom)
    odds = incomplete_beta.log_odds(2 * probability, 1 - 2 * probability, freedom / 2, 0.5)
    if odds <= -incomplete_beta.WIDEST:
        raise OverflowError(f"Student's t has no quantile at {probability} that a float holds")
    return -math.sqrt(freedom) * math.exp(-odds / 2)


def student_cdf(value: float, freedom: float) -> float:
    """Return the probability of Student's t below `value`; `freedom` is positive, or infinite."""
    if math.isinf(freedom):
        return normal_cdf(value)
    square = value * (value / freedom)
    x, y = 1 / (1 + square), 1 / (1 + 1 / square) if square else 0.0
    tail = 0.5 * incomplete_beta.tails(freedom / 2, 0.5, x, y)[0]
    return tail if value < 0 else 1 - tail


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the value below which the beta distribution has `probability`, in (0, 1)."""
    return incomplete_beta.quantile(probability, a, b)


def beta_cdf(value: float, a: float, b: float) -> float:
    """Return the probability of the beta distribution below `value`, in [0, 1]."""
    return incomplete_beta.tails(a, b, value, 1 - value)[0]


@lru_cache(maxsize=4096)
def fair_tail(count: int, below: int) -> float:
    """Return the probability of fewer than `below` heads in `count` throws of a fair coin."""
    return sum(math.comb(count, heads) for heads in range(below)) / 2.0**count


def _expanded(z: float, freedom: float) -> float:
    """Return Student's quantile from the normal one (Abramowitz and Stegun 26.7.5)."""
    first = z * (z * z + 1) / 4
    second = z * ((5 * z * z + 16) * z * z + 3) / 96
    return z + first / freedom + second / freedom**2
