from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics.interval import Interval, Kind, TooFewError, hull, quotient

POSITIVE = st.floats(1e-6, 1e6)


def sure(low: float | None, high: float | None, level: float = 0.99) -> Interval:
    return Interval(low, high, level, Kind.CONFIDENCE, "student@1")


def bounds(low: float | None, high: float | None) -> Interval:
    return Interval(low, high, 0.0, Kind.BOUNDS, "rounding@1")


@pytest.mark.parametrize(
    ("low", "high"), [(2.0, 1.0), (math.nan, 1.0), (0.0, math.inf), (-math.inf, 0.0), (None, None)]
)
def test_ends_that_are_none_are_refused(low: float | None, high: float | None) -> None:
    with pytest.raises(ValueError, match="finite ends in order"):
        sure(low, high)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 95.0])
@pytest.mark.parametrize("kind", [Kind.CONFIDENCE, Kind.CREDIBLE])
def test_confidence_has_a_level(kind: Kind, level: float) -> None:
    with pytest.raises(ValueError, match="the level of a"):
        Interval(0.0, 1.0, level, kind, "student@1")


@pytest.mark.parametrize("kind", [Kind.BOUNDS, Kind.ALTERNATIVES])
def test_bounds_have_no_level(kind: Kind) -> None:
    assert Interval(0.0, 1.0, 0.0, kind, "rounding@1").level == 0
    with pytest.raises(ValueError, match="have no level"):
        Interval(0.0, 1.0, 0.95, kind, "rounding@1")


@pytest.mark.parametrize("method", ["student", "student@", "@1", "student@one", ""])
def test_a_method_has_a_version(method: str) -> None:
    with pytest.raises(ValueError, match="name and a version"):
        Interval(0.0, 1.0, 0.95, Kind.CONFIDENCE, method)


def test_open_ends_hold_everything_beyond() -> None:
    assert sure(None, 2.0).holds(-1e300)
    assert not sure(None, 2.0).holds(2.1)
    assert sure(1.0, None).holds(1e300)
    assert not sure(1.0, None).holds(0.9)
    assert sure(1.0, 1.0).holds(1.0)


@given(POSITIVE, POSITIVE, POSITIVE, POSITIVE)
def test_a_quotient_holds_every_quotient(a: float, b: float, c: float, d: float) -> None:
    above, below = sure(min(a, b), max(a, b), 0.995), sure(min(c, d), max(c, d), 0.995)
    found = quotient(above, below)
    assert found.level == 0.99
    assert found.low is not None
    assert found.high is not None
    for x in (a, b):
        for y in (c, d):
            assert found.low <= x / y * (1 + 1e-12)
            assert found.high >= x / y * (1 - 1e-12)


def test_an_open_end_opens_the_quotient() -> None:
    found = quotient(sure(1.0, 2.0), sure(None, 4.0))
    assert (found.low, found.high) == (0.25, None)
    assert quotient(sure(1.0, None), sure(2.0, 4.0)).high is None
    both = quotient(sure(1.0, None), sure(2.0, None))
    assert (both.low, both.high) == (0.0, None)


def test_a_quotient_needs_positive_ends() -> None:
    with pytest.raises(ValueError, match="above 0"):
        quotient(sure(1.0, 2.0), sure(0.0, 1.0))


def test_a_quotient_with_bounds_is_no_confidence() -> None:
    found = quotient(sure(1.0, 2.0), bounds(1.0, 2.0))
    assert (found.level, found.kind) == (0.0, Kind.BOUNDS)


def test_a_hull_is_as_sure_as_its_least_sure_part() -> None:
    found = hull([sure(1.0, 2.0), sure(4.0, 5.0, 0.9)])
    assert (found.low, found.high, found.level, found.kind) == (1.0, 5.0, 0.9, Kind.CONFIDENCE)
    assert hull([sure(1.0, 2.0), sure(None, 1.5)]).low is None
    assert hull([sure(1.0, 2.0), bounds(0.0, 1.0)]).kind is Kind.BOUNDS


def test_too_few_says_how_many_it_takes() -> None:
    error = TooFewError("clean restarts", 3, 8)
    assert str(error) == "needs 8 clean restarts, has 3"
    assert (error.have, error.need) == (3, 8)
