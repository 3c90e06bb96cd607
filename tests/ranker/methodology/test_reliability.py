"""How far a page can be believed: by facts, whatever its author files them under."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.common.statistics.reliability import FactClaim, Outcome
from services.common.statistics.reliability import reliability as of_facts
from services.ranker.claims.model import (
    Aspect,
    Boolean,
    Bound,
    Claim,
    ClaimVerdict,
    Equals,
    Range,
    Ratio,
    Text,
    Verdict,
)
from services.ranker.methodology.load import load
from services.ranker.methodology.reliability import PageReliability, guess, reliability
from tests.ranker.records import claim, evidence, verdict

METHODOLOGY = load()
TIGHT = Equals(64e6, 64e4, "parameters")
TRIVIAL = Range(1, 1e12, "parameters")


def judged(
    what: Verdict,
    method: str = "model_facts.parameter_count@1",
    bound: Bound = TIGHT,
    **more: object,
) -> ClaimVerdict:
    made = replace(claim("c", "group"), method=method, bound=bound)
    return verdict(replace(made, **more), what)  # type: ignore[arg-type]


def of(*verdicts: ClaimVerdict) -> PageReliability:
    numbered = (
        replace(one, claim=replace(one.claim, id=f"c{number}"))
        for number, one in enumerate(verdicts)
    )
    return reliability(numbered, METHODOLOGY)


METHODS = st.sampled_from([f"model_facts.fact_{letter}@1" for letter in "pqrst"])
GIVEN = st.lists(
    st.tuples(
        METHODS,
        st.sampled_from(Verdict),
        st.sampled_from([TIGHT, TRIVIAL, Boolean(True), Text("x")]),
        st.sampled_from([Aspect.SIZE, Aspect.SHAPE]),
    ),
    max_size=20,
)


def made(given_: list[tuple[str, Verdict, Bound, Aspect]]) -> list[ClaimVerdict]:
    # A fact has one aspect: its method's.
    aspects: dict[str, Aspect] = {}
    return [
        judged(what, method, bound, aspect=aspects.setdefault(method, aspect))
        for method, what, bound, aspect in given_
    ]


@given(GIVEN, st.integers(0, 19))
def test_a_refutation_never_raises_and_a_confirmation_never_lowers(
    given_: list[tuple[str, Verdict, Bound, Aspect]], place: int
) -> None:
    assume(place < len(given_))
    verdicts = made(given_)

    def ends(found: PageReliability) -> list[float]:
        assert found.mean is not None
        assert found.interval is not None
        return [found.mean, found.interval.low, found.interval.high]

    before = of(*verdicts)
    for what, sign in ((Verdict.REFUTED, 1), (Verdict.CONFIRMED, -1)):
        if what is Verdict.CONFIRMED and verdicts[place].verdict is Verdict.REFUTED:
            continue  # that is another page, not a later confirmation
        changed = list(verdicts)
        changed[place] = replace(verdicts[place], verdict=what)
        after = of(*changed)
        if before.mean is not None and after.mean is not None:
            for old, new in zip(ends(before), ends(after), strict=True):
                assert sign * new <= sign * old + 2e-3


@given(GIVEN)
def test_reliability_lies_within_its_bounds(
    given_: list[tuple[str, Verdict, Bound, Aspect]],
) -> None:
    result = of(*made(given_))
    assert 0 <= result.bounds.low <= result.bounds.high <= 1
    if result.mean is not None and result.interval is not None:
        assert result.bounds.low <= result.mean <= result.bounds.high
        assert 0 <= result.interval.low <= result.interval.high <= 1
    facts = {method for method, *_ in given_}
    assert result.confirmed + result.refuted + result.undecided == len(facts)


@given(GIVEN, st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=40))
def test_what_the_author_files_claims_under_changes_nothing(
    given_: list[tuple[str, Verdict, Bound, Aspect]], groups: list[str]
) -> None:
    verdicts = made(given_)
    filed = [
        replace(one, claim=replace(one.claim, group=groups[number % len(groups)]))
        for number, one in enumerate(verdicts)
    ]
    assert of(*filed) == of(*verdicts)


@given(GIVEN, st.integers(0, 19), st.integers(1, 30))
def test_repeating_a_claim_changes_nothing(
    given_: list[tuple[str, Verdict, Bound, Aspect]], place: int, times: int
) -> None:
    assume(place < len(given_))
    verdicts = made(given_)
    assert of(*verdicts, *[verdicts[place]] * times) == of(*verdicts)


@given(GIVEN)
def test_thirty_trivial_claims_move_nothing(
    given_: list[tuple[str, Verdict, Bound, Aspect]],
) -> None:
    thirty = [
        judged(Verdict.CONFIRMED, f"model_facts.trivial_{n}@1", TRIVIAL, group=f"g{n}")
        for n in range(30)
    ]
    before, after = of(*made(given_)), of(*made(given_), *thirty)
    assert (after.mean, after.interval) == (before.mean, before.interval)
    assert after.trivial == before.trivial + 30


def test_thirty_trivial_claims_alone_are_no_figure() -> None:
    thirty = [judged(Verdict.CONFIRMED, bound=TRIVIAL, group=f"g{n}") for n in range(30)]
    result = of(*thirty)
    assert (result.mean, result.interval) == (None, None)
    assert (result.confirmed, result.trivial) == (1, 1)


def test_a_trivial_claim_beside_a_tight_one_takes_nothing_from_it() -> None:
    tight = judged(Verdict.CONFIRMED)
    assert of(tight, judged(Verdict.CONFIRMED, bound=TRIVIAL)) == of(tight)


def test_thirty_figures_of_one_printed_place_are_one_fact() -> None:
    cited = evidence("c", 50.3, "%")
    thirty = [
        replace(
            judged(Verdict.CONFIRMED, "sources.cite@1", group=f"g{n}", aspect=aspect),
            evidence=cited,
        )
        for n, aspect in zip(range(30), [*Aspect] * 4, strict=False)
    ]
    assert of(*thirty).confirmed == 1
    other = replace(thirty[0], evidence=evidence("c", 51.1, "%"))
    assert of(*thirty, other).confirmed == 2


@pytest.mark.parametrize(
    "left_out",
    [
        judged(Verdict.REFUTED, "model_speed.cpu_latency@1", aspect=Aspect.SPEED),
        judged(Verdict.REFUTED, "sources.cite@1", aspect=Aspect.SPEED),
        judged(Verdict.REFUTED, "storage.speed_against_gzip@1", Ratio(5, 10), comparator="gzip"),
        judged(Verdict.REFUTED, "sources.cite@1", comparator="DeepLabV3+"),
    ],
)
def test_the_machine_and_other_artifacts_do_not_count(left_out: ClaimVerdict) -> None:
    tight = judged(Verdict.CONFIRMED)
    assert of(tight, left_out) == replace(of(tight), left_out=1)


def test_a_ratio_to_a_comparator_is_about_both() -> None:
    ratio = judged(
        Verdict.REFUTED,
        "model_facts.head_parameter_ratio@1",
        Ratio(None, 0.105),
        comparator="DeepLabV3+'s decode head",
    )
    assert (of(ratio).refuted, of(ratio).left_out) == (1, 0)


@pytest.mark.parametrize(
    ("bound", "chance"),
    [
        (TRIVIAL, 0.999999),
        (Equals(22, 0, "subsets"), 0.0),
        (Range(5, 15, "%"), 0.1),
        (Range(None, None, "%"), 0.999999),
        (Ratio(0.1, 10), 0.5),
        (Boolean(True), 0.5),
        (Text("3-8-27-3"), 0.1),
        (Equals(3, 1, "furlongs"), 0.999999),
        (None, 0.5),
    ],
)
def test_the_chance_of_a_guess(bound: Bound | None, chance: float) -> None:
    assert guess(bound, METHODOLOGY) == pytest.approx(chance)


def test_it_is_the_posterior_of_its_facts() -> None:
    """Each fact once, with the hardest to guess of what decides it."""
    verdicts = [
        judged(Verdict.CONFIRMED, "model_facts.a@1", Text("x"), aspect=Aspect.SHAPE),
        judged(Verdict.CONFIRMED, "model_facts.a@1", Boolean(True), aspect=Aspect.SHAPE),
        judged(Verdict.REFUTED, "model_facts.b@1", Boolean(True), aspect=Aspect.SHAPE),
        judged(Verdict.NOT_TESTABLE_HERE, "model_facts.d@1", Text("x"), aspect=Aspect.SIZE),
    ]
    expected = of_facts(
        [
            FactClaim("a", "shape", 0.1, Outcome.CONFIRMED),
            FactClaim("b", "shape", 0.5, Outcome.REFUTED),
            FactClaim("d", "size", 0.1, Outcome.UNDECIDED),
        ]
    )
    found = of(*verdicts)
    assert found.interval is not None
    assert (found.mean, found.interval.low, found.interval.high) == (
        expected.mean,
        expected.interval.low,
        expected.interval.high,
    )
    assert (found.bounds.low, found.bounds.high) == (expected.worst, expected.best)


def test_no_fact_is_no_figure() -> None:
    found = reliability((), METHODOLOGY)
    assert (found.mean, found.bounds.low, found.bounds.high) == (None, 0, 1)


def claims_of(page: PageReliability) -> tuple[int, int, int]:
    return page.confirmed, page.refuted, page.undecided


def test_a_claim_that_nothing_observes_is_undecided_by_its_group() -> None:
    def open_(group: str) -> Claim:
        return replace(claim(group, group), method="", bound=None)

    found = reliability(
        [verdict(open_(group), Verdict.UNDERSPECIFIED) for group in ("a", "b")], METHODOLOGY
    )
    assert claims_of(found) == (0, 0, 2)
