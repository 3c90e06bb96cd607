"""What a replica knows of its own load."""

from __future__ import annotations

import pytest

from services.segment.recent_work import RecentWork


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def worked(pictures: int, seconds: float, *, engines: int = 1) -> tuple[RecentWork, Clock]:
    """Work that has been done at this pace for a minute."""
    clock = Clock()
    work = RecentWork(engines, clock)
    for _ in range(600):
        clock.now += 0.1
        work.computed(pictures, seconds)
    return work, clock


def test_a_steady_pace_is_reported_as_it_is() -> None:
    work, _ = worked(2, 0.05)
    rate, utilization = work.load(waiting=0.0)
    assert rate == pytest.approx(20, rel=0.02)
    assert utilization == pytest.approx(0.5 * 0.025, rel=0.02)  # by the seconds of a picture


@pytest.mark.parametrize("share", [1, 3])
def test_the_ratio_is_the_square_of_the_speed_whatever_the_traffic(share: int) -> None:
    """A replica that got more calls is not taken for a faster one."""
    work, _ = worked(share, 0.01 * share)
    rate, utilization = work.load(waiting=0.0)
    assert rate / utilization == pytest.approx(100**2)


def test_what_waits_makes_it_busier() -> None:
    work, _ = worked(2, 0.05)
    assert work.load(waiting=1.5)[1] == pytest.approx(2.0 * 0.025, rel=0.02)


def test_two_engines_are_twice_as_fast() -> None:
    one, _ = worked(2, 0.05)
    two, _ = worked(2, 0.05, engines=2)
    rate, utilization = one.load(waiting=1.0)
    assert two.load(waiting=1.0) == pytest.approx((rate, utilization / 4))


def test_a_change_of_speed_is_known_soon() -> None:
    work, clock = worked(1, 0.01)
    for _ in range(150):
        clock.now += 0.1
        work.computed(1, 0.04)
    rate, utilization = work.load(waiting=0.0)
    assert rate / utilization == pytest.approx(25**2, rel=0.1)


def test_old_work_is_forgotten() -> None:
    work, clock = worked(2, 0.05)
    clock.now += 120
    assert work.load(waiting=0.0) == pytest.approx((0, 0), abs=1e-6)
