from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.interval import Kind, TooFewError
from services.common.statistics.medians import (
    least_count,
    median_interval,
    widest_median_interval,
)

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=120)


@given(VALUES, st.sampled_from([0.5, 0.95, 0.99, 0.995]))
def test_the_interval_holds_the_median(values: list[float], level: float) -> None:
    interval = widest_median_interval(values, level)
    assert interval.holds(statistics.median(values))
    if interval.level < level:
        assert (interval.low, interval.high) == (min(values), max(values))
        with pytest.raises(TooFewError):
            median_interval(values, level)
    else:
        assert median_interval(values, level) == interval


@pytest.mark.parametrize(
    # Tables of the sign test: n, and the rank of the ends at 99 %.
    ("count", "rank", "level"),
    [
        (1, 1, 0.0),
        (3, 1, 0.75),
        (5, 1, 0.9375),
        (7, 1, 0.984375),
        (8, 1, 0.9921875),
        (12, 2, 1 - 2 * 13 / 2**12),
        (20, 4, 1 - 2 * 1351 / 2**20),
    ],
)
def test_ranks_are_those_of_the_sign_test(count: int, rank: int, level: float) -> None:
    values = [float(value) for value in range(count, 0, -1)]
    found = widest_median_interval(values, 0.99)
    assert (found.low, found.high, found.level) == (rank, count + 1 - rank, level)
    assert found.kind is (Kind.CONFIDENCE if count > 1 else Kind.BOUNDS)
    assert found.effective_n == count


@pytest.mark.parametrize(("level", "count"), [(0.5, 2), (0.95, 6), (0.99, 8), (0.99998, 17)])
def test_how_many_a_level_takes(level: float, count: int) -> None:
    assert least_count(level) == count
    with pytest.raises(TooFewError, match=rf"^needs {count} values, has {count - 1}$"):
        median_interval([1.0] * (count - 1), level)
    assert median_interval([1.0] * count, level).level >= level


def test_no_values_have_no_median() -> None:
    with pytest.raises(ValueError, match="no median"):
        widest_median_interval([], 0.99)
    with pytest.raises(TooFewError):
        median_interval([], 0.99)
