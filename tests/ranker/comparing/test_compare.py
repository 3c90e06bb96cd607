"""Comparisons: symmetric, reproducible, and honest about what they cannot tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.statistics.outcomes import Reports
from services.errors import InvalidArgument
from services.ranker.api import comparisons
from services.ranker.claims.findings import PageVerdicts
from services.ranker.claims.model import ArtifactType, Basis, Page, PublishedScore, Verdict
from services.ranker.comparing.cache_key import canonical, key
from services.ranker.comparing.compare import Comparison, compare, parse_day
from services.ranker.methodology.load import load
from services.ranker.methodology.points import POINTS
from services.ranker.methodology.published import Feasible
from services.ranker.methodology.score import ArtifactRecord, Component, Outcomes
from services.ranker.methodology.separation import Answer, Missing, Separation
from tests.ranker.records import DAY, artifact, claim, evidence, records, verdict

METHODOLOGY = load()
MODEL = ArtifactType.SEGMENTATION_MODEL


def compared(left: ArtifactRecord, right: ArtifactRecord) -> Comparison:
    return compare(canonical(left, right), METHODOLOGY, DAY)


def model(identifier: str, miou: float | None = None, **more: object) -> ArtifactRecord:
    """A segmentation model with, perhaps, an mIoU."""
    claims = tuple(
        claim(f"{identifier}.{fact}", fact, identifier)
        for fact in ("ade20k-miou", "latency-ratio", "parameters")
    )
    known = () if miou is None else (evidence(f"{identifier}.ade20k-miou", miou, "%"),)
    return replace(ArtifactRecord(artifact(identifier, MODEL, claims), known, ()), **more)  # type: ignore[arg-type]


def all_known(identifier: str, *, good: bool) -> ArtifactRecord:
    """A model about which everything is known, all of it good or all of it bad."""
    values = [
        ("ade20k-miou", 51.0 if good else 37.4, "%"),
        ("latency-ratio", 1.0 if good else 3.62, "1"),
        ("parameters", 3.8e6 if good else 84.7e6, "parameters"),
    ]
    items = tuple(evidence(f"{identifier}.{fact}", value, unit) for fact, value, unit in values)
    said = {f"operator {n}": Reports(19 if good else 1, 20) for n in range(40)}
    return model(identifier, evidence=items, outcomes=Outcomes(said, 800, 760 if good else 40))


def answers(given_: Iterable[Answer]) -> dict[str, Separation]:
    return {one.name: one.separation for one in given_}


@pytest.mark.slow
@settings(max_examples=40)
@given(records("a"), records("b"))
def test_swapping_the_sides_swaps_the_answer(a: ArtifactRecord, b: ArtifactRecord) -> None:
    forth, back = compared(a, b), compared(b, a)
    assert back == forth.swapped()
    assert (forth.left.record, forth.right.record) == (a, b)
    assert (back.left.record, back.right.record) == (b, a)
    assert forth.summary == back.summary
    assert key(canonical(a, b), METHODOLOGY, DAY) == key(canonical(b, a), METHODOLOGY, DAY)


@pytest.mark.slow
@settings(max_examples=40)
@given(records("a"), records("b"))
def test_the_same_input_gives_the_same_answer(a: ArtifactRecord, b: ArtifactRecord) -> None:
    shuffled = replace(a, evidence=a.evidence[::-1])
    first, again = compared(a, b), compared(shuffled, b)
    assert replace(again, left=first.left) == first
    assert again.left.score == first.left.score
    assert key(canonical(a, b), METHODOLOGY, DAY) == key(canonical(shuffled, b), METHODOLOGY, DAY)


@pytest.mark.slow
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


@pytest.mark.slow
@settings(max_examples=40)
@given(records("a"), records("b"), records("third"))
def test_third_artifacts_change_nothing(
    a: ArtifactRecord, b: ArtifactRecord, third: ArtifactRecord
) -> None:
    crowd = replace(a, evidence=a.evidence + third.evidence)
    assert compared(crowd, b) == compared(a, b)
    assert key(canonical(crowd, b), METHODOLOGY, DAY) == key(canonical(a, b), METHODOLOGY, DAY)


@pytest.mark.slow
@settings(max_examples=40)
@given(records("a"), records("b"), st.text(max_size=5))
def test_contradictions_that_strangers_claim_change_nothing(
    a: ArtifactRecord, b: ArtifactRecord, stranger: str
) -> None:
    """Whoever registers a manifest may write what it contradicts; a pair is not theirs."""
    injected = replace(
        a,
        verdicts=tuple(
            replace(
                one,
                contradicts=(f"rival{stranger}/X1",),
                claim=replace(one.claim, contradicts=(f"rival{stranger}/X1",)),
            )
            for one in a.verdicts
        ),
    )
    assert compared(injected, b) == compared(a, b)
    assert key(canonical(injected, b), METHODOLOGY, DAY) == key(canonical(a, b), METHODOLOGY, DAY)


def test_contradictions_within_the_pair_and_its_pages_stay() -> None:
    page = Page("page", "a page", "", ("a", "b"), {}, (), "sha256:page")
    made = claim("a.parameters", "parameters", "a")
    said = replace(verdict(made, Verdict.REFUTED), contradicts=("A2", "b/B1", "page/P1", "x/X1"))
    pair = canonical(model("a", verdicts=(said,)), model("b"), (PageVerdicts(page, (said,)),))
    assert pair.first.verdicts[0].contradicts == ("A2", "b/B1", "page/P1")
    assert pair.pages[0].claims[0].contradicts == ("A2", "b/B1", "page/P1")


@pytest.mark.slow
@settings(max_examples=40)
@given(records("a", (MODEL,)), records("b", (MODEL,)))
def test_overall_is_of_the_first_profile_that_both_are_complete_in(
    a: ArtifactRecord, b: ArtifactRecord
) -> None:
    result = compared(a, b)
    complete = [one.name for one in result.profiles if one.complete]
    assert result.profile == (complete[0] if complete else "")
    if not complete:
        assert result.overall is Separation.NOT_SEPARABLE
        return
    assert result.overall is answers(result.profiles)[result.profile]
    for side in (result.left, result.right):
        assert side.score.profile == result.profile
        assert side.score.point is not None


@settings(max_examples=40)
@given(records("a"), records("b"))
def test_a_winner_is_ahead_and_a_tie_says_what_would_tell(
    a: ArtifactRecord, b: ArtifactRecord
) -> None:
    result = compared(a, b)
    for one in (*result.profiles, *result.components):
        if one.separation in (Separation.LEFT, Separation.RIGHT):
            assert one.complete
            assert not one.missing
    scores = [{s.profile: s for s in side.scores} for side in (result.left, result.right)]
    for one in result.profiles:
        left, right = (each[one.name] for each in scores)
        assert one.complete <= (left.point is not None and right.point is not None)
        if one.separation is Separation.LEFT:
            assert (left.point or 0) > (right.point or 0)
        if not one.complete:
            assert one.missing


def test_a_winner_is_named_when_it_wins_everywhere() -> None:
    result = compared(all_known("bad", good=False), all_known("good", good=True))
    assert (result.overall, result.profile) == (Separation.RIGHT, "core")
    assert (
        'In "core" (ADE20K mean IoU, latency, size), good is better under every weighting in its '
        "ranges."
    ) in result.summary
    ahead = {name for name, one in answers(result.components).items() if one is Separation.RIGHT}
    assert ahead == {"ade20k-miou", "latency", "size", "outcomes"}


def test_component_winners_are_named_wherever_both_have_evidence() -> None:
    result = compared(model("a", 50.0), model("b", 38.0))
    assert (result.overall, result.profile) == (Separation.LEFT, "ade20k-miou")
    found = answers(result.components)
    assert found["ade20k-miou"] is Separation.LEFT
    assert found["size"] is found["outcomes"] is Separation.NOT_SEPARABLE
    outcomes = next(one for one in result.components if one.name == "outcomes")
    assert outcomes.missing == (
        Missing("a", "outcomes", "reports by operators"),
        Missing("b", "outcomes", "reports by operators"),
    )
    core = result.profiles[0]
    assert {(one.artifact, one.metric) for one in core.missing} == {
        (name, metric) for name in "ab" for metric in ("latency", "size")
    }
    assert 'In "ADE20K mean IoU", a is better' in result.summary
    assert "a is ahead in ADE20K mean IoU" in result.summary


def test_an_overall_order_is_said_over_what_both_have_evidence_for() -> None:
    def sized(name: str, miou: float, size: float) -> ArtifactRecord:
        items = (
            evidence(f"{name}.ade20k-miou", miou, "%", basis=Basis.SOURCED),
            evidence(f"{name}.parameters", size, "parameters"),
        )
        return model(name, evidence=items)

    result = compared(sized("a", 50.3, 64.1e6), sized("b", 37.4, 3.75e6))
    assert (result.profile, result.overall) == ("accuracy-and-size", Separation.LEFT)
    assert 'In "accuracy and size" (ADE20K mean IoU, size), a is better' in result.summary


def scored(name: str, bits: float, sample: str) -> ArtifactRecord:
    """A language model of which 100 spans were scored."""
    item = replace(
        evidence(f"{name}.bits", bits, "bits per byte", low=bits - 0.05, high=bits + 0.05, n=100),
        subject={"dataset": "pile sha256:a", "sample": sample, "definition": "per document"},
    )
    kind = ArtifactType.LANGUAGE_MODEL
    return ArtifactRecord(
        artifact(name, kind, (claim(f"{name}.bits", "bits-per-byte", name),)), (item,), ()
    )


def test_language_models_are_compared_on_one_sample_of_documents_alone() -> None:
    on_one = compared(scored("a", 1.1, "100 spans"), scored("b", 1.3, "100 spans"))
    assert (on_one.profile, on_one.overall) == ("held-out", Separation.LEFT)
    on_two = compared(scored("a", 1.1, "100 spans"), scored("b", 1.3, "500 spans"))
    assert (on_two.profile, on_two.overall) == ("", Separation.NOT_SEPARABLE)
    held_out = next(one for one in on_two.profiles if one.name == "held-out")
    assert {one.artifact for one in held_out.missing} == {"a", "b"}
    assert "it is of dataset pile sha256:a, sample 100 spans" in held_out.missing[0].what


def test_how_sure_it_is_is_said_where_anything_is_by_chance() -> None:
    def timed(name: str, ratio: float) -> ArtifactRecord:
        low, high = ratio - 0.1, ratio + 0.1
        item = evidence(f"{name}.latency-ratio", ratio, "1", low=low, high=high)
        return model(name, evidence=(item,))

    said = "Each answer is of this pair alone, at 99 %."
    assert said in compared(timed("a", 1.5), timed("b", 2.5)).summary
    assert said not in compared(model("a", 50.0), model("b", 38.0)).summary


def test_equal_artifacts_have_no_winner() -> None:
    result = compared(all_known("a", good=True), all_known("b", good=True))
    assert (result.overall, result.profile) == (Separation.NOT_SEPARABLE, "core")
    assert result.profiles[0].missing == ()
    assert "the evidence cannot separate them" in result.summary


def test_artifacts_of_different_types_are_compared_in_what_is_shown_of_every_type() -> None:
    corpus = ArtifactRecord(
        artifact("corpus", ArtifactType.DATASET, (), date(2020, 12, 31)), (), ()
    )
    result = compared(all_known("model", good=True), corpus)
    assert (result.overall, result.profile) == (Separation.DIFFERENT_TYPES, "")
    assert result.profiles == ()
    assert answers(result.components) == {
        "freshness": Separation.LEFT,
        "outcomes": Separation.NOT_SEPARABLE,
        "adoption": Separation.NOT_SEPARABLE,
    }
    assert result.summary.startswith("Neither is better overall: they are of different types")
    assert "model is ahead in freshness" in result.summary


def test_the_summary_gives_no_point_where_evidence_is_missing() -> None:
    result = compared(model("a", 50.0), model("b"))
    assert result.summary.startswith("It is not decided which is better: no profile has all of")
    assert 'a has no score in "core" yet: it lacks evidence for latency, size (possible: ' in (
        result.summary
    )
    assert 'b has no evidence in "core" yet.' in result.summary
    known = compared(model("a", 50.0), model("b", 40.0))
    score = known.left.score
    assert f"{score.low:.1f}" == f"{score.high:.1f}"  # an interval of nothing is left out
    assert f'a scores {score.point:.1f} points in "ADE20K mean IoU".' in known.summary
    assert POINTS not in known.summary


def test_a_score_that_may_pass_100_says_what_100_is() -> None:
    """Beside "of 100" an end of 117.1 is a riddle."""
    result = compared(model("a", 50.0), model("b"))
    assert result.left.score.high > 100
    assert f"{POINTS}." in result.summary


def test_nothing_without_evidence_has_a_point_or_an_order() -> None:
    fresh = replace(model("a"), artifact=replace(model("a").artifact, released=DAY), matched=100)
    result = compared(fresh, model("b", 37.4))
    assert result.left.score.point is None
    assert result.left.score.coverage == 0
    assert result.overall is Separation.NOT_SEPARABLE
    assert (result.left.score.low, result.left.score.high) == pytest.approx((-50, 150))


def test_pages_that_say_something_of_it_have_their_own_reliability() -> None:
    page = Page("page", "a page", "", ("a", "b"), {}, (), "sha256:page")
    of_a, of_itself = (
        verdict(replace(claim(name, name, about), page="page"), Verdict.REFUTED)
        for name, about in (("P1", "a"), ("P2", ""))
    )
    pages = (PageVerdicts(page, (of_a, of_itself)),)
    result = compare(canonical(model("a"), model("b"), pages), METHODOLOGY, DAY)
    assert [(one.page, one.refuted) for one in result.left.reliability] == [("", 0), ("page", 1)]
    assert [one.page for one in result.right.reliability] == [""]


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
        key(canonical(replace(a, outcomes=Outcomes({}, 1, 1, 1)), b), METHODOLOGY, DAY),
        key(canonical(replace(a, artifact=replace(a.artifact, digest="x")), b), METHODOLOGY, DAY),
        key(canonical(model("c", 50.0), b), METHODOLOGY, DAY),
    ]
    assert len(set(keys)) == len(keys)
    assert all(one.startswith("cmp:v5:") and len(one.split(":")) == 8 for one in keys)
    assert keys[0].endswith(":2026-01-15")


def test_two_artifacts_without_evidence_do_not_share_a_key() -> None:
    keys = {key(canonical(model(x), model("z")), METHODOLOGY, DAY) for x in ("a", "b")}
    assert len(keys) == 2


def component(result: Comparison, name: str) -> Component:
    return next(one for one in result.left.score.components if one.name == name)


def test_freshness_before_the_release_is_not_known() -> None:
    result = compare(canonical(model("a"), model("b")), METHODOLOGY, date(2023, 1, 1))
    freshness = component(result, "freshness")
    assert freshness.point is None
    assert "not released by 2023-01-01" in freshness.explanation


def test_freshness_halves_in_two_years_and_is_said_to_be_declared() -> None:
    result = compare(canonical(model("a"), model("b")), METHODOLOGY, date(2026, 1, 14))
    freshness = component(result, "freshness")
    assert freshness.point == pytest.approx(0.5)
    assert freshness.weight == 0
    assert freshness.explanation.startswith("declared: ")


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
    cited = evidence("a.latency-ratio", 2.0, "1", basis=Basis.SOURCED, environment={})
    result = compared(model("a", evidence=(cited,)), model("b"))
    latency = component(result, "latency")
    assert latency.point is None
    assert "have to be served on one machine and timed there" in latency.explanation
