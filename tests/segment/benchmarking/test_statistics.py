"""Figures of a benchmark."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segment.benchmarking.statistics import LEVEL, server_figures, summarise

times = st.floats(1e-4, 1e3)


def test_percentiles_rate_and_noise() -> None:
    runs = [float(value) for value in range(1, 101)]
    figures = summarise([runs], batch_size=4)
    assert (figures.p50, figures.p90, figures.p99) == (50.5, 90.0, 99.0)
    assert figures.rate == pytest.approx(4 * 100 / 5050)
    assert figures.noise == pytest.approx(25 / 50.5)
    assert figures.noisy
    assert not summarise([[1.0, 1.01, 0.99]], 1).noisy


def test_one_process_gives_bounds_and_no_confidence() -> None:
    span = summarise([[1.0, 2.0, 4.0]], 1).p50_span
    assert (span.low, span.high, span.level) == (1.0, 4.0, 0.0)


def test_the_interval_is_students_over_processes() -> None:
    scipy = pytest.importorskip("scipy.stats")
    medians = np.log([1.0, 1.1, 1.3])
    half = scipy.t.ppf(0.975, 2) * scipy.sem(medians)
    span = summarise([[1.0] * 5, [1.1] * 5, [1.3] * 5], 1).p50_span
    assert span.low == pytest.approx(np.exp(medians.mean() - half), rel=1e-3)
    assert span.high == pytest.approx(np.exp(medians.mean() + half), rel=1e-3)


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        moods = np.exp(rng.normal(0, 0.1, 5))  # each process has one
        span = summarise([list(mood * np.exp(rng.normal(0, 0.01, 9))) for mood in moods], 1)
        held += span.p50_span.low <= 1.0 <= span.p50_span.high
    assert held / 400 == pytest.approx(LEVEL, abs=0.03)


@given(st.lists(st.lists(times, max_size=6), min_size=1, max_size=20), st.integers(1, 64))
def test_figures_are_ordered(samples: list[list[float]], batch_size: int) -> None:
    if not any(samples):
        with pytest.raises(ValueError, match="runs"):
            summarise(samples, batch_size)
        return
    figures = summarise(samples, batch_size)
    assert 0 < figures.p50 <= figures.p90 <= figures.p99
    assert figures.p50_span.low <= figures.p50 <= figures.p50_span.high
    tolerance = 1 + 1e-9
    assert figures.rate_span.low <= figures.rate * tolerance
    assert figures.rate <= figures.rate_span.high * tolerance


def test_the_rate_of_runs_side_by_side_is_by_the_time_that_passed() -> None:
    figures = summarise([[1.0, 1.0, 1.0], [1.0]], 1, elapsed=[1.5, 0.5])
    assert figures.rate == 2.0
    assert figures.rate_span.level == LEVEL
    alone = summarise([[1.0, 3.0]], 1, elapsed=[2.0])
    assert alone.rate == 1.0
    assert (alone.rate_span.low, alone.rate_span.high, alone.rate_span.level) == (1.0, 1.0, 0.0)


def test_what_was_refused_misses_the_bound() -> None:
    found = server_figures([0.1] * 198, 2, 10.0, 0.1)
    assert (found.achieved_rate, found.within_bound, found.met) == (19.8, 0.99, True)
    found = server_figures([0.1] * 197, 3, 10.0, 0.1)
    assert (found.within_bound, found.met) == (0.985, False)
    assert not server_figures([0.1] * 98 + [0.2] * 2, 0, 1.0, 0.1).met
    assert server_figures([9.0], 5, 1.0, None).met
    with pytest.raises(ValueError, match="answered"):
        server_figures([], 3, 1.0, 0.1)
