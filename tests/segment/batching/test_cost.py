"""What batches are expected to cost."""

from __future__ import annotations

import pytest

from services.segment.batching.cost import Cost, SizedCost


def test_nothing_is_expected_before_anything_was_seen() -> None:
    assert Cost().upper(3) == Cost().typical(3) == 0


def test_a_change_of_speed_is_learned() -> None:
    cost = Cost()
    cost.observe(1, 1.0)
    for _ in range(40):
        cost.observe(1, 3.0)
    assert cost.typical(1) == pytest.approx(3.0, rel=0.01)


def test_one_bad_moment_is_not_a_change_of_speed() -> None:
    cost = Cost()
    for _ in range(20):
        cost.observe(1, 1.0)
    cost.observe(1, 50.0)
    assert cost.typical(1) <= 1.2


def test_relaxed_sizes_come_back_to_their_best_and_no_further() -> None:
    cost = Cost()
    cost.observe(2, 1.0)
    cost.observe(8, 3.0)
    for _ in range(5):
        cost.observe(8, 6.0)
    dear = cost.upper(8)
    cost.relax_larger(8)
    assert cost.upper(8) == dear  # only what is larger than what was computed
    for _ in range(1000):
        cost.relax_larger(2)
    assert cost.upper(8) == pytest.approx(
        cost.typical(8), rel=1e-3
    )  # nothing is left of the spread
    assert 3.0 <= cost.typical(8) < 3.5
    assert cost.typical(2) == 1.0


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
    assert cost.typical(7) == 3.0  # no more than eight cost
    assert cost.typical(16) == 6.0


def test_sized_work_is_judged_by_work_of_its_own_size() -> None:
    cost = SizedCost()
    assert cost.typical(10) == 0
    cost.observe(64 * 64, 50e-6)
    cost.observe(24_000_000, 3.0)
    assert cost.typical(64 * 64) == pytest.approx(50e-6)
    assert cost.typical(24_000_000) == pytest.approx(3.0)
    assert cost.typical(1_000_000) == pytest.approx(3.0 / 24)  # the next larger, in proportion
    assert cost.typical(48_000_000) == pytest.approx(6.0)  # none is larger


def test_relaxing_makes_an_estimate_smaller_for_its_size_alone() -> None:
    cost = SizedCost()
    cost.relax(8)
    cost.observe(8, 8.0)
    cost.observe(64, 8.0)
    cost.relax(8)
    assert cost.typical(8) < 8
    assert cost.typical(64) == 8


def test_an_unknown_bucket_costs_what_the_dearest_does() -> None:
    cost = Cost()
    cost.observe(1, 2.0)
    cost.observe(1, 1.0, "small")
    assert cost.typical(1, "new") == 2.0  # never less than the default bucket
    cost.observe(1, 4.0, "large")
    cost.observe(2, 9.0)
    assert cost.typical(1, "new") == cost.upper(1, "new") == 4.0
    assert cost.typical(2, "new") == 9.0  # by batch size: "large" would take 8
    cost.observe(1, 0.5, "new")
    assert cost.typical(2, "new") == 1.0
    assert cost.upper(1, "small") == 1.0


def test_buckets_that_were_not_seen_lately_are_forgotten_but_never_the_default() -> None:
    cost = Cost()
    cost.observe(1, 3.0)
    for side in range(64):
        cost.observe(1, 1.0, (side, 32))
    cost.observe(1, 1.0, (0, 32))  # seen again
    assert cost.typical(1, (1, 32)) == 1.0
    for side in range(63):
        cost.observe(1, 2.0, (side, 64))
    assert len(cost._buckets) == 65
    assert cost.typical(1) == 3.0
    assert cost.typical(1, (0, 32)) == 1.0
    assert cost.typical(1, (1, 32)) == 3.0  # as any that is not known
    cost.observe(1, 2.0, "new")
    assert cost.typical(1, (0, 32)) == 3.0
    assert cost.typical(1, (0, 64)) == 2.0


def test_turns_are_multiples_of_the_models_own_size() -> None:
    cost = Cost()
    assert cost.turns("large") == 1  # nothing is known yet
    cost.observe(1, 0.1)
    assert cost.turns("large") == cost.turns(None) == 1
    cost.observe(1, 0.8, "large")
    cost.observe(1, 0.05, "small")
    assert cost.turns("large") == pytest.approx(8)
    assert cost.turns("new") == pytest.approx(8)  # as the dearest
    assert cost.turns("small") == 1
