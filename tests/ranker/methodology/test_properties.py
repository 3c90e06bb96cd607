"""What the methodology promises, each as a property."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import ArtifactType, Basis, Interval, Value, Verdict
from services.ranker.methodology.definition import COMPONENTS
from services.ranker.methodology.load import load
from services.ranker.methodology.reliability import reliability
from services.ranker.methodology.score import ArtifactRecord, Outcomes, Score, match_graph, score
from tests.ranker.records import CPU, DAY, FACTS, artifact, claim, evidence, records, verdict

METHODOLOGY = load()
HERE = hardware_class(CPU)
SMALLER_IS_BETTER = {"gpu-latency", "parameters", "onnx-loss", "duplicate-rate"}


def scored(record: ArtifactRecord) -> Score:
    return score(record, METHODOLOGY, DAY, HERE)


@given(records("a"))
def test_ends_are_ordered_and_bounded(record: ArtifactRecord) -> None:
    result = scored(record)
    assert 0 <= result.low <= result.point <= result.high <= 100
    assert 0 <= result.coverage <= 1
    assert tuple(part.name for part in result.components) == COMPONENTS
    for part in result.components:
        assert 0 <= part.low <= part.point <= part.high <= 1
        assert 0 <= part.coverage <= 1
        if part.coverage == 0:
            assert (part.low, part.point, part.high) == (0, 0.5, 1)
            assert part.missing


@given(records("a"))
def test_weights_sum_to_one_whatever_is_known(record: ArtifactRecord) -> None:
    weights = [part.weight for part in scored(record).components]
    assert math.fsum(weights) == pytest.approx(1, abs=1e-12)


@given(records("a"), st.data())
def test_better_evidence_never_lowers_a_component(
    record: ArtifactRecord, data: st.DataObject
) -> None:
    assume(record.evidence)
    place = data.draw(st.integers(0, len(record.evidence) - 1))
    item = record.evidence[place]
    fact = item.claim.partition(".")[2]
    step = data.draw(st.floats(0, 20)) * (-1 if fact in SMALLER_IS_BETTER else 1)
    assert item.value is not None
    number, interval = item.value.number, item.interval
    assert number is not None
    better = replace(
        item,
        digest=data.draw(st.sampled_from(["sha256:0", "sha256:zz"])),
        value=Value(number + step, item.value.unit),
        interval=interval and Interval(interval.low + step, interval.high + step, interval.level),
    )
    items = (*record.evidence[:place], better, *record.evidence[place + 1 :])
    before, after = scored(record), scored(replace(record, evidence=items))
    for old, new in zip(before.components, after.components, strict=True):
        assert new.low >= old.low
        assert new.point >= old.point
        assert new.high >= old.high
    assert after.point >= before.point


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_match_that_went_well_never_lowers_the_match_graph(well: int, badly: int) -> None:
    before = match_graph(0.15, Outcomes(well + badly + 1, well), METHODOLOGY)
    after = match_graph(0.15, Outcomes(well + badly + 1, well + 1), METHODOLOGY)
    assert after.low >= before.low
    assert after.point >= before.point
    assert after.high >= before.high
    assert after.coverage == before.coverage


@given(records("a"))
def test_what_is_missing_leaves_its_whole_range_open(record: ArtifactRecord) -> None:
    """Whatever turns up later, the score stays within the bounds that were given before."""
    bare = replace(record, evidence=(), outcomes=Outcomes())
    open_, closed = scored(bare), scored(record)
    assert open_.low - 1e-9 <= closed.low
    assert closed.high <= open_.high + 1e-9
    assert open_.coverage <= closed.coverage


@given(st.sampled_from(sorted(FACTS)), st.data())
def test_coverage_alone_never_moves_the_point(kind: ArtifactType, data: st.DataObject) -> None:
    """Evidence that says "the middle of the scale" raises coverage and moves no point."""
    record = data.draw(records("a", (kind,)))
    rules = METHODOLOGY.rules(kind)
    known = {item.claim.partition(".")[2] for item in record.evidence}
    for metric in (*rules.quality.values(), *rules.ecosystem.values()):
        for source in metric.inputs:
            if source.fact not in FACTS[kind] or source.fact in known:
                continue
            scale = source.scale
            assert scale is not None
            assert source.unit is not None
            ends = (scale.zero.value, scale.one.value)
            middle = math.sqrt(math.prod(ends)) if scale.logarithmic else sum(ends) / 2
            neutral = evidence(f"a.{source.fact}", middle, source.unit)
            before = scored(record)
            after = scored(replace(record, evidence=(*record.evidence, neutral)))
            assert after.coverage > before.coverage
            assert after.point == pytest.approx(before.point, abs=1e-6)
            assert after.low >= before.low
            assert after.high <= before.high


@given(records("a"))
def test_repeating_what_is_known_changes_nothing_but_the_citations(record: ArtifactRecord) -> None:
    twice = replace(record, evidence=record.evidence * 2)
    assert scored(twice) == scored(record)


@given(records("a"), records("b"))
def test_evidence_on_other_artifacts_changes_nothing(
    record: ArtifactRecord, other: ArtifactRecord
) -> None:
    crowd = replace(record, evidence=record.evidence + other.evidence)
    assert scored(crowd) == scored(record)


VERDICTS = st.lists(st.tuples(st.sampled_from("pqrst"), st.sampled_from(Verdict)), max_size=20)


@given(VERDICTS, st.integers(0, 19))
def test_a_refutation_never_raises_page_reliability(
    given_: list[tuple[str, Verdict]], place: int
) -> None:
    assume(place < len(given_))
    verdicts = [verdict(claim(f"c{i}", group), what) for i, (group, what) in enumerate(given_)]
    before = reliability(verdicts, METHODOLOGY)
    verdicts[place] = replace(verdicts[place], verdict=Verdict.REFUTED)
    after = reliability(verdicts, METHODOLOGY)
    assert after.mean is not None
    assert after.interval is not None
    if before.mean is None or before.interval is None:  # nothing was decided
        assert before.confirmed + before.refuted == 0
    else:
        assert after.mean <= before.mean
        assert after.interval.low <= before.interval.low
        assert after.interval.high <= before.interval.high
    assert after.bounds.low <= before.bounds.low
    assert after.bounds.high <= before.bounds.high


@given(VERDICTS)
def test_reliability_lies_within_its_bounds(given_: list[tuple[str, Verdict]]) -> None:
    verdicts = [verdict(claim(f"c{i}", group), what) for i, (group, what) in enumerate(given_)]
    result = reliability(verdicts, METHODOLOGY)
    decided = result.confirmed + result.refuted > 0
    assert (result.mean is not None, result.interval is not None) == (decided, decided)
    if result.mean is not None and result.interval is not None:
        assert result.bounds.low <= result.mean <= result.bounds.high
        assert 0 <= result.interval.low <= result.interval.high <= 1
    assert result.confirmed + result.refuted + result.undecided == len({g for g, _ in given_})


def test_sourced_evidence_counts_for_less_than_a_measurement_never_for_more() -> None:
    """A page's own figure gives way to a worse measurement of the same fact."""
    record = ArtifactRecord(
        artifact=artifact(
            "a",
            ArtifactType.SEGMENTATION_MODEL,
            (claim("a.ade20k-miou", "ade20k-miou"),),
        ),
        evidence=(evidence("a.ade20k-miou", 51.0, "%", basis=Basis.SOURCED),),
        verdicts=(),
    )
    worse = evidence("a.ade20k-miou", 40.0, "%")
    measured = replace(record, evidence=(*record.evidence, worse))
    assert scored(measured).point < scored(record).point
