"""What a second verification of a claim says of the first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.findings import Change, ClaimVerdict, Difference, Evidence
from services.ranker.claims.model import Basis, Input, SubjectRelation, Verdict
from services.ranker.measuring.changes import change
from tests.ranker.records import CPU, NOON, claim, evidence, verdict

CLAIM = claim("c", "g")


def judged(item: Evidence, what: Verdict = Verdict.CONFIRMED) -> ClaimVerdict:
    return replace(verdict(CLAIM, what), evidence=item, basis=item.basis)


def versions(**found: str) -> dict[str, object]:
    return {**CPU, "versions": found}


FIRST = evidence("c", 1.0, "s", low=0.9, high=1.1, environment=versions(python="3.11", torch="2"))


def test_the_first_verification_has_nothing_to_compare_with() -> None:
    assert change(verdict(CLAIM, Verdict.NOT_TESTABLE_HERE), judged(FIRST)) is None


@given(st.sampled_from(Verdict), st.floats(0, 9), st.timedeltas(timedelta(0), timedelta(400)))
def test_time_alone_is_no_change(what: Verdict, number: float, later: timedelta) -> None:
    item = evidence("c", number, "s")
    again = replace(item, time=NOON + later, digest="sha256:another", command="again")
    assert change(judged(item, what), judged(again, what)) == Change(what, item, ())


@pytest.mark.parametrize(
    ("new", "what", "before", "after"),
    [
        (
            {"value": Value(1.05, "s")},
            "value",
            "1 (from 0.9 to 1.1) s",
            "1.05 (from 0.9 to 1.1) s, inside the interval that it had",
        ),
        (
            {"value": Value(2.0, "s"), "interval": Interval(1.9, 2.1, 0.99)},
            "value",
            "1 (from 0.9 to 1.1) s",
            "2 (from 1.9 to 2.1) s, outside the interval that it had",
        ),
        ({"value": None, "interval": None}, "value", "1 (from 0.9 to 1.1) s", "unknown"),
        ({"basis": Basis.SOURCED}, "basis", "measured", "sourced"),
        (
            {"relation": SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS},
            "relation",
            "exact",
            "same architecture random weights",
        ),
        (
            {"subject_digest": "sha256:0123456789abcdef"},
            "subject",
            "sha256:subject",
            "sha256:0123456789ab",
        ),
        ({"method": "test.method@2"}, "method", "test.method@1", "test.method@2"),
        (
            {"environment": {**versions(python="3.11", torch="2"), "cpu_count": 4}},
            "hardware",
            "Test CPU x2",
            "Test CPU x4",
        ),
    ],
)
def test_each_kind_of_change_has_its_words(
    new: dict[str, object], what: str, before: str, after: str
) -> None:
    found = change(judged(FIRST), judged(replace(FIRST, **new)))  # type: ignore[arg-type]
    assert found == Change(Verdict.CONFIRMED, FIRST, (Difference(what, before, after),))


def test_a_verdict_that_turns_and_versions_that_move_are_told() -> None:
    now = replace(FIRST, environment=versions(python="3.12", numpy="2"))
    found = change(judged(FIRST), judged(now, Verdict.REFUTED))
    assert found is not None
    assert found.differences == (
        Difference("verdict", "confirmed", "refuted"),
        Difference("versions", "numpy not there", "numpy 2"),
        Difference("versions", "python 3.11", "python 3.12"),
        Difference("versions", "torch 2", "torch not there"),
    )


SAMPLE = replace(
    FIRST, relation=SubjectRelation.SAMPLE, value=Value(45.0, "%"), interval=None, n=10
)


@pytest.mark.parametrize(
    ("new", "what", "old", "now"),
    [
        ({"value": Value(46.0, "%")}, "value", "45 %", "46 %"),
        ({"n": 2000}, "subject", "10", "2,000"),
        ({"inputs": (Input("sha256:other pictures"),)}, "subject", "10", "others"),
        ({"method": "test.method@2"}, "method", "test.method@1", "test.method@2"),
    ],
)
def test_each_kind_of_change_of_a_sample_has_its_words(
    new: dict[str, object], what: str, old: str, now: str
) -> None:
    before = replace(judged(FIRST), sample=SAMPLE)
    after = replace(before, sample=replace(SAMPLE, **new))  # type: ignore[arg-type]
    found = change(before, after)
    assert found is not None
    assert found.differences == (Difference(what, old, now, of_sample=True),)


def test_a_sample_that_is_not_measured_again_stands() -> None:
    found = change(replace(judged(FIRST), sample=SAMPLE), judged(FIRST))
    assert found is not None
    assert found.differences == ()
