"""Outcomes that operators report, and page reliability."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from benchmarks.coverage.cells import COUNTS, Cell, Generator, Trial, covered, same
from services.common.statistics import outcomes, reliability
from services.common.statistics.interval import Interval


def of_reports(repetitions: int, generator: Generator) -> Iterator[Cell]:
    """Operators' outcomes, alike and unlike, and the reliability of pages."""
    for name, alike in (("operators alike", 1e6), ("operators unlike", 1.0)):
        for count in COUNTS:
            trials = (
                Trial(partial(_reported, count, alike * 0.8, alike * 0.2, generator), 0.8)
                for _ in range(repetitions)
            )
            yield covered("reported outcomes", name, count, level=0.95, trials=trials)
    for name, per_aspect in (("facts apart", 1), ("three facts an aspect", 3)):
        for count in COUNTS:
            pages = _pages(count, per_aspect, repetitions, generator)
            yield covered("reliability of a page", name, count, level=0.95, trials=pages)


def _reported(count: int, good: float, bad: float, generator: Generator) -> Interval:
    rates = generator.beta(good, bad, count)
    totals = np.ceil(np.exp(generator.normal(1.5, 1.5, count))).astype(int)
    found = np.stack([generator.binomial(totals, rates), totals], 1).tolist()
    return outcomes.reported(
        {str(place): outcomes.Reports(*one) for place, one in enumerate(found)}
    ).interval


def _pages(count: int, per_aspect: int, repetitions: int, generator: Generator) -> Iterator[Trial]:
    for truth in generator.random(repetitions).tolist():
        known = generator.beta(max(3 * truth, 1e-6), max(3 * (1 - truth), 1e-6), count)
        claims = []
        for place in range(count):
            chance = float(known[place // per_aspect]) if per_aspect > 1 else truth
            holds = generator.random() < chance + (1 - chance) * 0.1
            outcome = reliability.Outcome.CONFIRMED if holds else reliability.Outcome.REFUTED
            aspect = str(place // per_aspect)
            claims.append(reliability.FactClaim(str(place), aspect, 0.1, outcome))
        yield Trial(partial(same, reliability.reliability(claims).interval), truth)
