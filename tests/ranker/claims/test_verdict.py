"""Every promise that `verdict` makes, as a property of all claims and all evidence."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.claims.bounds import (
    Boolean,
    Bound,
    Equals,
    Interval,
    Range,
    Ratio,
    Text,
    Value,
    ends,
)
from services.ranker.claims.choosing import applies, choose, decides, unmeasured
from services.ranker.claims.evidence import Observation, seal, why_not
from services.ranker.claims.evidence import nothing as kept_nothing
from services.ranker.claims.findings import Evidence, NotMeasured, UnmeasuredReason
from services.ranker.claims.model import Aspect, Basis, Claim, SubjectRelation, Undecidable, Verdict
from services.ranker.claims.verdict import judge

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DECIDED = {Verdict.CONFIRMED, Verdict.REFUTED}

numbers = st.floats(-1e6, 1e6)
spans = st.tuples(numbers, numbers).map(sorted)
bounds = st.one_of(
    st.builds(Equals, numbers, st.floats(0, 1e3), st.just("s")),
    spans.map(lambda ends_: Range(ends_[0], ends_[1], "s")),
    spans.map(lambda ends_: Ratio(ends_[0], None, "s")),
    spans.map(lambda ends_: Ratio(None, ends_[1], "s")),
)


def claim(
    bound: Bound | None, aspect: Aspect = Aspect.SIZE, *, sample_decides: bool = False
) -> Claim:
    return Claim(
        id="C",
        artifact="a",
        statement="s",
        aspect=aspect,
        group="g",
        bound=bound,
        method="m.f@1",
        needs="the real thing",
        sample_decides=sample_decides,
    )


def evidence(
    content: float | str | bool,
    interval: Interval | None = None,
    relation: SubjectRelation = SubjectRelation.EXACT,
    *,
    unit: str = "s",
    minutes: int = 0,
    basis: Basis = Basis.MEASURED,
) -> Evidence:
    observation = Observation(Value(content, unit), relation, basis, interval=interval)
    time = NOON + timedelta(minutes=minutes)
    return seal(observation, claim="C", method="m.f@1", command="c", time=time)


def around(low: float, high: float, level: float = 0.99) -> Evidence:
    middle = min(max(low / 2 + high / 2, low), high)
    return evidence(middle, Interval(low, high, level))


@given(bounds, spans)
def test_inside_confirms_outside_refutes_else_inconclusive(bound: Bound, span: list[float]) -> None:
    low, high = ends(bound)
    verdict = judge(claim(bound), around(*span)).verdict
    inside = low <= span[0] and span[1] <= high
    outside = span[1] < low or span[0] > high
    assert (verdict is Verdict.CONFIRMED) == inside
    assert (verdict is Verdict.REFUTED) == outside
    assert (verdict is Verdict.INCONCLUSIVE) == (not inside and not outside)


@given(bounds, spans, spans)
def test_a_wider_interval_never_turns_a_verdict_round(
    bound: Bound, span: list[float], more: list[float]
) -> None:
    wide = [min(span[0], more[0]), max(span[1], more[1])]
    narrow = judge(claim(bound), around(*span)).verdict
    wider = judge(claim(bound), around(*wide)).verdict
    assert wider in (narrow, Verdict.INCONCLUSIVE)


@given(bounds, spans, st.floats(0.01, 0.98))
def test_an_interval_of_too_low_a_level_decides_nothing(
    bound: Bound, span: list[float], level: float
) -> None:
    found = judge(claim(bound), around(span[0], span[1], level))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "99% is needed" in found.reason.replace(" %", "%")
    assert "overlaps" not in found.reason  # it may lie wholly outside


@given(bounds, numbers)
def test_a_proxy_never_decides(bound: Bound, number: float) -> None:
    for aspect in Aspect:
        found = judge(
            claim(bound, aspect),
            evidence(number, relation=SubjectRelation.PROXY),
            NotMeasured("no B4"),
        )
        assert found.verdict is Verdict.NOT_TESTABLE_HERE
        assert "the real thing" in found.reason
        assert "no B4" in found.reason
        assert found.evidence is not None


@pytest.mark.parametrize("aspect", Aspect)
def test_random_weights_decide_size_shape_and_speed_only(aspect: Aspect) -> None:
    relation = SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS
    asked = claim(Equals(1, 0, "s"), aspect)
    found = judge(asked, evidence(1.0, relation=relation))
    allowed = aspect in {Aspect.SIZE, Aspect.SHAPE, Aspect.SPEED}
    assert (found.verdict in DECIDED) == allowed == decides(relation, asked)


@pytest.mark.parametrize("aspect", Aspect)
@pytest.mark.parametrize("allowed", [True, False])
def test_a_sample_decides_what_its_method_says(aspect: Aspect, allowed: bool) -> None:
    asked = claim(Equals(1, 0, "s"), aspect, sample_decides=allowed)
    found = judge(asked, evidence(1.0, relation=SubjectRelation.SAMPLE))
    assert (found.verdict in DECIDED) == allowed


@pytest.mark.parametrize(
    ("bound", "content", "verdict"),
    [
        (Text("3-8-27-3"), "3-8-27-3", Verdict.CONFIRMED),
        (Text("128x128x150"), "150x128x128", Verdict.INCONCLUSIVE),  # the same, classes last
        (Text("128x128x19"), "150x128x128", Verdict.REFUTED),
        (Text("SegFormerImageProcessor"), "SegformerImageProcessor", Verdict.REFUTED),
        (Boolean(True), True, Verdict.CONFIRMED),
        (Boolean(True), False, Verdict.REFUTED),
        (Boolean(False), False, Verdict.CONFIRMED),
        (Text("True"), True, Verdict.INCONCLUSIVE),
        (Boolean(True), 1.0, Verdict.INCONCLUSIVE),
        (Boolean(False), "no", Verdict.INCONCLUSIVE),
        (Text("1"), 1.0, Verdict.INCONCLUSIVE),
        (Equals(64e6, 0.64e6, "s"), 64_108_374.0, Verdict.CONFIRMED),
        (Equals(0, 0, "s"), 85.0, Verdict.REFUTED),
        # As they are written: in floats 0.8 - 0.1 is more than 0.7, and 1.1 + 2.2 is not 3.3.
        (Equals(0.8, 0.1, "s"), 0.7, Verdict.CONFIRMED),
        (Equals(0.7, 0.1, "s"), 0.8, Verdict.CONFIRMED),
        (Equals(-0.8, 0.1, "s"), -0.7, Verdict.CONFIRMED),
        (Equals(50.3, 0.05, "s"), 50.25, Verdict.CONFIRMED),
        (Equals(50.3, 0.05, "s"), 50.249, Verdict.REFUTED),
        (Text("-5"), "5", Verdict.REFUTED),
        (Text("3, -5"), "3, 5", Verdict.REFUTED),
        (Equals(1, 0, "s"), True, Verdict.INCONCLUSIVE),
        (Range(2, 3, "s"), "two", Verdict.INCONCLUSIVE),
    ],
)
def test_values_without_an_interval(bound: Bound, content: object, verdict: Verdict) -> None:
    assert isinstance(content, float | str | bool)
    assert judge(claim(bound), evidence(content)).verdict is verdict


def test_the_reason_of_a_truth_is_told() -> None:
    observation = Observation(
        Value(False), SubjectRelation.EXACT, Basis.DERIVED, note="Both are printed as 0."
    )
    shown = seal(observation, claim="C", method="m.f@1", command="c", time=NOON)
    reason = judge(claim(Boolean(True)), shown).reason
    assert reason == "computed: it does not hold: Both are printed as 0."


def test_a_value_of_another_unit_decides_nothing() -> None:
    found = judge(claim(Range(2, 3, "s")), evidence(2.5, unit="ms"))
    assert found.verdict is Verdict.INCONCLUSIVE


@given(bounds | st.builds(Boolean, st.booleans()) | st.builds(Text, st.just("1")), numbers)
def test_a_value_of_another_kind_or_unit_never_refutes(bound: Bound, number: float) -> None:
    for content in (number, str(number), number > 0):
        found = judge(claim(bound), evidence(content, unit="ms"))
        like = isinstance(bound, Boolean | Text) and type(bound.value) is type(content)
        assert found.verdict is Verdict.INCONCLUSIVE or like
        assert like or "of another kind than" in found.reason


def test_no_evidence_says_why_and_what_would_help() -> None:
    found = judge(claim(Range(2, 3, "s")), None, NotMeasured("segment cannot be reached"))
    assert found.verdict is Verdict.NOT_TESTABLE_HERE
    assert found.basis is None
    assert found.reason == "segment cannot be reached; needed to test it: the real thing"


@given(st.sampled_from([Verdict.UNDERSPECIFIED, Verdict.NOT_TESTABLE_HERE]), numbers)
def test_an_undecidable_claim_keeps_its_verdict_whatever_is_found(
    verdict: Verdict, number: float
) -> None:
    open_claim = replace(claim(None), undecidable=Undecidable(verdict, "of what?"))
    found = judge(open_claim, evidence(number))
    assert (found.verdict, found.reason) == (verdict, "of what?")
    assert found.basis is Basis.MEASURED


def test_an_undecidable_claim_says_why_nothing_is_shown() -> None:
    open_claim = replace(claim(None), undecidable=Undecidable(Verdict.UNDERSPECIFIED, "of what?"))
    nothing = replace(evidence(1.0), value=None, interval=None, note="segment is down")
    assert judge(open_claim, nothing).reason == "of what? (not measured: segment is down)"


def test_a_source_that_stands_in_says_why_nothing_was_measured() -> None:
    found = judge(claim(Equals(1, 0, "s")), evidence(1.0), NotMeasured("segment cannot be reached"))
    assert found.verdict is Verdict.CONFIRMED
    assert "not measured: segment cannot be reached" in found.reason


@given(st.permutations(range(6)))
def test_the_latest_evidence_that_decides_is_chosen_whatever_its_order(order: list[int]) -> None:
    items = [
        evidence(1.0, minutes=0),
        evidence(2.0, minutes=9),
        evidence(3.0, minutes=5),
        evidence(4.0, relation=SubjectRelation.PROXY, minutes=20),
        evidence(5.0, relation=SubjectRelation.SAMPLE, minutes=30),
        evidence(6.0, minutes=9),
    ]
    chosen = choose(claim(Equals(1, 0, "s")), [items[place] for place in order])
    assert chosen == min(items[1], items[5], key=lambda item: item.digest)


@given(st.permutations(range(7)))
def test_of_measurements_the_best_is_chosen_and_never_the_latest(order: list[int]) -> None:
    """Who measures until it suits gets what was measured first."""
    items = [
        measured(3.0, n=8, minutes=10),
        measured(1.0, n=8, minutes=5),  # as good, and the first
        measured(2.0, n=8, level=0.9, minutes=1),
        measured(4.0, n=3, minutes=2),
        measured(5.0, n=8, half=0.9, minutes=3),
        measured(6.0, n=99, digest="another", minutes=4),  # of what is served no more
        evidence(9.0, relation=SubjectRelation.PROXY, minutes=60),
    ]
    asked = claim(Equals(1, 0, "s"))
    assert choose(asked, [items[place] for place in order]) == items[1]
    pooled = measured(7.0, n=8, minutes=20, restarts=({"a": 1}, {"a": 2}))
    assert choose(asked, [*items, pooled]) == pooled


def test_of_counts_the_latest_is_chosen() -> None:
    """Luck has no part in them: another value is a change of what is counted."""
    items = [evidence(1.0, minutes=0), evidence(2.0, minutes=5)]
    assert choose(claim(Equals(1, 0, "s")), items) == items[1]


def measured(
    value: float,
    *,
    n: int,
    minutes: int,
    level: float = 0.99,
    half: float = 0.5,
    digest: str = "sha256:d",
    restarts: tuple[dict[str, object], ...] = (),
) -> Evidence:
    """A measurement with an interval."""
    observation = Observation(
        Value(value, "s"),
        SubjectRelation.EXACT,
        Basis.MEASURED,
        subject_digest=digest,
        interval=Interval(value - half, value + half, level),
        n=n,
        restarts=restarts,
    )
    time = NOON + timedelta(minutes=minutes)
    return seal(observation, claim="C", method="m.f@1", command="c", time=time)


@given(st.permutations(range(5)))
def test_what_is_cited_later_does_not_displace_what_was_measured(order: list[int]) -> None:
    proxy = SubjectRelation.PROXY
    items = [
        evidence(1.0, minutes=0),
        evidence(2.0, minutes=5, basis=Basis.DERIVED),
        evidence(3.0, minutes=9, basis=Basis.SOURCED),
        evidence(4.0, minutes=20, relation=proxy),
        evidence(5.0, minutes=30, relation=proxy, basis=Basis.SOURCED),
    ]
    shuffled = [items[place] for place in order]
    asked = claim(Equals(1, 0, "s"))
    assert choose(asked, shuffled) == items[0]
    assert choose(asked, [one for one in shuffled if one != items[0]]) == items[1]
    # Of what decides nothing the latest is shown, whatever it rests on.
    assert choose(asked, [one for one in shuffled if one.relation is proxy]) == items[4]


def test_a_proxy_is_chosen_when_there_is_nothing_else() -> None:
    items = [evidence(float(n), relation=SubjectRelation.PROXY, minutes=n) for n in range(3)]
    assert choose(claim(Equals(1, 0, "s")), items) == items[2]
    assert choose(claim(Equals(1, 0, "s")), []) is None


def nothing(why: str, minutes: int = 0) -> Evidence:
    """What is kept when nothing could be measured."""
    observation = Observation(None, SubjectRelation.PROXY, Basis.MEASURED, note=why)
    time = NOON + timedelta(minutes=minutes)
    return seal(observation, claim="C", method="m.f@1", command="c", time=time)


@given(numbers, st.text(max_size=9))
def test_what_is_shown_for_orientation_is_chosen_before_nothing(number: float, why: str) -> None:
    asked = claim(Equals(1, 0, "s"))
    shown = evidence(number, relation=SubjectRelation.PROXY, basis=Basis.SOURCED)
    assert choose(asked, [shown, nothing(why)]) == choose(asked, [nothing(why), shown]) == shown
    # Of what decides nothing the latest still counts, also when it is that there was nothing.
    assert choose(asked, [shown, nothing(why, 1)]) == nothing(why, 1)


def test_why_nothing_was_measured_is_told_until_something_is() -> None:
    asked = claim(Equals(1, 0, "s"))
    cited = evidence(1.0, basis=Basis.SOURCED, minutes=5)
    b = NotMeasured("b")
    assert unmeasured(asked, [nothing("a", 4), nothing("b", 5), cited], cited) == b
    assert unmeasured(asked, [nothing("a", 4), cited], cited) is None
    measured = evidence(2.0, minutes=0)
    assert unmeasured(asked, [measured, nothing("b", 5), cited], measured) is None
    sample = evidence(3.0, relation=SubjectRelation.SAMPLE)
    assert unmeasured(asked, [sample, nothing("b", 5), cited], cited) is None
    assert unmeasured(asked, [], None) is None
    assert judge(asked, cited, b).not_measured == b
    assert judge(asked, nothing("b")).not_measured == b
    assert judge(asked, cited).not_measured is None
    assert judge(asked, None, NotMeasured("it was never verified")).not_measured is None


def test_what_is_kept_of_nothing_says_the_kind_of_reason_and_what_to_do() -> None:
    why = NotMeasured("it is not here", UnmeasuredReason.NOT_SERVED, "serve it")
    kept = seal(kept_nothing(why), claim="C", method="m.f@1", command="c", time=NOON)
    assert judge(claim(Equals(1, 0, "s")), kept).not_measured == why
    older = replace(kept, unmeasured={"reason": "OF_ANOTHER_VERSION"})
    assert why_not(older) == NotMeasured("it is not here")


@given(bounds, numbers)
def test_a_verdict_is_a_function_of_claim_and_evidence(bound: Bound, number: float) -> None:
    assert judge(claim(bound), evidence(number)) == judge(claim(bound), evidence(number))


@pytest.mark.parametrize(
    "said",
    [
        "32-64-160-256",
        "32, 64, 160, 256",
        "32\u201364\u2013160\u2013256",
        "32 x 64 x 160 x 256",
        "[32,64,160,256]",
        "32-64-160-256\u200b",
    ],
)
def test_numbers_in_a_row_are_the_same_however_they_are_set_apart(said: str) -> None:
    one = evidence("32-64-160-256", unit="")
    assert judge(claim(Text(said)), one).verdict is Verdict.CONFIRMED
    assert judge(claim(Text(said.replace("160", "161"))), one).verdict is Verdict.REFUTED


def test_what_was_measured_before_a_digest_was_stated_is_no_longer_of_the_claim() -> None:
    one = evidence(150.0, unit="classes")
    before = claim(Equals(150, 0, "classes"))
    after = replace(before, configuration={"digest": "sha256:aa"})
    assert applies(before, one)
    assert not applies(after, one)
    assert applies(after, replace(one, basis=Basis.SOURCED))


def test_what_makes_a_sample_doubtful_is_told_with_its_figure() -> None:
    found = replace(
        evidence(3.3, Interval(0.0, math.inf), SubjectRelation.SAMPLE),
        conditions="3 % of the text counts",
    )
    judged = judge(claim(Range(None, 4, "s")), found)
    assert judged.verdict is Verdict.NOT_TESTABLE_HERE
    assert "3.3 (no bounds) s (3 % of the text counts)" in judged.reason
