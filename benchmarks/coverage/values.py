"""Independent values and shares of trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.coverage.cells import (
    COUNTS,
    LEVELS,
    Cell,
    Draw,
    Generator,
    Trial,
    covered,
    modes,
    plain,
)
from services.common.statistics.distributions import normal_quantile
from services.common.statistics.means import mean_interval
from services.common.statistics.medians import median_interval, widest_median_interval
from services.common.statistics.shares import posterior_interval, share_interval


@dataclass(frozen=True)
class Population:
    """Independent values, with their mean and their median."""

    draw: Draw
    mean: float
    median: float


POPULATIONS: Mapping[str, Population] = {
    "normal": Population(lambda g, n: g.normal(3.0, 1.0, n), 3.0, 3.0),
    "skewed": Population(lambda g, n: np.exp(g.normal(0.0, 1.0, n)), math.exp(0.5), 1.0),
    "heavy-tailed": Population(lambda g, n: g.standard_t(2, n), 0.0, 0.0),
    "two modes": Population(
        lambda g, n: modes(g, n, (1.0, 1.5), (0.9, 0.1)) + g.normal(0.0, 0.03, n),
        1.05,
        1.0 + 0.03 * normal_quantile(0.5 / 0.9),
    ),
}


def of_values(what: str, repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Medians and means of independent values; the peer is Student's."""
    function = median_interval if what == "median" else mean_interval
    for name, population in POPULATIONS.items():
        truth = population.median if what == "median" else population.mean
        for count in COUNTS:
            for level in LEVELS:
                draws = (population.draw(generator, count) for _ in range(repetitions))
                trials = (
                    Trial(partial(function, one.tolist(), level), truth, plain(one, level))
                    for one in draws
                )
                yield covered(
                    f"{what} of independent values", name, count, level=level, trials=trials
                )


def of_few_restarts(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """The median's interval of minimum and maximum, at the level that the interval states."""
    for name, population in POPULATIONS.items():
        for count in (3, 5):
            draws = [population.draw(generator, count) for _ in range(repetitions)]
            found = [widest_median_interval(one.tolist(), 0.99) for one in draws]
            share = sum(one.holds(population.median) for one in found) / repetitions
            yield Cell("median, at its own level", name, count, found[0].level, share)


def of_shares(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Shares of trials, and the posterior if shares are distributed as its prior says."""
    for share in (0.5, 0.9, 0.99):
        for count in COUNTS:
            for level in LEVELS:
                found = generator.binomial(count, share, repetitions).tolist()
                trials = (Trial(partial(share_interval, one, count, level), share) for one in found)
                name = f"share {share}"
                yield covered("share of trials", name, count, level=level, trials=trials)
    for count in COUNTS:
        for level in LEVELS:
            truths = generator.random(repetitions)
            found = generator.binomial(count, truths).tolist()
            trials = (
                Trial(partial(posterior_interval, 1 + one, 1 + count - one, level), truth)
                for one, truth in zip(found, truths.tolist(), strict=True)
            )
            yield covered("posterior of a share", "uniform", count, level=level, trials=trials)
