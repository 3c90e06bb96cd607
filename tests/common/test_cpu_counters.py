"""The kernel's counters, with a real load on a real processor."""

from __future__ import annotations

import time

import pytest

from services.common import cpu_counters
from services.common.cpu_counters import (
    CpuCounters,
    Load,
    allowed_others,
    load_between,
    read_counters,
)
from tests.load import steady_load

START = CpuCounters(wall=100.0, own=10.0, busy=50.0, stolen=1.0, throttled=3)


def test_load_is_the_difference_of_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_counters, "processors", lambda: 2)
    after = CpuCounters(wall=110.0, own=25.0, busy=70.0, stolen=2.0, throttled=4)
    assert load_between(START, after, threads=2) == Load(0.5, 0.05, 0.75, throttled=True)


def test_ticks_that_come_late_are_no_load_below_none() -> None:
    after = CpuCounters(wall=101.0, own=12.0, busy=51.99, stolen=1.0, throttled=3)
    found = load_between(START, after, threads=2)
    assert (found.others, found.throttled) == (0.0, False)


def test_what_the_kernel_does_not_tell_is_unknown() -> None:
    blind = CpuCounters(wall=101.0, own=11.0, busy=None, stolen=None, throttled=0)
    found = load_between(START, blind, threads=1)
    assert (found.others, found.steal, found.own) == (None, None, 1.0)


def test_two_looks_need_time_in_between() -> None:
    with pytest.raises(ValueError, match="time in between"):
        load_between(START, START, threads=1)


@pytest.mark.parametrize(
    ("threads", "cores", "allowed"),
    [(2, 2, 0.10), (1, 1, 0.10), (2, 4, 1.0), (1, 2, 0.5), (3, 4, 0.10), (1, 64, 31.5)],
)
def test_cores_to_spare_may_be_busy(threads: int, cores: int, allowed: float) -> None:
    assert allowed_others(threads, cores) == allowed


@pytest.mark.process
def test_a_real_load_is_seen_and_ones_own_work_is_not() -> None:
    if read_counters().busy is None:
        pytest.skip("no /proc/stat here")
    with steady_load(1):
        before = read_counters()
        end = time.perf_counter() + 0.5
        while time.perf_counter() < end:
            pass
        found = load_between(before, read_counters(), threads=1)
    # It gets its share, however busy the machine is; this test's own core is not among the others'.
    assert found.others is not None
    assert found.others > 0.10
    assert found.others <= cpu_counters.processors() - found.own + 0.2
