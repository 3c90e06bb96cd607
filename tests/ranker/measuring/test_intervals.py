from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.claims.model import Interval
from services.ranker.measuring.intervals import (
    clustered_median,
    hull,
    order_statistics,
    quotient,
    share,
    student,
)

positive = st.floats(1e-6, 1e6)


def test_student_against_a_table() -> None:
    # t(0.995, 2) = 9.9248: mean 2, standard deviation 1, n = 3.
    interval = student([1.0, 2.0, 3.0])
    assert interval is not None
    assert interval.high - 2 == pytest.approx(9.9248 / math.sqrt(3), rel=1e-4)
    assert interval.low + interval.high == pytest.approx(4)
    assert student([1.0]) is None
    assert student([]) is None


def test_clopper_and_pearson_against_closed_forms() -> None:
    assert share(10, 10).low == pytest.approx(0.005 ** (1 / 10))
    assert share(10, 10).high == 1
    assert share(0, 10).high == pytest.approx(1 - 0.005 ** (1 / 10))
    assert share(0, 10).low == 0
    with pytest.raises(ValueError, match="no share"):
        share(0, 0)
    with pytest.raises(ValueError, match="no share"):
        share(3, 2)


@given(st.integers(1, 10_000), st.data())
def test_a_share_is_inside_its_interval(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    interval = share(successes, trials)
    assert 0 <= interval.low <= successes / trials <= interval.high <= 1


def test_clusters_count_once_each() -> None:
    """A thousand runs of two processes are two observations, not two thousand."""
    few = clustered_median([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    many = clustered_median([[1.0] * 500, [2.0] * 500, [3.0] * 500])
    assert few == many
    assert clustered_median([[1.0, 2.0], []]) is None


def test_order_statistics_against_their_binomial() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert order_statistics(values) == Interval(1.0, 5.0, 1 - 2 / 2**5)
    nine = [float(value) for value in range(9)]
    assert order_statistics(nine, 0.995) == Interval(0.0, 8.0, 1 - 2 / 2**9)
    # 1 - 2 (1 + 20) / 2^20 is over 0.99; so are ranks to 4: 1 - 2 (1 + 20 + 190 + 1140) / 2^20.
    twenty = [float(value) for value in range(20)]
    assert order_statistics(twenty) == Interval(3.0, 16.0, 1 - 2 * 1351 / 2**20)
    assert order_statistics([1.0]) == Interval(1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="no median"):
        order_statistics([])


@given(st.lists(positive, min_size=1, max_size=30), st.floats(0.5, 0.999))
def test_order_statistics_hold_the_median(values: list[float], level: float) -> None:
    interval = order_statistics(values, level)
    assert interval.low <= float(np.median(values)) <= interval.high


@given(positive, positive, positive, positive)
def test_a_quotient_holds_every_quotient(a: float, b: float, c: float, d: float) -> None:
    above = Interval(min(a, b), max(a, b), 0.995)
    below = Interval(min(c, d), max(c, d), 0.995)
    found = quotient(above, below)
    assert found.level == 0.99
    for x in (a, b):
        for y in (c, d):
            assert found.low <= x / y * (1 + 1e-12)
            assert found.high >= x / y * (1 - 1e-12)


def test_a_hull_is_as_sure_as_its_least_sure_part() -> None:
    assert hull([Interval(1, 2, 0.99), Interval(4, 5, 0.9)]) == Interval(1, 5, 0.9)


def test_student_holds_its_level() -> None:
    """Of 2,000 seeded samples of four, about one in a hundred misses the mean."""
    generator = np.random.default_rng(7)
    samples = generator.normal(3.0, 2.0, size=(2000, 4))
    intervals = [student([float(value) for value in sample]) for sample in samples]
    missed = sum(not one.low <= 3.0 <= one.high for one in intervals if one)
    assert 5 <= missed <= 40
