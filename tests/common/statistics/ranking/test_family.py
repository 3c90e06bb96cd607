from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from services.common.statistics import medians
from services.common.statistics.distributions import normal_cdf
from services.common.statistics.ranking import family, normal_range


@pytest.mark.parametrize("width", [0.1, 1.0, 3.0, 6.0])
def test_the_range_of_two_is_a_difference(width: float) -> None:
    expected = 2 * normal_cdf(-width / math.sqrt(2))
    assert normal_range.tail(2, width) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(
    # Tables of the studentised range with infinitely many degrees.
    ("count", "level", "width"),
    [(2, 0.95, 2.772), (3, 0.95, 3.314), (6, 0.95, 4.030), (10, 0.99, 5.157), (20, 0.95, 5.012)],
)
def test_critical_ranges_against_tables(count: int, level: float, width: float) -> None:
    assert normal_range.critical((count,), level) == pytest.approx(width, abs=6e-4)


@pytest.mark.slow
def test_ranges_against_scipy() -> None:
    stats: Any = pytest.importorskip("scipy.stats")
    for count in (2, 6, 50):
        ours = normal_range.tail(count, 4.5)
        assert ours == pytest.approx(stats.studentized_range.sf(4.5, count, np.inf), rel=1e-6)


def test_several_ranges_are_independent() -> None:
    one, two = normal_range.tail(3, 2.0), normal_range.tail(5, 2.0)
    assert normal_range.largest_tail((3, 5), 2.0) == pytest.approx(1 - (1 - one) * (1 - two))
    assert normal_range.tail(3, 0.0) == 1.0
    assert normal_range.critical((2, 2), 0.95) > normal_range.critical((2,), 0.95)
    with pytest.raises(ValueError, match="2 values or more"):
        normal_range.tail(1, 1.0)


def test_what_is_left_of_the_level() -> None:
    assert family.simultaneous_level(6) == pytest.approx(0.99971, abs=1e-5)
    assert family.simultaneous_level(50) == pytest.approx(0.98225, abs=1e-5)
    assert family.simultaneous_level(64) == pytest.approx(0.97269, abs=1e-5)
    assert family.simultaneous_level(50, 2) == pytest.approx(0.96449, abs=1e-5)
    assert family.simultaneous_level(1) == 1
    assert family.simultaneous_level(100_000, 3) == 0


def test_how_many_restarts_the_level_takes() -> None:
    assert medians.least_count(family.LEVEL) == 17
