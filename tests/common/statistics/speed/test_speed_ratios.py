from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.interval import TooFewError
from services.common.statistics.speed.speed_ratios import (
    PairedRestart,
    best_interval,
    ratio_interval,
)

QUIET = [PairedRestart(1.0 + place, 2.0, 0.0, 1.0) for place in range(8)]


def test_quiet_ratios_are_order_statistics() -> None:
    found = ratio_interval(QUIET, 0.99)
    assert (found.low, found.high, found.level) == (0.5, 4.0, 1 - 2 / 2**8)
    with pytest.raises(TooFewError, match=r"^needs 17 values, has"):
        ratio_interval(QUIET, 0.99998)


@given(
    st.lists(
        st.builds(
            PairedRestart,
            st.floats(0.5, 2),
            st.floats(0.5, 2),
            st.floats(0, 2),
            st.floats(0.9, 1.5),
        ),
        min_size=8,
        max_size=20,
    )
)
def test_swapping_models_turns_the_ratio_over(restarts: list[PairedRestart]) -> None:
    swapped = [replace(one, first=one.second, second=one.first) for one in restarts]
    one, other = ratio_interval(restarts, 0.99), ratio_interval(swapped, 0.99)
    assert one.low == pytest.approx(1 / (other.high or 0.0))
    assert one.high == pytest.approx(1 / (other.low or 1.0))


def test_the_worst_load_moves_both_ends() -> None:
    loaded = [*QUIET[:-1], replace(QUIET[-1], others=0.4, kernel=1.5)]
    found = ratio_interval(loaded, 0.99)
    assert (found.low, found.high) == pytest.approx((0.5 / 3, 4.0 * 3))
    assert ratio_interval([*QUIET[:-1], replace(QUIET[-1], kernel=0.8)], 0.99).high == 4.0


def test_ratios_need_a_settled_kernel() -> None:
    with pytest.raises(ValueError, match="calibration kernel"):
        ratio_interval([replace(one, kernel=None) for one in QUIET], 0.99)


def test_the_best_of_three_holds_all_three() -> None:
    values = {batch: [batch + place / 10 for place in range(10)] for batch in (1, 2, 3)}
    found = best_interval(values, 0.99)
    assert (found.low, found.high) == (3.0, 3.9)
    assert found.level == 1 - 3 * 2 / 2**10
    with pytest.raises(TooFewError, match=r"^needs 10 restarts of each batch size"):
        best_interval({**values, 4: [1.0] * 9} | {1: []}, 0.99)
    with pytest.raises(ValueError, match="no batch size"):
        best_interval({}, 0.99)
