"""What batches are expected to cost."""

from __future__ import annotations

import pytest

from services.segment.cost import Cost


def test_nothing_is_expected_before_anything_was_seen() -> None:
    assert Cost().upper(3) == Cost().typical(3) == 0


def test_a_change_of_speed_is_learned() -> None:
    cost = Cost()
    cost.observe(1, 1.0)
    for _ in range(40):
        cost.observe(1, 3.0)
    assert cost.typical(1) == pytest.approx(3.0, rel=0.01)


def test_spread_raises_the_upper_estimate() -> None:
    steady, shaky = Cost(), Cost()
    for run in range(20):
        steady.observe(1, 1.0)
        shaky.observe(1, 1.0 + 0.5 * (-1) ** run)
    assert steady.upper(1) == pytest.approx(1.0)
    assert shaky.upper(1) > 1.5


def test_other_sizes_follow_from_the_nearest() -> None:
    cost = Cost()
    cost.observe(2, 1.0)
    cost.observe(8, 3.0)
    assert cost.typical(1) == 1.0  # no more than two cost
    assert cost.typical(4) == 2.0  # no more than twice two
    assert cost.typical(16) == 6.0
