from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.estimate import Estimate, mean_of, satterthwaite, weighted_sum
from services.common.statistics.student import skewed, student


def test_student_against_a_table() -> None:
    # t(0.995, 2) = 9.9248: 1, 2, 3 have mean 2, standard deviation 1.
    interval = student(Estimate(2.0, 1 / 3, 2), 0.99)
    assert interval.high == pytest.approx(2 + 9.924843 / math.sqrt(3), rel=1e-7)
    assert interval.low == pytest.approx(2 - 9.924843 / math.sqrt(3), rel=1e-7)


def test_the_mean_of_values() -> None:
    found = mean_of([1.0, 2.0, 3.0, 6.0])
    assert (found.value, found.freedom) == (3.0, 3)
    assert found.variance == pytest.approx(14 / 3 / 4)
    assert found.cumulant == pytest.approx((-8 - 1 + 27) / (3 * 2) / 4)
    assert mean_of([1.0, 2.0]) == Estimate(1.5, 0.25, 1, 0.0)
    for few in ([], [1.0]):
        with pytest.raises(ValueError, match="2 values or more"):
            mean_of(few)


def test_an_exact_estimate_is_its_own_interval() -> None:
    for interval in (student(Estimate(2.0), 0.95), skewed(Estimate(2.0), 0.95)):
        assert (interval.low, interval.high) == (2.0, 2.0)


def test_fewer_degrees_than_one_count_as_one() -> None:
    assert student(Estimate(0.0, 1.0, 0.2), 0.95) == student(Estimate(0.0, 1.0, 1.0), 0.95)


@given(st.floats(-5, 5), st.floats(1, 200), st.sampled_from([0.95, 0.99]))
def test_skewness_only_widens(cumulant: float, freedom: float, level: float) -> None:
    estimate = Estimate(1.0, 1.0, freedom, cumulant)
    plain, wide = student(estimate, level), skewed(estimate, level)
    mirrored = skewed(Estimate(-1.0, 1.0, freedom, -cumulant), level)
    assert wide.low is not None
    assert wide.high is not None
    assert plain.holds(1.0)
    assert wide.holds(plain.low or 0.0)
    assert wide.holds(plain.high or 0.0)
    assert (mirrored.low, mirrored.high) == pytest.approx((-wide.high, -wide.low))


def test_long_tails_on_the_right_widen_to_the_right() -> None:
    plain, wide = (one(Estimate(0.0, 1.0, 49.0, 0.5), 0.95) for one in (student, skewed))
    assert wide.low == plain.low
    assert wide.high is not None
    assert plain.high is not None
    assert wide.high > 1.1 * plain.high


def test_satterthwaite() -> None:
    assert satterthwaite([(2.0, 5.0)]) == pytest.approx(5)
    assert satterthwaite([(1.0, 4.0), (1.0, 4.0)]) == pytest.approx(8)
    assert satterthwaite([(1e-200, 4.0), (1e-200, 4.0), (0.0, 1.0)]) == pytest.approx(8)
    assert satterthwaite([(0.0, 3.0)]) == math.inf
    assert satterthwaite([]) == math.inf


def test_a_weighted_sum() -> None:
    total = weighted_sum([(0.5, Estimate(2.0, 4.0, 3.0, 8.0)), (-1.0, Estimate(3.0, 0.0))])
    assert total == Estimate(-2.0, 1.0, 3.0, 1.0)
    assert total.skewness == 1.0
    assert total.error == 1.0
