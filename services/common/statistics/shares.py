"""Shares of trials: an interval without a prior, and a posterior with one."""

from __future__ import annotations

from services.common.statistics.distributions import beta_quantile
from services.common.statistics.interval import Interval, Kind


def share_interval(successes: int, trials: int, level: float) -> Interval:
    """Return Clopper and Pearson's interval of a share, which covers at its level at every size.

    Raises ValueError unless 0 <= successes <= trials and there are trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is not a share")
    tail = (1 - level) / 2
    low, high = 0.0, 1.0
    if successes:
        low = beta_quantile(tail, successes, trials - successes + 1)
    if successes < trials:
        high = beta_quantile(1 - tail, successes + 1, trials - successes)
    return Interval(low, high, level, Kind.CONFIDENCE, "clopper-pearson@1", trials)


def posterior_mean(alpha: float, beta: float) -> float:
    """Return the mean of a beta distribution."""
    return alpha / (alpha + beta)


def posterior_interval(alpha: float, beta: float, level: float) -> Interval:
    """Return the central interval of a beta distribution: both tails have equal probability.

    `alpha` and `beta` are the prior's plus the successes and the failures seen, which need not be
    whole numbers.
    """
    tail = (1 - level) / 2
    low, high = (beta_quantile(p, alpha, beta) for p in (tail, 1 - tail))
    return Interval(low, high, level, Kind.CREDIBLE, "beta-posterior@1", alpha + beta)
