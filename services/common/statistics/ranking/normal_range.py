"""The range of several standard normal values: the greatest minus the least."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from services.common.statistics.distributions import normal_cdf

_STEP = 1 / 64
_REACH = 9.0  # beyond this the density is below 1e-18
_CELLS = round(2 * _REACH / _STEP)


@lru_cache(maxsize=4096)
def tail(count: int, width: float) -> float:
    """Return the probability that the range of `count` values is over `width`.

    Uses the trapezoidal rule, which is exact to 1e-15 for a function as smooth as this. Raises
    ValueError for fewer than 2 values.
    """
    if count < 2:
        raise ValueError(f"a range is of 2 values or more, not {count}")
    if width <= 0:
        return 1.0
    places = -_REACH + _STEP * np.arange(_CELLS + 1)
    # The least value at each place, and the others between it and `width` above it.
    inside = np.array([normal_cdf(place + width) - normal_cdf(place) for place in places.tolist()])
    density = np.exp(-0.5 * places**2) / math.sqrt(2 * math.pi)
    return max(0.0, 1 - float(count * _STEP * (density * inside ** (count - 1)).sum()))


def largest_tail(counts: tuple[int, ...], width: float) -> float:
    """Return the probability that any of several independent ranges is over `width`."""
    return -math.expm1(
        math.fsum(math.log1p(-min(tail(count, width), 1 - 1e-16)) for count in counts)
    )


@lru_cache(maxsize=1024)
def critical(counts: tuple[int, ...], level: float) -> float:
    """Return the width that, with probability `level`, none of the ranges exceeds."""
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if largest_tail(counts, middle) <= 1 - level else (middle, high)
    return high
