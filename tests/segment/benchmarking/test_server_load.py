"""Arrivals of the server scenario."""

from __future__ import annotations

import numpy as np
import pytest

from services.segment.benchmarking.server_load import arrivals


def test_arrivals_are_a_poisson_process_of_the_rate() -> None:
    times = arrivals(50.0, 20_000, seed=1)
    gaps = np.diff(times)
    assert (gaps > 0).all()
    assert times[-1] / len(times) == pytest.approx(1 / 50, rel=0.03)
    # Exponential gaps: the deviation is the mean, and none remembers the one before.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.03


def test_arrivals_are_those_of_their_seed() -> None:
    np.testing.assert_array_equal(arrivals(5.0, 10, 3), arrivals(5.0, 10, 3))
    assert not np.array_equal(arrivals(5.0, 10, 3), arrivals(5.0, 10, 4))
