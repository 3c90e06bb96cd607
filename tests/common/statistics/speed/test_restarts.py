from __future__ import annotations

from dataclasses import replace

import pytest

from services.common.statistics.speed.restarts import (
    KernelReference,
    Restart,
    Slopes,
    two_speeds,
)

QUIET = Restart(started=0, seconds=1.0, least=0.9, others=0.0, kernel=1.0)


def test_a_quiet_restart_is_clean() -> None:
    assert QUIET.clean
    assert replace(QUIET, others=0.1, kernel=1.1, steal=0.01, own=0.3).clean
    assert replace(QUIET, seconds=100.0).clean


@pytest.mark.parametrize(
    "load",
    [
        {"others": 0.11},
        {"others": None},
        {"kernel": 1.11},
        {"kernel": None},
        {"steal": 0.02},
        {"steal": None},
        {"throttled": True},
    ],
)
def test_each_sign_of_load_is_enough(load: dict[str, float | bool | None]) -> None:
    assert not replace(QUIET, **load).clean  # type: ignore[arg-type]


def test_with_cores_to_spare_more_load_is_none() -> None:
    assert replace(QUIET, others=3.0, allowed=3.0).clean
    assert not replace(QUIET, others=3.1, allowed=3.0).clean


def test_the_kernel_is_judged_once_its_reference_is_settled() -> None:
    assert KernelReference(0.5, 20, 2).ratio([0.5, 0.6], [0.7]) == pytest.approx(1.2)
    assert KernelReference(0.5, 19, 2).ratio([0.5], [0.5]) is None
    assert KernelReference(0.5, 100, 1).ratio([0.5], [0.5]) is None


def test_the_worse_of_two_slopes_counts() -> None:
    assert Slopes().worse(Slopes(1.5, 4.0)) == Slopes(2.0, 4.0)
    restart = replace(QUIET, others=0.1, kernel=1.05)
    assert Slopes().quiet(restart) == pytest.approx(1 / (1.1 * 1.25))
    # A kernel that was faster than its reference is no reason to expect more of the model.
    assert Slopes().quiet(replace(QUIET, kernel=0.9)) == 1


@pytest.mark.parametrize(
    ("medians", "speeds"),
    [
        ([1.0, 1.01, 1.3, 1.31], (1.01, 1.3)),
        ([1.3, 1.0, 1.31, 1.01], (1.01, 1.3)),
        ([1.0, 1.01, 1.02, 1.3], None),  # one slow restart
        ([1.0, 1.01, 1.1, 1.11], None),  # 9 % apart
        ([1.0, 1.01, 1.2, 1.21, 2.0], (1.01, 1.2)),
        ([1.0, 1.3], None),
    ],
)
def test_two_speeds(medians: list[float], speeds: tuple[float, float] | None) -> None:
    assert two_speeds(medians) == speeds
