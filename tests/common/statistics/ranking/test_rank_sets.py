from __future__ import annotations

import math

import numpy as np
import pytest

from services.common.statistics.estimate import Estimate
from services.common.statistics.ranking.rank_sets import holm, rank_sets, separate, wins


def known(*values: float, error: float = 1.0) -> dict[str, Estimate]:
    return {str(place): Estimate(value, error**2) for place, value in enumerate(values)}


def test_holm_against_its_definition() -> None:
    p_values = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}

    def rejected(name: str, level: float) -> bool:
        return p_values[name] <= 1 - level

    # 0.005 <= 0.05 / 4 and 0.01 <= 0.05 / 3, but 0.03 > 0.05 / 2.
    assert holm(p_values, rejected, 0.95) == {"a", "d"}
    assert holm(p_values, rejected, 0.5) == {"a", "b", "c", "d"}
    assert holm([], rejected, 0.95) == set()


def test_square_and_add_of_known_errors_is_the_normal_test() -> None:
    reach = 1.959963984540054 * math.hypot(1.0, 2.0)
    for lead, apart in ((0.999 * reach, False), (1.001 * reach, True), (-1.001 * reach, True)):
        assert separate(Estimate(lead, 1.0), Estimate(0.0, 4.0), 0.95) is apart
    assert not separate(Estimate(1.0, 1.0), Estimate(1.0, 1.0), 0.01)
    assert separate(Estimate(1.0), Estimate(2.0), 0.999999)


def test_of_few_restarts_it_takes_more() -> None:
    assert separate(Estimate(3.0, 1.0), Estimate(0.0, 1.0), 0.95)
    assert not separate(Estimate(3.0, 1.0, 7), Estimate(0.0, 1.0, 7), 0.95)


def test_six_take_the_range_of_six() -> None:
    reach = 4.0301 / math.sqrt(2) * math.sqrt(2)  # of two with error 1
    for lead, apart in ((0.999 * reach, False), (1.001 * reach, True)):
        found = rank_sets(known(0, 0.1, 0.2, 0.3, 0.4, lead))
        assert (found["5"] != (1, 6)) is apart


def test_stepping_down_finds_more() -> None:
    """Two clusters set apart leave three pairs each, which are judged by ranges of three."""
    near = known(0, 0, 3.7, 100, 100, 103.7)
    assert rank_sets(near)["2"] == (4, 4)
    assert rank_sets(known(0, 0, 3.7, 3.6, 3.5, 3.4))["2"] == (1, 6)


def test_exact_values_are_ranked_exactly() -> None:
    found = rank_sets({"a": Estimate(1.0), "b": Estimate(2.0), "c": Estimate(2.0)})
    assert found == {"a": (3, 3), "b": (1, 2), "c": (1, 2)}


@pytest.mark.parametrize(
    ("truth", "freedom"),
    [
        ([0.0] * 6, math.inf),
        ([0.0, 0.0, 5.0, 5.0, 10.0, 10.0], math.inf),
        ([0.0, 0.5, 1.0, 1.5, 2.0, 2.5], math.inf),
        ([0.0] * 6, 7.0),
    ],
)
def test_no_false_win_in_nineteen_of_twenty_lists(truth: list[float], freedom: float) -> None:
    generator = np.random.default_rng(11)
    wrong, lists = 0, 400
    for _ in range(lists):
        values = generator.normal(truth, 1.0)
        spread = np.ones(6) if math.isinf(freedom) else generator.chisquare(freedom, 6) / freedom
        found = wins(
            {
                str(place): Estimate(float(value), float(variance), freedom)
                for place, (value, variance) in enumerate(zip(values, spread, strict=True))
            }
        )
        wrong += any(truth[int(one)] <= truth[int(two)] for one, two in found)
    assert wrong / lists <= 0.075
