"""The Beta posterior of a share: its mean and its central interval.

The one module of the methodology that needs SciPy (the inverse of the incomplete Beta function).
"""

from __future__ import annotations

from scipy.special import betaincinv

from services.ranker.claims.model import Interval
from services.ranker.methodology.definition import Prior

_DIGITS = 9
"""Decimals kept, so that replicas with another SciPy give the same bytes."""


def mean(successes: int, failures: int, prior: Prior) -> float:
    """Posterior mean of the share of successes."""
    alpha, beta = successes + prior.alpha, failures + prior.beta
    return round(alpha / (alpha + beta), _DIGITS)


def interval(successes: int, failures: int, prior: Prior, level: float) -> Interval:
    """Central posterior interval of the share of successes at confidence `level`."""
    alpha, beta = successes + prior.alpha, failures + prior.beta
    tail = (1 - level) / 2
    low, high = (round(float(betaincinv(alpha, beta, p)), _DIGITS) for p in (tail, 1 - tail))
    return Interval(low, high, level)
