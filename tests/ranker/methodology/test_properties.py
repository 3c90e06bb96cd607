"""What the methodology promises of a score, each as a property."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.common.statistics.outcomes import Reports
from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import ArtifactType, Basis
from services.ranker.methodology.definition import GREATEST, LEAST, SHOWN
from services.ranker.methodology.load import load
from services.ranker.methodology.score import (
    ArtifactRecord,
    Outcomes,
    Score,
    Standing,
    outcome_component,
    standing,
)
from tests.ranker.records import CPU, DAY, artifact, claim, evidence, outcomes, records

METHODOLOGY = load()
HERE = hardware_class(CPU)
SMALLER_IS_BETTER = {"latency-ratio", "parameters", "duplicate-rate"}
LEVELS = st.sampled_from([METHODOLOGY.pair_level, METHODOLOGY.family_level])


def stands(record: ArtifactRecord, level: float = METHODOLOGY.pair_level) -> Standing:
    return standing(record, METHODOLOGY, DAY, HERE, level)


def scored(record: ArtifactRecord) -> list[Score]:
    side = stands(record)
    return [side.score(one) for one in side.profiles]


@pytest.mark.slow
@given(records("a"), LEVELS)
def test_ends_are_ordered_and_what_is_not_known_has_no_point(
    record: ArtifactRecord, level: float
) -> None:
    side = stands(record, level)
    for profile in side.profiles:
        result = side.score(profile)
        assert 100 * LEAST <= result.low <= result.high <= 100 * GREATEST
        assert (result.point is None) == bool(result.lacks) == (result.coverage < 1)
        if result.point is not None:
            assert result.low <= result.point <= result.high
        for part in result.components:
            assert part.low <= part.high
            if part.point is None:
                assert part.missing
                assert (part.coverage, part.evidence) == (0, ())
            else:
                assert part.low <= part.point <= part.high


@pytest.mark.slow
@given(records("a"))
def test_weights_sum_to_one_whatever_is_known(record: ArtifactRecord) -> None:
    for result in scored(record):
        weights = {part.name: part.weight for part in result.components}
        assert math.fsum(weights.values()) == pytest.approx(1, abs=1e-12)
        assert all(weights[name] == 0 for name in SHOWN)


@pytest.mark.slow
@given(records("a"), st.data())
def test_better_evidence_never_lowers_a_metric(record: ArtifactRecord, data: st.DataObject) -> None:
    assume(record.evidence)
    place = data.draw(st.integers(0, len(record.evidence) - 1))
    item = record.evidence[place]
    fact = item.claim.partition(".")[2]
    assert item.value is not None
    number, interval = item.value.number, item.interval
    assert number is not None
    step = data.draw(st.floats(0, 20)) * (-1 if fact in SMALLER_IS_BETTER else 1)
    if item.value.unit == "share":
        step = max(-number, min(1 - number, step))
    better = replace(
        item,
        digest=data.draw(st.sampled_from(["sha256:0", "sha256:zz"])),
        value=Value(number + step, item.value.unit),
        interval=interval and Interval(interval.low + step, interval.high + step, interval.level),
    )
    items = (*record.evidence[:place], better, *record.evidence[place + 1 :])
    before, after = stands(record).readings, stands(replace(record, evidence=items)).readings
    assert set(before) == set(after)
    for name, old in before.items():
        assert after[name].low >= old.low - 1e-12
        assert after[name].point >= old.point - 1e-12
        assert after[name].high >= old.high - 1e-12


@pytest.mark.slow
@given(records("a"), st.data())
def test_whatever_turns_up_of_what_is_missing_stays_in_the_bounds(
    record: ArtifactRecord, data: st.DataObject
) -> None:
    """Corrections of what is known may leave them: a metric that has evidence is not drawn."""
    side = stands(record)
    rules = METHODOLOGY.rules(record.artifact.type).metrics
    missing = sorted(
        name for name, one in rules.items() if name not in side.readings and one.scale is not None
    )
    assume(missing)
    metric = rules[data.draw(st.sampled_from(missing))]
    scale = metric.scale
    assert scale is not None
    ends = sorted((scale.zero.value, scale.one.value))
    value = data.draw(st.floats(ends[0], ends[1]))
    assert metric.unit is not None
    fresh = evidence(f"a.{metric.fact}", value, metric.unit)
    for before, after in zip(
        scored(record), scored(replace(record, evidence=(*record.evidence, fresh))), strict=True
    ):
        assert before.low - 1e-6 <= after.low
        assert after.high <= before.high + 1e-6
        assert before.coverage <= after.coverage


@pytest.mark.slow
@given(records("a"))
def test_repeating_what_is_known_changes_nothing(record: ArtifactRecord) -> None:
    twice = replace(record, evidence=record.evidence * 2)
    readings, again = stands(record).readings, stands(twice).readings
    assert {n: (one.low, one.point, one.high) for n, one in readings.items()} == {
        n: (one.low, one.point, one.high) for n, one in again.items()
    }


@pytest.mark.slow
@given(records("a"), records("b"))
def test_evidence_on_other_artifacts_changes_nothing(
    record: ArtifactRecord, other: ArtifactRecord
) -> None:
    crowd = replace(record, evidence=record.evidence + other.evidence)
    assert scored(crowd) == scored(record)


@pytest.mark.slow
@given(records("a"), outcomes(), st.dates())
def test_what_is_only_shown_moves_no_score(
    record: ArtifactRecord, other: Outcomes, day: date
) -> None:
    """Neither outcomes, nor a declared day, nor matches: none is read by a profile."""
    changed = replace(
        record,
        artifact=replace(record.artifact, released=day),
        outcomes=other,
        matched=10_000,
        verdicts=(),
    )
    for before, after in zip(scored(record), scored(changed), strict=True):
        assert (before.low, before.point, before.high) == (after.low, after.point, after.high)
        assert before.coverage == after.coverage


@given(outcomes(), st.integers(0, 10**6))
def test_anonymous_reports_change_nothing_but_their_count(said: Outcomes, more: int) -> None:
    crowd = replace(said, anonymous=said.anonymous + more, reported=said.reported + more)
    before, after = outcome_component(said), outcome_component(crowd)
    assert (before.low, before.point, before.high) == (after.low, after.point, after.high)


@given(st.integers(0, 10), st.integers(1, 10**6), st.booleans())
def test_one_operator_is_one_opinion_however_many_it_reports(
    others: int, many: int, good: bool
) -> None:
    """A million outcomes of one operator move the mean by at most 1 / (T + 3)."""
    operators = {f"o{number}": Reports(number % 2, 1) for number in range(5 + others)}
    total = sum(one.total / (one.total + 1) for one in operators.values())
    before = outcome_component(Outcomes(operators)).point
    stuffed = {**operators, "liar": Reports(many if good else 0, many)}
    after = outcome_component(Outcomes(stuffed)).point
    assert before is not None
    assert after is not None
    assert abs(after - before) <= 1 / (total + 3) + 1e-9


def test_below_five_operators_there_is_no_figure() -> None:
    four = Outcomes({f"o{number}": Reports(1, 1) for number in range(4)}, 4 + 7, 11, 7)
    part = outcome_component(four)
    assert part.point is None
    assert part.explanation == (
        "needs 5 operators that report, has 4; 7 anonymous reports do not count"
    )


def test_sourced_evidence_counts_for_less_than_a_measurement_never_for_more() -> None:
    """A page's own figure gives way to a worse measurement of the same fact."""
    record = ArtifactRecord(
        artifact=artifact(
            "a", ArtifactType.SEGMENTATION_MODEL, (claim("a.ade20k-miou", "ade20k-miou"),)
        ),
        evidence=(evidence("a.ade20k-miou", 51.0, "%", basis=Basis.SOURCED),),
        verdicts=(),
    )
    worse = evidence("a.ade20k-miou", 40.0, "%")
    measured = replace(record, evidence=(*record.evidence, worse))
    name = "ade20k-miou"
    assert stands(measured).readings[name].point < stands(record).readings[name].point
