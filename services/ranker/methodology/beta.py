"""The Beta posterior of a share under the methodology's prior: its mean and central interval."""

from __future__ import annotations

from services.common.statistics.shares import posterior_interval, posterior_mean
from services.ranker.claims.model import Interval
from services.ranker.methodology.definition import Prior

_DIGITS = 9
"""Decimals kept, so that replicas on another machine give the same bytes."""


def mean(successes: int, failures: int, prior: Prior) -> float:
    """Posterior mean of the share of successes."""
    return round(posterior_mean(successes + prior.alpha, failures + prior.beta), _DIGITS)


def interval(successes: int, failures: int, prior: Prior, level: float) -> Interval:
    """Central posterior interval of the share of successes at confidence `level`."""
    found = Interval.of(posterior_interval(successes + prior.alpha, failures + prior.beta, level))
    return Interval(round(found.low, _DIGITS), round(found.high, _DIGITS), level)
