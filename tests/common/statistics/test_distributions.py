from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics import distributions, incomplete_beta

SMALL = (1e-100, 1e-20, 1e-5, 5e-4, 5e-3, 0.025, 0.1, 0.3, 0.4999)
PROBABILITIES = (*SMALL, 0.5, 0.5001, 0.7, 0.975, 0.995, 0.99998)
FREEDOMS = (1, 1.5, 2, 3, 4.7, 7, 10, 30, 49, 123.4, 1e3, 1e4, 1e6, 9.9e6, 1.1e7, 1e9)
SIZES = (0.1, 0.5, 1, 1.5, 2, 3, 10, 31, 100.5, 1e3, 1e5, 1e6)


@pytest.mark.parametrize(
    # Closed forms: one degree is Cauchy's distribution, two an algebraic one.
    ("probability", "freedom", "value"),
    [
        (0.975, 1, math.tan(math.pi * 0.475)),
        (0.995, 1, math.tan(math.pi * 0.495)),
        (0.975, 2, 0.95 * math.sqrt(2 / (1 - 0.95**2))),
        (0.995, 2, 0.99 * math.sqrt(2 / (1 - 0.99**2))),
        # Tables, to the digits that they print.
        (0.975, 3, 3.182446305284263),
        (0.975, 19, 2.0930240544082634),
        (0.995, 7, 3.4994832973504924),
        (0.99, 30, 2.457261542400591),
        (0.975, math.inf, 1.959963984540054),
    ],
)
def test_student_against_tables(probability: float, freedom: float, value: float) -> None:
    assert distributions.student_quantile(probability, freedom) == pytest.approx(value, rel=1e-11)
    assert distributions.student_quantile(1 - probability, freedom) == pytest.approx(-value, 1e-11)
    assert distributions.student_cdf(value, freedom) == pytest.approx(probability, rel=1e-11)


@pytest.mark.parametrize(
    ("probability", "a", "b", "value"),
    [
        (0.005, 10, 1, 0.005 ** (1 / 10)),
        (0.975, 1, 100_000_000, -math.expm1(math.log(0.025) / 1e8)),
        (0.3, 1, 7, 1 - 0.7 ** (1 / 7)),
        (0.975, 0.5, 0.5, math.sin(math.pi * 0.975 / 2) ** 2),
        (1e-20, 3, 1, 1e-20 ** (1 / 3)),
    ],
)
def test_beta_against_closed_forms(probability: float, a: float, b: float, value: float) -> None:
    assert distributions.beta_quantile(probability, a, b) == pytest.approx(value, rel=1e-11)
    assert distributions.beta_cdf(value, a, b) == pytest.approx(probability, rel=1e-8)


def test_student_against_scipy() -> None:
    special: Any = pytest.importorskip("scipy.special")
    for freedom, probability in itertools.product(FREEDOMS, PROBABILITIES):
        ours = distributions.student_quantile(probability, freedom)
        assert ours == pytest.approx(special.stdtrit(freedom, probability), rel=1e-10, abs=1e-300)
        back = distributions.student_cdf(ours, freedom)
        assert back == pytest.approx(special.stdtr(freedom, ours), rel=1e-10)


def test_beta_against_scipy() -> None:
    special: Any = pytest.importorskip("scipy.special")
    for a, b, probability in itertools.product(SIZES, SIZES, PROBABILITIES):
        ours = distributions.beta_quantile(probability, a, b)
        if not 1e-290 < ours < 1 - 1e-6:
            continue  # nearer to 1 than the floats are to each other, times 1e10
        assert special.betainc(a, b, ours) == pytest.approx(probability, rel=2e-10)
        assert distributions.beta_cdf(ours, a, b) == pytest.approx(probability, rel=2e-10)


@given(st.floats(1e-12, 1 - 1e-12), st.floats(0.5, 1e5), st.floats(0.5, 1e5))
def test_the_other_tail_is_the_mirrored_distribution(p: float, a: float, b: float) -> None:
    odds = incomplete_beta.log_odds(p, 1 - p, a, b)
    assert odds == pytest.approx(-incomplete_beta.log_odds(1 - p, p, b, a), rel=1e-9, abs=1e-12)


@given(st.floats(1e-9, 0.5), st.floats(1e-9, 0.5), st.floats(0.5, 1e4))
def test_student_quantiles_rise(one: float, other: float, freedom: float) -> None:
    low, high = sorted((one, other))
    assert distributions.student_quantile(low, freedom) <= distributions.student_quantile(
        high, freedom
    )


def test_what_has_no_quantile_is_refused() -> None:
    for probability, freedom in ((0.0, 3.0), (1.0, 3.0), (0.5, 0.0), (0.5, -1.0)):
        with pytest.raises(ValueError, match="no quantile"):
            distributions.student_quantile(probability, freedom)
    with pytest.raises(OverflowError):
        distributions.student_quantile(1e-300, 0.5)
    with pytest.raises(ValueError, match="between 0 and 1"):
        distributions.beta_quantile(1.0, 2, 2)
    with pytest.raises(ValueError, match="not defined"):
        incomplete_beta.tails(-1, 2, 0.5, 0.5)


def test_the_ends_of_the_incomplete_beta_function() -> None:
    assert incomplete_beta.tails(2, 3, 0.0, 1.0) == (0.0, 1.0)
    assert incomplete_beta.tails(2, 3, 1.0, 0.0) == (1.0, 0.0)
    assert distributions.student_cdf(0.0, 5) == 0.5


def test_normal_tails() -> None:
    assert distributions.normal_quantile(1 - 1e-5) == pytest.approx(4.264890793923, rel=1e-9)
    assert distributions.normal_cdf(-10) == pytest.approx(7.619853024160527e-24, rel=1e-12)


@pytest.mark.parametrize(("count", "below", "value"), [(8, 1, 2**-8), (12, 2, 13 / 2**12)])
def test_a_fair_coin(count: int, below: int, value: float) -> None:
    assert distributions.fair_tail(count, below) == value
