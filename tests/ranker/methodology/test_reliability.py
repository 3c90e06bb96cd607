"""How far a page can be believed: by facts, whatever its author files them under."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.common.statistics.reliability import FactClaim, Outcome
from services.common.statistics.reliability import reliability as of_facts
from services.ranker.claims import registry
from services.ranker.claims.bounds import Ratio
from services.ranker.claims.findings import ClaimVerdict
from services.ranker.claims.model import Aspect, Claim, Verdict
from services.ranker.measuring import methods
from services.ranker.methodology.reliability import PageReliability, reliability
from tests.ranker.records import claim, evidence, verdict

TIGHT, TRIVIAL = 0.001, 0.999999
"""Chances of a guess."""


def judged(
    what: Verdict, fact: str = "parameters", guess: float = TIGHT, **more: object
) -> ClaimVerdict:
    """A verdict on a claim whose method observes a fact."""
    made = replace(claim("c", fact), method=f"model_facts.{fact}@1", guess=guess)
    return verdict(replace(made, **more), what)  # type: ignore[arg-type]


def of(*verdicts: ClaimVerdict) -> PageReliability:
    return reliability(
        replace(one, claim=replace(one.claim, id=f"c{number}"))
        for number, one in enumerate(verdicts)
    )


FACTS = st.sampled_from("pqrst")
GIVEN = st.lists(
    st.tuples(
        FACTS,
        st.sampled_from(Verdict),
        st.sampled_from([TIGHT, TRIVIAL, 0.5, 0.1]),
        st.sampled_from([Aspect.SIZE, Aspect.SHAPE]),
    ),
    max_size=20,
)


def made(given_: list[tuple[str, Verdict, float, Aspect]]) -> list[ClaimVerdict]:
    # A fact has one aspect: its method's.
    aspects: dict[str, Aspect] = {}
    return [
        judged(what, method, bound, aspect=aspects.setdefault(method, aspect))
        for method, what, bound, aspect in given_
    ]


@pytest.mark.slow
@given(GIVEN, st.integers(0, 19))
def test_a_refutation_never_raises_and_a_confirmation_never_lowers(
    given_: list[tuple[str, Verdict, float, Aspect]], place: int
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


@pytest.mark.slow
@given(GIVEN)
def test_reliability_lies_within_its_bounds(
    given_: list[tuple[str, Verdict, float, Aspect]],
) -> None:
    result = of(*made(given_))
    assert 0 <= result.bounds.low <= result.bounds.high <= 1
    if result.mean is not None and result.interval is not None:
        assert result.bounds.low <= result.mean <= result.bounds.high
        assert 0 <= result.interval.low <= result.interval.high <= 1
    facts = {method for method, *_ in given_}
    assert result.confirmed + result.refuted + result.undecided == len(facts)


@pytest.mark.slow
@given(GIVEN, st.integers(0, 19), st.integers(1, 30))
def test_repeating_a_claim_changes_nothing(
    given_: list[tuple[str, Verdict, float, Aspect]], place: int, times: int
) -> None:
    assume(place < len(given_))
    verdicts = made(given_)
    assert of(*verdicts, *[verdicts[place]] * times) == of(*verdicts)


@pytest.mark.slow
@given(GIVEN)
def test_thirty_trivial_claims_move_nothing(
    given_: list[tuple[str, Verdict, float, Aspect]],
) -> None:
    thirty = [judged(Verdict.CONFIRMED, f"trivial {n}", TRIVIAL) for n in range(30)]
    before, after = of(*made(given_)), of(*made(given_), *thirty)
    assert (after.mean, after.interval) == (before.mean, before.interval)
    assert after.trivial == before.trivial + 30


def test_thirty_trivial_claims_alone_are_no_figure() -> None:
    thirty = [judged(Verdict.CONFIRMED, guess=TRIVIAL) for n in range(30)]
    result = of(*thirty)
    assert (result.mean, result.interval) == (None, None)
    assert (result.confirmed, result.trivial) == (1, 1)


def test_a_trivial_claim_beside_a_tight_one_takes_nothing_from_it() -> None:
    tight = judged(Verdict.CONFIRMED)
    assert of(tight, judged(Verdict.CONFIRMED, guess=TRIVIAL)) == of(tight)


def test_thirty_figures_of_one_printed_place_are_one_fact() -> None:
    cited = evidence("c", 50.3, "%")
    thirty = [
        replace(
            judged(Verdict.CONFIRMED, f"g{n}", method="sources.cite@1", aspect=aspect),
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
        judged(Verdict.REFUTED, "cpu-latency", machine=True),
        judged(Verdict.REFUTED, "rate", method="sources.cite@1", aspect=Aspect.SPEED),
        judged(Verdict.REFUTED, "gzip", machine=True, bound=Ratio(5, 10), comparator="gzip"),
        judged(Verdict.REFUTED, "rival", method="sources.cite@1", comparator="DeepLabV3+"),
    ],
)
def test_the_machine_and_other_artifacts_do_not_count(left_out: ClaimVerdict) -> None:
    tight = judged(Verdict.CONFIRMED)
    assert of(tight, left_out) == replace(of(tight), left_out=1)


def test_a_ratio_to_a_comparator_is_about_both() -> None:
    bound = Ratio(None, 0.105)
    ratio = judged(Verdict.REFUTED, "decoder-size", bound=bound, comparator="DeepLabV3+'s head")
    assert (of(ratio).refuted, of(ratio).left_out) == (1, 0)


def test_nobody_states_a_packaged_artifacts_facts_but_its_methods() -> None:
    """As registered: what a method says of its fact holds, whatever a manifest files it under."""
    known = registry.packaged(methods.known())
    for artifact in known.artifacts:
        for one in artifact.claims:
            if one.method and not one.method.startswith("sources."):
                definition = methods.known()[one.method]
                assert one.group == (definition.fact or one.group)
                assert one.machine == definition.machine
                assert 0 <= one.guess < 1


def test_it_is_the_posterior_of_its_facts() -> None:
    """Each fact once, with the hardest to guess of what decides it."""
    verdicts = [
        judged(Verdict.CONFIRMED, "a", 0.1, aspect=Aspect.SHAPE),
        judged(Verdict.CONFIRMED, "a", 0.5, aspect=Aspect.SHAPE),
        judged(Verdict.REFUTED, "b", 0.5, aspect=Aspect.SHAPE),
        judged(Verdict.NOT_TESTABLE_HERE, "d", 0.1, aspect=Aspect.SIZE),
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
    found = reliability(())
    assert (found.mean, found.bounds.low, found.bounds.high) == (None, 0, 1)


def claims_of(page: PageReliability) -> tuple[int, int, int]:
    return page.confirmed, page.refuted, page.undecided


def test_a_claim_that_nothing_observes_is_undecided_by_its_group() -> None:
    def open_(group: str) -> Claim:
        return replace(claim(group, group), method="", bound=None)

    found = reliability([verdict(open_(group), Verdict.UNDERSPECIFIED) for group in ("a", "b")])
    assert claims_of(found) == (0, 0, 2)
