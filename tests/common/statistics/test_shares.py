from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.interval import Kind
from services.common.statistics.shares import posterior_interval, posterior_mean, share_interval


def test_clopper_and_pearson_against_closed_forms() -> None:
    assert share_interval(10, 10, 0.99).low == pytest.approx(0.005 ** (1 / 10))
    assert share_interval(10, 10, 0.99).high == 1
    assert share_interval(0, 10, 0.99).high == pytest.approx(1 - 0.005 ** (1 / 10))
    assert share_interval(0, 10, 0.99).low == 0
    for successes, trials in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="not a share"):
            share_interval(successes, trials, 0.99)


@given(st.integers(1, 10_000), st.data())
def test_a_share_is_inside_its_interval(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    interval = share_interval(successes, trials, 0.99)
    mirrored = share_interval(trials - successes, trials, 0.99)
    assert interval.low is not None
    assert interval.high is not None
    assert 0 <= interval.low <= successes / trials <= interval.high <= 1
    assert mirrored.low == pytest.approx(1 - interval.high, abs=1e-12)


def test_a_share_of_two_hundred_million() -> None:
    interval = share_interval(100_000_000, 200_000_000, 0.95)
    # The normal approximation is exact to nine digits here.
    half = 1.959963984540054 * 0.5 / 200_000_000**0.5
    assert interval.low == pytest.approx(0.5 - half, abs=3e-9)
    assert interval.high == pytest.approx(0.5 + half, abs=3e-9)


def test_the_posterior_of_a_share() -> None:
    interval = posterior_interval(8, 9, 0.95)
    assert interval.kind is Kind.CREDIBLE
    assert interval.low == pytest.approx(0.2465, abs=5e-5)
    assert interval.high == pytest.approx(0.7012, abs=5e-5)
    assert interval.effective_n == 17
    assert posterior_mean(8, 9) == 8 / 17


def test_the_posterior_of_nothing_is_the_prior() -> None:
    interval = posterior_interval(1, 1, 0.95)
    assert (interval.low, interval.high) == pytest.approx((0.025, 0.975))
