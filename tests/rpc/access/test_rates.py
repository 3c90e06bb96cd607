"""Token buckets: the burst, the rate, and that callers do not share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import QuotaExceeded
from services.rpc.access.policy import Rate
from services.rpc.access.rates import Rates


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_then_the_rate_for_each_caller() -> None:
    clock = Clock()
    rates = Rates(clock)
    rate = Rate(per_second=2, burst=3)
    for _ in range(3):
        rates.take("a", rate)
    with pytest.raises(QuotaExceeded) as caught:
        rates.take("a", rate)
    assert caught.value.retry_after == pytest.approx(0.5)
    rates.take("b", rate)
    clock.now += 0.5
    rates.take("a", rate)
    with pytest.raises(QuotaExceeded):
        rates.take("a", rate)
    clock.now += 1e6  # it holds no more than the burst
    for _ in range(3):
        rates.take("a", rate)
    with pytest.raises(QuotaExceeded):
        rates.take("a", rate)


def test_calls_of_a_generous_grant_do_not_fill_the_bucket_of_another() -> None:
    clock = Clock()
    rates = Rates(clock)
    mean, generous = Rate(per_second=1, burst=1, grant=0), Rate(1000, 1000, grant=1)
    taken = 0
    for _ in range(100):
        clock.now += 0.01
        rates.take("a", generous)
        try:
            rates.take("a", mean)
        except QuotaExceeded:
            continue
        taken += 1
    assert taken == 1
    for _ in range(990):  # nor do those of the mean one empty the other's
        rates.take("a", generous)


@given(
    st.lists(st.floats(0, 3), max_size=60),
    st.floats(0.1, 50),
    st.integers(1, 20),
)
def test_never_more_than_the_burst_and_the_rate_allow(
    pauses: list[float], per_second: float, burst: int
) -> None:
    clock = Clock()
    rates = Rates(clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        try:
            rates.take("a", Rate(per_second, burst))
        except QuotaExceeded:
            continue
        taken += 1
    assert taken <= burst + clock.now * per_second + 1e-6


def test_memory_is_bounded_by_the_callers_that_are_kept() -> None:
    rates = Rates(Clock())
    for number in range(20_000):
        rates.take(f"caller {number}", Rate(1, 1))
    assert len(rates._buckets) == 10_000
