"""What a second verification of a claim says of the first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.claims.model import (
    Basis,
    Change,
    ClaimVerdict,
    Evidence,
    Interval,
    SubjectRelation,
    Value,
    Verdict,
)
from services.ranker.measuring.changes import change
from tests.ranker.dossiers import CPU, NOON, claim, evidence, verdict

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
    ("new", "words"),
    [
        (
            {"value": Value(1.05, "s")},
            (
                "the value was 1 (from 0.9 to 1.1) s and is 1.05 (from 0.9 to 1.1) s, inside the "
                "interval that it had"
            ),
        ),
        (
            {"value": Value(2.0, "s"), "interval": Interval(1.9, 2.1, 0.99)},
            (
                "the value was 1 (from 0.9 to 1.1) s and is 2 (from 1.9 to 2.1) s, outside the "
                "interval that it had"
            ),
        ),
        (
            {"value": None, "interval": None},
            "the value was 1 (from 0.9 to 1.1) s and is unknown",
        ),
        ({"basis": Basis.SOURCED}, "it was measured and is sourced"),
        (
            {"relation": SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS},
            "what was observed was exact and is same architecture random weights",
        ),
        (
            {"subject_digest": "sha256:0123456789abcdef"},
            "what was observed was sha256:subject and is sha256:0123456789ab",
        ),
        ({"method": "test.method@2"}, "the method was test.method@1 and is test.method@2"),
        (
            {"environment": {**versions(python="3.11", torch="2"), "cpu_count": 4}},
            "the hardware was Test CPU x2 and is Test CPU x4",
        ),
    ],
)
def test_each_kind_of_change_has_its_words(new: dict[str, object], words: str) -> None:
    found = change(judged(FIRST), judged(replace(FIRST, **new)))  # type: ignore[arg-type]
    assert found == Change(Verdict.CONFIRMED, FIRST, (words,))


def test_a_verdict_that_turns_and_versions_that_move_are_told() -> None:
    now = replace(FIRST, environment=versions(python="3.12", numpy="2"))
    found = change(judged(FIRST), judged(now, Verdict.REFUTED))
    assert found is not None
    assert found.differences == (
        "the verdict was confirmed and is refuted",
        "numpy was not there and is 2",
        "python was 3.11 and is 3.12",
        "torch was 2 and is not there",
    )


SAMPLE = replace(
    FIRST, relation=SubjectRelation.SAMPLE, value=Value(45.0, "%"), interval=None, n=10
)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ({"value": Value(46.0, "%")}, "the value was 45 % and is 46 %"),
        ({"n": 2000}, "it was of 10 and is of 2,000"),
        ({"inputs": ("sha256:other pictures",)}, "it was of 10 and is of others"),
        ({"method": "test.method@2"}, "the method was test.method@1 and is test.method@2"),
    ],
)
def test_each_kind_of_change_of_a_sample_has_its_words(new: dict[str, object], words: str) -> None:
    before = replace(judged(FIRST), sample=SAMPLE)
    after = replace(before, sample=replace(SAMPLE, **new))  # type: ignore[arg-type]
    found = change(before, after)
    assert found is not None
    assert found.differences == (f"on the sample: {words}",)


def test_a_sample_that_is_not_measured_again_stands() -> None:
    found = change(replace(judged(FIRST), sample=SAMPLE), judged(FIRST))
    assert found is not None
    assert found.differences == ()
