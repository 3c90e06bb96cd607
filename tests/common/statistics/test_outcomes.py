from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.interval import TooFewError
from services.common.statistics.outcomes import Reports, reported

REPORTS = st.tuples(st.integers(0, 50), st.integers(1, 50)).map(
    lambda pair: Reports(min(pair), max(pair))
)
OPERATORS = st.dictionaries(st.integers(0, 30).map(str), REPORTS, min_size=5, max_size=20)


@given(OPERATORS, st.randoms())
def test_order_changes_nothing(operators: dict[str, Reports], generator: random.Random) -> None:
    items = generator.sample(sorted(operators.items()), len(operators))
    assert reported(dict(items)) == reported(operators)


@given(OPERATORS, st.booleans())
def test_one_operator_moves_the_mean_by_its_cap(operators: dict[str, Reports], good: bool) -> None:
    before = reported(operators)
    weight = sum(one.total / (one.total + 1) for one in operators.values())
    flood = {"new": Reports(10**9 * good, 10**9)}
    assert abs(reported({**operators, **flood}).mean - before.mean) <= 1 / (weight + 3)


@given(OPERATORS, st.data(), st.booleans())
def test_good_reports_never_lower_and_bad_never_raise(
    operators: dict[str, Reports], data: st.DataObject, good: bool
) -> None:
    name = data.draw(st.sampled_from(sorted(operators)))
    one = operators[name]
    before = reported(operators)
    after = reported({**operators, name: Reports(one.good + good, one.total + 1)})
    sign = 1 if good else -1
    assert sign * (after.mean - before.mean) >= -1e-12
    for end in ("low", "high"):
        change = getattr(after.interval, end) - getattr(before.interval, end)
        assert sign * change >= -1e-9


@given(OPERATORS)
def test_what_is_shown_allows_for_liars(operators: dict[str, Reports]) -> None:
    found = reported(operators)
    assert found.operators == len(operators)
    assert found.interval.holds(found.mean)
    assert found.shown.holds(found.interval.low or 0.0)
    assert found.shown.holds(found.interval.high or 0.0)


def test_a_tenth_and_one_more_are_turned_round() -> None:
    five = {str(place): Reports(9, 9) for place in range(5)}
    lying = {**five, "0": Reports(0, 9), "1": Reports(0, 9)}
    assert reported(five).shown.low == pytest.approx(reported(lying).interval.low)


def test_fewer_than_five_are_no_point() -> None:
    with pytest.raises(TooFewError, match=r"^needs 5 operators that report, has 4$"):
        reported({str(place): Reports(1, 1) for place in range(4)})
    with pytest.raises(ValueError, match="not a report"):
        Reports(2, 1)
    with pytest.raises(ValueError, match="not a report"):
        Reports(0, 0)
