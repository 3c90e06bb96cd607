from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.median import median, median_interval

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=120)


@given(VALUES, st.sampled_from([0.5, 0.95, 0.99]))
def test_the_interval_holds_the_median(values: list[float], level: float) -> None:
    interval = median_interval(values, level)
    assert interval.low <= median(values) <= interval.high
    assert 0 <= interval.level <= level


@pytest.mark.parametrize(
    # Tables of the sign test: n, and the rank of the ends at 99 %.
    ("count", "rank", "level"),
    [(3, 1, 0.75), (5, 1, 0.9375), (7, 1, 0.984375), (8, 1, 0.99), (12, 2, 0.99), (20, 4, 0.99)],
)
def test_ranks_are_those_of_the_sign_test(count: int, rank: int, level: float) -> None:
    interval = median_interval([float(value) for value in range(1, count + 1)], 0.99)
    assert (interval.low, interval.high) == (rank, count + 1 - rank)
    assert interval.level == level
