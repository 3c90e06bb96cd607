from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.common.statistics.interval import Interval, Kind
from services.common.statistics.reliability import FactClaim, Outcome, Reliability, reliability

CONFIRMED, REFUTED, UNDECIDED = Outcome.CONFIRMED, Outcome.REFUTED, Outcome.UNDECIDED
FACTS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.9]),
        st.sampled_from(Outcome),
    ),
    max_size=12,
)
Facts = list[tuple[str, float, Outcome]]


def page(facts: Facts) -> list[FactClaim]:
    return [FactClaim(str(place), *fact) for place, fact in enumerate(facts)]


def figures(found: Reliability) -> tuple[float | None, float | None, float | None]:
    def short(value: float | None) -> float | None:
        return None if value is None else round(value, 2)

    return short(found.mean), short(found.interval.low), short(found.interval.high)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ([("a", 0.9, CONFIRMED)] * 30, (None, 0.0, 1.0)),
        ([("a", 0.1, CONFIRMED)], (0.64, 0.10, 0.99)),
        ([("a", 0.5, CONFIRMED)] * 30, (0.65, 0.08, 0.99)),
        ([(str(k % 5), 0.5, CONFIRMED) for k in range(30)], (0.85, 0.48, 1.0)),
        ([("a", 0.05, CONFIRMED)] * 30, (0.78, 0.35, 0.99)),
        ([(str(k % 6), 0.05, CONFIRMED) for k in range(30)], (0.93, 0.75, 1.0)),
        ([(str(k % 5), 0.1, CONFIRMED if k < 7 else REFUTED) for k in range(15)],
         (0.41, 0.11, 0.73)),
        # Without guesses and with one fact an aspect: the beta distribution with 9 and 10.
        ([(str(k), 0.0, CONFIRMED if k < 8 else REFUTED) for k in range(17)], (0.47, 0.26, 0.69)),
    ],
)  # fmt: skip
def test_pages(facts: Facts, expected: tuple[float | None, float, float]) -> None:
    assert figures(reliability(page(facts))) == expected


def test_nothing_decided_is_no_point() -> None:
    found = reliability(page([("a", 0.1, UNDECIDED)]))
    assert found.mean is None
    assert found.interval == Interval(0.0, 1.0, 0.0, Kind.BOUNDS, "facts-posterior@1")
    assert found.worst is not None
    assert found.best is not None
    assert found.worst < found.best
    nothing = reliability([])
    assert (nothing.mean, nothing.worst, nothing.best) == (None, None, None)


@given(FACTS, st.data())
def test_deciding_a_fact_moves_everything_one_way(facts: Facts, data: st.DataObject) -> None:
    """Confirmed never lowers, refuted never raises: with guesses of any ease in the aspect."""
    assume(any(outcome is UNDECIDED for _, _, outcome in facts))
    place = data.draw(
        st.sampled_from([at for at, fact in enumerate(facts) if fact[2] is UNDECIDED])
    )
    before = reliability(page(facts))
    assume(before.mean is not None)
    for outcome, sign in ((CONFIRMED, 1), (REFUTED, -1)):
        after = reliability(
            [
                replace(one, outcome=outcome) if at == place else one
                for at, one in enumerate(page(facts))
            ]
        )
        for old, new in (
            (before.mean, after.mean),
            (before.interval.low, after.interval.low),
            (before.interval.high, after.interval.high),
        ):
            assert sign * ((new or 0.0) - (old or 0.0)) >= -1e-9
    assert before.worst is not None
    assert before.best is not None
    assert before.worst <= (before.mean or 0.0) <= before.best


@given(FACTS, st.randoms())
def test_repetition_order_and_trivial_claims_change_nothing(
    facts: Facts, generator: random.Random
) -> None:
    claims = page(facts)
    expected = reliability(claims)
    more = claims + generator.choices(claims, k=5) if claims else []
    generator.shuffle(more)
    assert reliability(more) == expected
    trivial = [FactClaim(f"trivial {k}", "a", 0.9, CONFIRMED) for k in range(30)]
    found = reliability(claims + trivial)
    assert (found.mean, found.interval) == (expected.mean, expected.interval)


def test_a_fact_is_refuted_by_any_of_its_claims() -> None:
    claims = [FactClaim("x", "a", 0.1, outcome) for outcome in (CONFIRMED, REFUTED, UNDECIDED)]
    found = reliability(claims)
    assert (found.confirmed, found.refuted, found.undecided) == (0, 1, 0)
    assert reliability(claims[::2]).confirmed == 1


def test_claims_on_one_fact_agree_what_it_is() -> None:
    claim = FactClaim("x", "a", 0.1, CONFIRMED)
    with pytest.raises(ValueError, match="differ in its aspect"):
        reliability([claim, replace(claim, aspect="b")])
    with pytest.raises(ValueError, match="chance that a guess of x"):
        replace(claim, guess=1.0)
