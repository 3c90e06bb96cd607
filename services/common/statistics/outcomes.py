"""What users report about an artifact, with one opinion per operator.

An operator is a principal that the administrator knows. Whatever the number of outcomes or names
that it reports under, it weighs less than 1. The interval shown allows for some operators lying.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from services.common.statistics.interval import Interval, TooFewError
from services.common.statistics.shares import posterior_interval, posterior_mean

LEAST_OPERATORS = 5
COLLUDERS = 0.1
LEVEL = 0.95


@dataclass(frozen=True)
class Reports:
    """An operator's outcomes: how many, and how many of them good. Raises ValueError for none."""

    good: int
    total: int

    def __post_init__(self) -> None:
        if self.total < 1 or not 0 <= self.good <= self.total:
            raise ValueError(f"{self.good} good of {self.total} outcomes are not a report")


@dataclass(frozen=True)
class Reported:
    """The posterior mean of the operators' share of good outcomes, with two intervals.

    `interval` believes every operator; `shown` allows for a tenth of them, and one more, reporting
    the opposite of the truth.
    """

    mean: float
    interval: Interval
    shown: Interval
    operators: int


def reported(operators: Mapping[str, Reports]) -> Reported:
    """Return the combined result of the operators' reports.

    Raises TooFewError for fewer than 5 operators.
    """
    count = len(operators)
    if count < LEAST_OPERATORS:
        raise TooFewError("operators that report", count, LEAST_OPERATORS)
    # An operator with n outcomes weighs n / (n + 1), so its good part is s / (n + 1), and so on.
    good = sorted(one.good / (one.total + 1) for one in operators.values())
    bad = sorted((one.total - one.good) / (one.total + 1) for one in operators.values())
    alpha, beta = 1 + math.fsum(good), 1 + math.fsum(bad)
    colluders = math.ceil(COLLUDERS * count) + 1
    flattery, slander = math.fsum(good[-colluders:]), math.fsum(bad[-colluders:])
    least = posterior_interval(alpha - flattery, beta + flattery, LEVEL)
    most = posterior_interval(alpha + slander, beta - slander, LEVEL)
    plain = posterior_interval(alpha, beta, LEVEL)
    shown = Interval(least.low, most.high, LEVEL, plain.kind, "operators-colluding@1", alpha + beta)
    return Reported(posterior_mean(alpha, beta), plain, shown, count)
