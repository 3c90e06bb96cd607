"""The regularised incomplete beta function and its inverse, for parameters of any size.

Uses the continued fraction of Didonato and Morris (1992, "Algorithm 708"). Its factor comes from
Loader's saddle-point expansion ("Fast and accurate computation of binomial probabilities", 2000),
which keeps digits that differences of log-gamma functions lose.
"""

from __future__ import annotations

import math
from functools import lru_cache

_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360_360)
_SERIES_FROM = 10.0  # from here the six terms above are exact to 1e-15
_EPSILON = 1e-16
WIDEST = 700.0  # log odds; floats reach a little further


def tails(a: float, b: float, x: float, y: float) -> tuple[float, float]:
    """Return I_x(a, b) and 1 - I_x(a, b).

    `y` is 1 - x; callers pass it because they know it to more digits than a subtraction leaves.
    Raises ValueError unless a and b are positive and x and y not negative.
    """
    if not (a > 0 and b > 0 and x >= 0 and y >= 0):
        raise ValueError(f"the incomplete beta function is not defined at {a}, {b}, {x}")
    if x == 0 or y == 0:
        return (0.0, 1.0) if x == 0 else (1.0, 0.0)
    if a * y >= b * x:
        lower = math.exp(_log_tail(a, b, x, y))
        return lower, 1 - lower
    upper = math.exp(_log_tail(b, a, y, x))
    return 1 - upper, upper


@lru_cache(maxsize=4096)
def log_odds(lower: float, upper: float, a: float, b: float) -> float:
    """Return log(x / (1 - x)) where I_x(a, b) is `lower` and 1 - I_x(a, b) is `upper`.

    Both tails are required so that the smaller keeps its digits. Raises ValueError unless the
    smaller is above 0. Log odds beyond `WIDEST` are returned as `WIDEST`.
    """
    if not 0 < min(lower, upper) <= 0.5:
        raise ValueError(f"a quantile is of a probability between 0 and 1, not {lower}")
    if upper < lower:
        return -log_odds(upper, lower, b, a)
    wanted, odds = math.log(lower), math.log(a / b)
    # The logarithm of a tail is concave in the log odds: after its first step, Newton's method is
    # on the near side of the root, and approaches it with each step.
    for _ in range(200):
        x, y = _shares(odds)
        tail = _log_tail(a, b, x, y) if a * y >= b * x else math.log(tails(a, b, x, y)[0])
        step = (wanted - tail) * math.exp(tail - _log_density(a, b, x, y))
        before, odds = odds, min(max(odds + step, -WIDEST), WIDEST)
        if abs(odds - before) <= 4e-16 * max(1.0, abs(odds)):
            break
    return odds


def quantile(lower: float, a: float, b: float) -> float:
    """Return x where I_x(a, b) is `lower`, in (0, 1)."""
    return _shares(log_odds(lower, 1 - lower, a, b))[0]


def _shares(odds: float) -> tuple[float, float]:
    """Return x and 1 - x of log odds."""
    small = math.exp(-abs(odds))
    less, more = small / (1 + small), 1 / (1 + small)
    return (less, more) if odds < 0 else (more, less)


def _stirling(z: float) -> float:
    """Return log(z!) less Stirling's approximation of it."""
    if z < _SERIES_FROM:
        return math.lgamma(z + 1) - (z + 0.5) * math.log(z) + z - 0.5 * math.log(2 * math.pi)
    inverse = 1 / z
    square, total = inverse * inverse, 0.0
    for term in reversed(_STIRLING):
        total = total * square + term
    return total * inverse


def _deviance(x: float, mean: float) -> float:
    """Return x log(x / mean) + mean - x, accurately even if it is small."""
    if abs(x - mean) > 0.1 * (x + mean):
        return x * math.log(x / mean) + mean - x
    ratio = (x - mean) / (x + mean)
    total, term, odd = (x - mean) * ratio, 2 * x * ratio, 1
    while True:
        term *= ratio * ratio
        odd += 2
        more = total + term / odd
        if more == total:
            return total
        total = more


def _log_density(a: float, b: float, x: float, y: float) -> float:
    """Return the logarithm of x^a y^b / B(a, b), the beta distribution's density times x y."""
    n = a + b
    rest = _stirling(n) - _stirling(a) - _stirling(b) - _deviance(a, n * x) - _deviance(b, n * y)
    return 0.5 * math.log(a / n * b / (2 * math.pi)) + rest


def _log_tail(a: float, b: float, x: float, y: float) -> float:
    """Return log I_x(a, b) for x up to the mean, by Lentz's method."""
    excess = a * y - b * x
    value = c = a * (excess + 1) / (a + 1)
    d = 0.0
    for m in range(1, 1000 + 20 * math.isqrt(math.ceil(max(a, b)))):
        step = a + 2 * m - 1
        numerator = (a + m - 1) / step * ((a + b + m - 1) / step) * m * (b - m) * x * x
        denominator = m + m * (b - m) * x / step + (a + m) * (excess + 1 + m * (1 + y)) / (step + 2)
        d = denominator + numerator * d
        c = denominator + numerator / c
        d = 1 / d
        change = c * d
        value *= change
        if abs(change - 1) <= _EPSILON:
            break
    return _log_density(a, b, x, y) - math.log(value)
