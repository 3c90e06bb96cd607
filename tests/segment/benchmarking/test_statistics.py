"""Figures of a benchmark."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.speed.restarts import Restart
from services.segment.benchmarking.statistics import batch_figures, load_figures, server_figures

times = st.floats(1e-4, 1e3)
QUIET = Restart(started=0, seconds=1.0, least=1.0, others=0.0, kernel=1.0)


def restarts(samples: list[list[float]], **load: float | None) -> list[Restart]:
    """What the processes of a quiet machine saw, or of one with that load."""
    return [
        replace(QUIET, seconds=statistics.median(runs), least=min(runs), **load)  # type: ignore[arg-type]
        for runs in samples
    ]


def test_percentiles_rate_and_noise() -> None:
    runs = [float(value) for value in range(1, 101)]
    figures = batch_figures([runs], restarts([runs]), batch_size=4, wanted=1)
    assert (figures.p50, figures.p90, figures.p99, figures.least) == (50.5, 90.0, 99.0, 1.0)
    assert figures.rate == pytest.approx(4 / 50.5)
    assert figures.noise == pytest.approx(25 / 50.5)
    assert not figures.noisy


def test_eight_clean_processes_have_two_ends_and_loaded_ones_the_upper() -> None:
    samples = [[1.0 + 0.01 * place, 1.2, 0.9] for place in range(8)]
    found = batch_figures(samples, restarts(samples), 2)
    assert (found.p50_interval.low, found.p50_interval.high) == (1.0, 1.07)
    assert found.p50_interval.level == 1 - 2 / 2**8
    assert (found.rate_interval.low, found.rate_interval.high) == (2 / 1.07, 2.0)
    for load in ({"others": 0.5}, {"kernel": None}, {"others": None}):
        loaded = batch_figures(samples, restarts(samples, **load), 2)
        assert loaded.noisy
        assert (loaded.p50_interval.low, loaded.p50_interval.high) == (None, 1.07)
        assert (loaded.rate_interval.low, loaded.rate_interval.high) == (2 / 1.07, None)


def test_fewer_processes_have_the_level_of_so_many() -> None:
    samples = [[1.0], [1.1], [1.3]]
    assert batch_figures(samples, restarts(samples), 1, wanted=3).p50_interval.level == 0.75


def test_two_speeds_are_told() -> None:
    samples = [[1.0], [1.3]] * 4
    assert batch_figures(samples, restarts(samples), 1).speeds == (1.0, 1.3)


@given(st.lists(st.lists(times, min_size=1, max_size=6), min_size=1, max_size=24), st.booleans())
def test_figures_are_ordered(samples: list[list[float]], quiet: bool) -> None:
    seen = restarts(samples) if quiet else restarts(samples, others=1.0)
    for figures in (
        batch_figures(samples, seen, 3, wanted=len(samples)),
        load_figures(samples, [sum(runs) for runs in samples]),
    ):
        assert 0 < figures.least <= figures.p50 <= figures.p90 <= figures.p99
        assert figures.p50_interval.holds(figures.p50)
        assert figures.rate_interval.holds(figures.rate)


def test_no_run_says_nothing() -> None:
    with pytest.raises(ValueError, match="positive"):
        load_figures([[]], [1.0])
    with pytest.raises(ValueError, match="positive"):
        batch_figures([[0.0]], restarts([[0.0]]), 1)


def test_the_rate_of_runs_side_by_side_is_by_the_time_that_passed() -> None:
    figures = load_figures([[1.0, 1.0, 1.0], [1.0], []], [1.5, 0.5, 1.0])
    assert figures.rate == 2.0
    assert (figures.rate_interval.low, figures.rate_interval.high) == (2.0, 2.0)


def test_what_was_refused_misses_the_bound() -> None:
    found = server_figures([0.1] * 198, 2, 10.0, 0.1)
    assert (found.achieved_rate, found.within_bound, found.met) == (19.8, 0.99, True)
    found = server_figures([0.1] * 197, 3, 10.0, 0.1)
    assert (found.within_bound, found.met) == (0.985, False)
    assert not server_figures([0.1] * 98 + [0.2] * 2, 0, 1.0, 0.1).met
    assert server_figures([9.0], 5, 1.0, None).met
    with pytest.raises(ValueError, match="answered"):
        server_figures([], 3, 1.0, 0.1)
