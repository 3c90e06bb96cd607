"""Simulated: how often two artifacts that are equal are said to differ, by each kind of interval.

Everything is seeded. An interval that covers at its level can be wrong of two equal artifacts no
more often than what is left of the level; where there are too few values it is refused.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.interval import TooFewError
from services.common.statistics.medians import median_interval
from services.common.statistics.shares import share_interval
from services.ranker.claims.model import ArtifactType
from services.ranker.methodology.load import load
from services.ranker.methodology.profile import Profile, profiles
from services.ranker.methodology.readings import Reading

METHODOLOGY = load()
CORE, *_ = profiles(METHODOLOGY.rules(ArtifactType.SEGMENTATION_MODEL))
LATENCY = METHODOLOGY.rules(ArtifactType.SEGMENTATION_MODEL).metrics["latency"]
PAIRS = 1_000
Draw = Callable[[np.random.Generator, tuple[int, ...]], npt.NDArray[np.float64]]
POPULATIONS: dict[str, Draw] = {
    "normal": lambda g, size: g.normal(1.0, 0.02, size),
    "skewed": lambda g, size: 0.9 + g.exponential(0.05, size),
    "heavy tail": lambda g, size: np.exp(0.02 * g.standard_t(2, size)),
    "two modes": lambda g, size: np.where(g.random(size) < 0.3, 1.3, 1.0) * g.normal(1, 0.01, size),
}


def timed(ratios: npt.NDArray[np.float64], level: float) -> Reading:
    """A latency of 1.5 times the reference's, from restarts."""
    assert LATENCY.scale is not None
    found = median_interval((1.5 * ratios).tolist(), level)
    low, high = sorted(LATENCY.scale.utility(end or 0.0) for end in (found.low, found.high))
    point = LATENCY.scale.utility(1.5 * float(np.median(ratios)))
    return Reading(point, low, high, level=found.level)


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("count", [3, 5, 20, 200])
def test_equal_times_are_hardly_ever_told_apart(population: str, count: int) -> None:
    generator = np.random.default_rng(14)
    draws = POPULATIONS[population](generator, (PAIRS, 2, count))
    alone = Profile("latency", {"latency": (1.0, 1.0)})
    known = {
        "ade20k-miou": Reading(0.5, 0.49, 0.51, sampled=False),
        "size": Reading(0.5, 0.5, 0.5, sampled=False),
    }
    for level in (METHODOLOGY.pair_level, METHODOLOGY.family_level):
        try:
            sides = [[{**known, "latency": timed(one, level)} for one in pair] for pair in draws]
        except TooFewError as error:
            assert error.need > count  # noqa: PT017  (refused: it says how many it takes)
            assert level == METHODOLOGY.family_level or count < 8
            continue
        for profile in (alone, CORE):
            false = sum(profile.beats(a, b) or profile.beats(b, a) for a, b in sides)
            assert false / PAIRS <= 0.01


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("count", [3, 5, 20, 200])
def test_equal_shares_are_hardly_ever_told_apart(share: float, count: int) -> None:
    generator = np.random.default_rng(15)
    alone = Profile("provenance", {"provenance": (1.0, 1.0)})

    def seen(successes: int) -> Reading:
        found = share_interval(successes, count, METHODOLOGY.pair_level)
        return Reading(successes / count, found.low or 0.0, found.high or 1.0)

    readings = [seen(successes) for successes in range(count + 1)]
    false = 0
    for one, two in generator.binomial(count, share, (PAIRS, 2)):
        a, b = {"provenance": readings[one]}, {"provenance": readings[two]}
        false += alone.beats(a, b) or alone.beats(b, a)
    assert false / PAIRS <= 0.01


@given(st.floats(30, 60), st.floats(30, 60))
def test_figures_that_were_printed_rounded_are_never_told_apart_wrongly(
    truth: float, other: float
) -> None:
    metric = METHODOLOGY.rules(ArtifactType.SEGMENTATION_MODEL).metrics["ade20k-miou"]
    assert metric.scale is not None
    assert metric.printed_to is not None
    alone = Profile("ade20k-miou", {"ade20k-miou": (1.0, 1.0)})
    sides = []
    for value in (truth, other):
        printed, half = round(value, 1), metric.printed_to / 2
        ends = [metric.scale.utility(printed + step) for step in (-half, 0, half)]
        sides.append({"ade20k-miou": Reading(ends[1], ends[0], ends[2], sampled=False)})
    if alone.beats(*sides):
        assert truth > other - 1e-9
