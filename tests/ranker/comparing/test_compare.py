"""Comparisons: symmetric, reproducible, and honest about what they cannot tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import InvalidArgument
from services.ranker.api import comparisons
from services.ranker.claims.model import ArtifactType, Basis, PublishedScore
from services.ranker.comparing.cache_key import canonical, key
from services.ranker.comparing.compare import Comparison, compare, parse_day
from services.ranker.methodology.load import load
from services.ranker.methodology.published import Feasible
from services.ranker.methodology.score import ArtifactRecord, Outcomes
from services.ranker.methodology.separation import Missing, Separation, least_lead
from tests.ranker.records import DAY, artifact, claim, evidence, records

METHODOLOGY = load()
MODEL = ArtifactType.SEGMENTATION_MODEL


def compared(left: ArtifactRecord, right: ArtifactRecord) -> Comparison:
    return compare(canonical(left, right), METHODOLOGY, DAY)


def model(identifier: str, miou: float | None = None, **more: object) -> ArtifactRecord:
    """A segmentation model with, perhaps, an mIoU."""
    claims = tuple(
        claim(f"{identifier}.{fact}", fact, identifier)
        for fact in ("ade20k-miou", "gpu-latency", "parameters", "frameworks", "onnx-loss")
    )
    known = () if miou is None else (evidence(f"{identifier}.ade20k-miou", miou, "%"),)
    return replace(ArtifactRecord(artifact(identifier, MODEL, claims), known, ()), **more)  # type: ignore[arg-type]


def all_known(identifier: str, *, good: bool) -> ArtifactRecord:
    """A model about which everything is known, all of it good or all of it bad."""
    values: list[tuple[str, float | bool, str]] = [
        ("ade20k-miou", 51.0 if good else 37.4, "%"),
        ("gpu-latency", 0.0195 if good else 0.0706, "s"),
        ("parameters", 3.8e6 if good else 84.7e6, "parameters"),
        ("frameworks", good, ""),
        ("onnx-loss", 0.0 if good else 1.0, "%"),
    ]
    items = tuple(evidence(f"{identifier}.{fact}", value, unit) for fact, value, unit in values)
    outcomes = Outcomes(100, 95 if good else 5)
    return model(identifier, evidence=items, outcomes=outcomes)


@settings(max_examples=40)
@given(records("a"), records("b"))
def test_swapping_the_sides_swaps_the_answer(a: ArtifactRecord, b: ArtifactRecord) -> None:
    forth, back = compared(a, b), compared(b, a)
    assert back == forth.swapped()
    assert (forth.left.record, forth.right.record) == (a, b)
    assert (back.left.record, back.right.record) == (b, a)
    assert forth.summary == back.summary
    assert key(canonical(a, b), METHODOLOGY, DAY) == key(canonical(b, a), METHODOLOGY, DAY)


@settings(max_examples=40)
@given(records("a"), records("b"))
def test_the_same_input_gives_the_same_answer(a: ArtifactRecord, b: ArtifactRecord) -> None:
    shuffled = replace(a, evidence=a.evidence[::-1])
    first, again = compared(a, b), compared(shuffled, b)
    assert replace(again, left=first.left) == first
    assert again.left.score == first.left.score
    assert key(canonical(a, b), METHODOLOGY, DAY) == key(canonical(shuffled, b), METHODOLOGY, DAY)


@settings(max_examples=40)
@given(records("a"), records("b"))
def test_the_same_input_gives_the_same_bytes_whichever_side_is_left(
    a: ArtifactRecord, b: ArtifactRecord
) -> None:
    pairs = ((a, b), (a, b), (b, a))
    forth, again, back = (comparisons.to_message(compared(*pair)) for pair in pairs)
    assert comparisons.encode(forth) == comparisons.encode(again)
    comparisons.exchange(back)
    assert comparisons.encode(back) == comparisons.encode(forth)


@settings(max_examples=40)
@given(records("a"), records("b"), records("third"))
def test_third_artifacts_change_nothing(
    a: ArtifactRecord, b: ArtifactRecord, third: ArtifactRecord
) -> None:
    crowd = replace(a, evidence=a.evidence + third.evidence)
    assert compared(crowd, b) == compared(a, b)
    assert key(canonical(crowd, b), METHODOLOGY, DAY) == key(canonical(a, b), METHODOLOGY, DAY)


@settings(max_examples=40)
@given(records("a", (MODEL,)), records("b", (MODEL,)))
def test_a_winner_wins_at_the_declared_weights_too(a: ArtifactRecord, b: ArtifactRecord) -> None:
    result = compared(a, b)
    if result.overall is Separation.LEFT:
        assert result.left.score.low > result.right.score.high
    if result.overall is Separation.RIGHT:
        assert result.right.score.low > result.left.score.high
    for row, mine, other in zip(
        result.components, result.left.score.components, result.right.score.components, strict=True
    ):
        disjoint = mine.low > other.high or other.low > mine.high
        assert (row.separation is Separation.NOT_SEPARABLE) == (not disjoint)
        assert not (row.missing and disjoint)


@settings(max_examples=40)
@given(records("a", (MODEL,)), records("b", (MODEL,)), st.data())
def test_the_least_lead_is_under_every_declared_weighting(
    a: ArtifactRecord, b: ArtifactRecord, data: st.DataObject
) -> None:
    ranges = METHODOLOGY.rules(MODEL).weights
    result = compared(a, b)
    mine, other = result.left.score, result.right.score
    least = least_lead(mine, other, ranges)
    weights = {name: r.low for name, r in ranges.items()}
    rest = 1 - sum(weights.values())
    names = data.draw(st.permutations(sorted(ranges)))
    for name in names:
        extra = min(rest, ranges[name].high - ranges[name].low)
        weights[name] += extra
        rest -= extra
    assert sum(weights.values()) == pytest.approx(1)
    lead = sum(
        weights[p.name] * (p.low - q.high)
        for p, q in zip(mine.components, other.components, strict=True)
    )
    assert lead >= least - 1e-12


def test_a_winner_is_named_when_it_wins_everywhere() -> None:
    result = compared(all_known("bad", good=False), all_known("good", good=True))
    assert result.overall is Separation.RIGHT
    assert "good is better under every declared weighting" in result.summary
    ahead = {row.component for row in result.components if row.separation is Separation.RIGHT}
    assert ahead == {"quality", "ecosystem", "match_graph"}


def test_with_little_evidence_they_are_not_separable_and_it_says_what_is_needed() -> None:
    result = compared(model("a", 50.0), model("b", 38.0))
    assert result.overall is Separation.NOT_SEPARABLE
    quality = result.components[0]
    assert quality.separation is Separation.LEFT
    match = next(row for row in result.components if row.component == "match_graph")
    assert match.missing == (
        Missing("a", "", "outcomes of matches"),
        Missing("b", "", "outcomes of matches"),
    )
    ecosystem = next(row for row in result.components if row.component == "ecosystem")
    assert {(one.artifact, one.metric) for one in ecosystem.missing} >= {
        ("a", "frameworks"),
        ("b", "frameworks"),
    }
    assert "latency" in result.summary
    assert "a is ahead in quality" in result.summary


def test_equal_artifacts_have_no_winner() -> None:
    result = compared(all_known("a", good=True), all_known("b", good=True))
    assert result.overall is Separation.NOT_SEPARABLE
    quality = result.components[0]
    assert quality.separation is Separation.NOT_SEPARABLE
    assert quality.missing == ()


def test_artifacts_of_different_types_are_compared_on_common_scales_only() -> None:
    corpus = ArtifactRecord(
        artifact("corpus", ArtifactType.DATASET, (), date(2020, 12, 31)), (), ()
    )
    result = compared(all_known("model", good=True), corpus)
    assert result.overall is Separation.DIFFERENT_TYPES
    found = {row.component: row.separation for row in result.components}
    assert found["quality"] is Separation.DIFFERENT_TYPES
    assert found["ecosystem"] is Separation.DIFFERENT_TYPES
    assert found["freshness"] is Separation.LEFT
    assert found["match_graph"] is Separation.NOT_SEPARABLE
    assert "neither is better overall" in result.summary
    assert "model is ahead in freshness" in result.summary


def test_the_summary_never_gives_a_point_without_interval_and_coverage() -> None:
    result = compared(model("a", 50.0), model("b"))
    for side in (result.left, result.right):
        score = side.score
        name = side.record.artifact.id
        assert (
            f"{name} scores {score.point:.1f} of 100, between {score.low:.1f} and "
            f"{score.high:.1f}, with evidence for {100 * score.coverage:.0f} %"
        ) in result.summary


def test_no_evidence_at_all_leaves_nearly_everything_open() -> None:
    result = compared(model("a"), model("b", outcomes=Outcomes()))
    assert result.left.score.components[0].coverage == 0
    assert result.left.score.high - result.left.score.low == pytest.approx(85)
    assert result.hardware == ""


def test_published_scores_are_shown_beside_and_enter_nothing() -> None:
    bits = {"adoption": 0, "quality": 0, "ecosystem": 1, "match_graph": 0}
    plain = model("a", 50.0)
    printed = replace(
        plain, artifact=replace(plain.artifact, published=PublishedScore(42, "a page", bits))
    )
    result = compared(printed, model("b"))
    assert result.left.feasible == Feasible(5, 62)
    assert "not identified by" in result.left.remark
    assert result.right.feasible is None
    assert result.left.score == compared(plain, model("b")).left.score


def test_an_artifact_cannot_be_compared_with_itself() -> None:
    with pytest.raises(InvalidArgument, match="is the left artifact too"):
        canonical(model("a"), model("a"))


def test_the_key_changes_with_everything_that_the_answer_depends_on() -> None:
    a, b = model("a", 50.0), model("b", 40.0)
    keys = [
        key(canonical(a, b), METHODOLOGY, DAY),
        key(canonical(a, b), METHODOLOGY, DAY + timedelta(days=1)),
        key(canonical(a, b), replace(METHODOLOGY, digest="sha256:other"), DAY),
        key(canonical(model("a", 50.1), b), METHODOLOGY, DAY),
        key(canonical(replace(a, outcomes=Outcomes(1, 1)), b), METHODOLOGY, DAY),
        key(canonical(replace(a, artifact=replace(a.artifact, digest="x")), b), METHODOLOGY, DAY),
        key(canonical(model("c", 50.0), b), METHODOLOGY, DAY),
    ]
    assert len(set(keys)) == len(keys)
    assert all(one.startswith("cmp:v3:") and len(one.split(":")) == 8 for one in keys)
    assert keys[0].endswith(":2026-01-15")


def test_two_artifacts_without_evidence_do_not_share_a_key() -> None:
    keys = {key(canonical(model(x), model("z")), METHODOLOGY, DAY) for x in ("a", "b")}
    assert len(keys) == 2


def test_freshness_before_the_release_is_not_known() -> None:
    result = compare(canonical(model("a"), model("b")), METHODOLOGY, date(2023, 1, 1))
    freshness = result.left.score.components[3]
    assert freshness.coverage == 0
    assert "not released by 2023-01-01" in freshness.explanation


def test_freshness_halves_in_two_years() -> None:
    result = compare(canonical(model("a"), model("b")), METHODOLOGY, date(2026, 1, 14))
    assert result.left.score.components[3].point == pytest.approx(0.5)


@pytest.mark.parametrize("text", ["2026-13-01", "20260115", "yesterday", "2026-W03-4", "2026-1-5"])
def test_what_is_not_a_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="as_of"):
        parse_day(text, DAY)


@given(st.text(max_size=20))
def test_any_text_is_a_day_or_refused(text: str) -> None:
    try:
        day = parse_day(text, DAY)
    except InvalidArgument:
        return
    assert text in ("", day.isoformat())


def test_a_day_is_read_and_today_is_the_default() -> None:
    assert parse_day("2020-02-29", DAY) == date(2020, 2, 29)
    assert parse_day("", DAY) == DAY


def test_sourced_latency_says_nothing_about_this_machine() -> None:
    cited = evidence("a.gpu-latency", 0.03, "s", basis=Basis.SOURCED, environment={})
    result = compared(model("a", evidence=(cited,)), model("b"))
    assert "latency" in result.left.score.components[0].missing


def test_latency_on_a_cpu_has_no_scale_and_the_score_says_why() -> None:
    timed = (evidence("a.cpu-latency", 0.3, "s"),)
    side = replace(
        model("a", evidence=timed),
        artifact=artifact("a", MODEL, (claim("a.cpu-latency", "cpu-latency", "a"),)),
    )
    quality = compared(side, model("b")).left.score.components[0]
    assert "latency" in quality.missing
    assert "no reference is published for a CPU" in quality.explanation
    assert (quality.low, quality.high) == (0, 1)
