"""Does a claim repeat its source, and is the source right: two answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ranker.claims import facts
from services.ranker.claims.bounds import Boolean, Bound, Equals, Range, Text, Value
from services.ranker.claims.evidence import Observation, seal
from services.ranker.claims.findings import ClaimVerdict
from services.ranker.claims.model import (
    Aspect,
    Basis,
    Claim,
    Source,
    SourceRole,
    SourceVerdict,
    SubjectRelation,
    Verdict,
)
from services.ranker.claims.registry import packaged, parse_text
from services.ranker.claims.verdict import judge
from services.ranker.measuring import methods

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
OWN, RECORD, INDEPENDENT = SourceRole.OWN, SourceRole.RECORD, SourceRole.INDEPENDENT
DECIDED = {Verdict.CONFIRMED, Verdict.REFUTED}


def claim(
    bound: Bound, *sources: Source, aspect: Aspect = Aspect.SIZE, declared: bool = False
) -> Claim:
    return Claim(
        id="C",
        artifact="a",
        statement="s",
        aspect=aspect,
        group="g",
        bound=bound,
        method="sources.cite@1",
        sources=sources,
        declared=declared,
    )


def judged(of: Claim) -> ClaimVerdict:
    """The verdict by what the claim's sources say."""
    observation = facts.quoted(of)
    assert observation is not None
    cited = seal(observation, claim="C", method="sources.cite@1", command="c", time=NOON)
    return judge(of, cited)


def of(role: SourceRole, *values: float) -> Source:
    return Source("a paper", values=values, role=role)


@pytest.mark.parametrize(
    ("sources", "verdict", "sourcing"),
    [
        ([of(OWN, 5)], Verdict.NOT_TESTABLE_HERE, SourceVerdict.FAITHFUL),
        ([of(OWN, 6)], Verdict.REFUTED, SourceVerdict.MISQUOTED),
        ([of(RECORD, 5)], Verdict.CONFIRMED, SourceVerdict.FAITHFUL),
        ([of(RECORD, 6)], Verdict.REFUTED, SourceVerdict.MISQUOTED),
        ([of(INDEPENDENT, 5)], Verdict.CONFIRMED, SourceVerdict.UNSPECIFIED),
        ([of(INDEPENDENT, 6)], Verdict.REFUTED, SourceVerdict.UNSPECIFIED),
        ([of(OWN, 5), of(INDEPENDENT, 5)], Verdict.CONFIRMED, SourceVerdict.FAITHFUL),
        ([of(OWN, 5), of(INDEPENDENT, 6)], Verdict.UNDERSPECIFIED, SourceVerdict.FAITHFUL),
        ([of(OWN, 5, 6)], Verdict.UNDERSPECIFIED, SourceVerdict.FAITHFUL),
        ([of(OWN, 6, 7)], Verdict.REFUTED, SourceVerdict.MISQUOTED),
        ([of(INDEPENDENT, 4.9999, 5)], Verdict.CONFIRMED, SourceVerdict.UNSPECIFIED),
    ],
)
def test_two_answers(sources: list[Source], verdict: Verdict, sourcing: SourceVerdict) -> None:
    found = judged(claim(Equals(5, 0.001, "s"), *sources))
    assert (found.verdict, found.sourcing) == (verdict, sourcing)


@pytest.mark.parametrize(
    ("bound", "printed", "sourcing"),
    [
        (Text("32-64-160-256"), "32, 64, 160, 256", SourceVerdict.FAITHFUL),
        (Text("32-64-160-256"), "[32, 64, 161, 256]", SourceVerdict.MISQUOTED),
        (Text("Apache 2.0"), "Apache  2.0", SourceVerdict.FAITHFUL),
        (Text("Apache 2.0"), "apache 2.0", SourceVerdict.MISQUOTED),
        (Text("-5"), "5", SourceVerdict.MISQUOTED),
    ],
)
def test_a_text_repeats_its_source_as_it_agrees_with_what_is_found(
    bound: Text, printed: str, sourcing: SourceVerdict
) -> None:
    found = judged(claim(bound, Source("a paper", says=printed, role=OWN)))
    assert found.sourcing is sourcing


def test_a_figure_on_the_edge_of_a_tolerance_is_repeated() -> None:
    """Of decimals as they are written: in floats 0.8 - 0.1 is more than 0.7."""
    assert judged(claim(Equals(0.8, 0.1, "s"), of(OWN, 0.7))).sourcing is SourceVerdict.FAITHFUL
    assert judged(claim(Equals(0.8, 0.1, "s"), of(OWN, 0.69))).sourcing is SourceVerdict.MISQUOTED


def test_alternatives_are_told_as_such() -> None:
    reason = judged(claim(Equals(45.7, 0.05, "%"), of(INDEPENDENT, 45.47, 46.35))).reason
    assert reason == "published 45.47 or 46.35 %; none matches the claimed 45.7 ± 0.05 %"
    reason = judged(claim(Equals(45.47, 0.05, "%"), of(INDEPENDENT, 45.47, 46.35))).reason
    assert "the claim does not say which" in reason


def test_what_was_published_is_the_fact_of_a_claim_about_a_publication() -> None:
    found = judged(claim(Equals(5, 0, "s"), of(OWN, 5), aspect=Aspect.PUBLICATION))
    assert (found.verdict, found.sourcing) == (Verdict.CONFIRMED, SourceVerdict.FAITHFUL)


bounds = st.one_of(
    st.builds(Equals, st.floats(-9, 9), st.floats(0, 1), st.just("s")),
    st.builds(Range, st.floats(-9, 0), st.floats(0, 9), st.just("s")),
    st.builds(Boolean, st.booleans()),
    st.builds(Text, st.sampled_from("ab")),
)
says = st.one_of(
    st.lists(st.floats(-9, 9), min_size=1, max_size=3).map(
        lambda values: Source("t", values=tuple(values))
    ),
    st.builds(Source, st.just("t"), says=st.booleans() | st.sampled_from("ab")),
)


@given(
    bounds,
    st.lists(says, min_size=1, max_size=3),
    st.sampled_from(Aspect),
    st.sampled_from(SourceRole),
)
def test_what_a_manifest_quotes_decides_nothing_whatever_it_quotes(
    bound: Bound, sources: list[Source], aspect: Aspect, role: SourceRole
) -> None:
    quoted = [replace(one, role=role) for one in sources]
    found = judged(claim(bound, *quoted, aspect=aspect, declared=True))
    assert found.verdict is Verdict.NOT_TESTABLE_HERE
    assert "has not been checked here" in found.reason


def test_sources_that_say_different_texts_are_quoted_apart() -> None:
    sources = Source("a card", says="Apache-2.0"), Source("a repository", says="MIT")
    quoted = judged(claim(Text("MIT"), *sources, declared=True))
    assert 'quotes "Apache-2.0" from a card and "MIT" from a repository' in quoted.reason
    read = claim(Text("MIT"), *sources, aspect=Aspect.PUBLICATION)
    assert judged(read).verdict is Verdict.UNDERSPECIFIED
    assert judged(replace(read, bound=Text("BSD"))).verdict is Verdict.REFUTED


@given(bounds, st.lists(says, min_size=1, max_size=3))
def test_a_figure_never_confirms_itself(bound: Bound, sources: list[Source]) -> None:
    for aspect in Aspect:
        found = judged(claim(bound, *sources, aspect=aspect))
        assert found.verdict is not Verdict.CONFIRMED or aspect is Aspect.PUBLICATION


def test_a_measurement_is_not_asked_for_its_sources() -> None:
    measured = Observation(Value(5.0, "s"), SubjectRelation.EXACT, Basis.MEASURED)
    evidence = seal(measured, claim="C", method="m.f@1", command="c", time=NOON)
    found = judge(claim(Equals(5, 0, "s"), of(OWN, 6), declared=True), evidence)
    assert (found.verdict, found.sourcing) == (Verdict.CONFIRMED, SourceVerdict.MISQUOTED)


SILENT = Source("another paper", silent=True)


@pytest.mark.parametrize(
    ("sources", "sourcing"),
    [
        ([SILENT], SourceVerdict.UNSOURCED),
        ([SILENT, SILENT], SourceVerdict.UNSOURCED),
        ([SILENT, of(OWN, 5)], SourceVerdict.FAITHFUL),
        ([SILENT, of(OWN, 6)], SourceVerdict.MISQUOTED),
        ([SILENT, of(INDEPENDENT, 5)], SourceVerdict.UNSOURCED),
        ([replace(SILENT, role=INDEPENDENT)], SourceVerdict.UNSPECIFIED),
        ([Source("a paper that nobody has read")], SourceVerdict.UNSPECIFIED),
    ],
)
def test_a_source_that_was_read_and_does_not_say_it(
    sources: list[Source], sourcing: SourceVerdict
) -> None:
    found = judge(claim(Equals(5, 0.001, "s"), *sources), None)
    assert (found.verdict, found.sourcing) == (Verdict.NOT_TESTABLE_HERE, sourcing)
    by_page = replace(claim(Equals(5, 0.001, "s"), *sources), stated_in=("another paper",))
    assert judge(by_page, None).sourcing is not SourceVerdict.UNSOURCED


PAGE = "https://www.example.org/one-or-two"


@pytest.mark.parametrize(
    "cited",
    [
        Source("One or two", values=(5.0,)),
        Source("one  OR two", values=(6.0,)),
        Source("A comparison", url=PAGE, values=(5.0,)),
        Source("A comparison", url="http://example.org/one-or-two/#speed", values=(5.0,)),
    ],
)
def test_the_page_that_states_a_claim_is_no_source_of_it(cited: Source) -> None:
    by_page = replace(claim(Equals(5, 0, "s"), cited), stated_in=("One or two", PAGE))
    by_quote = replace(claim(Equals(5, 0, "s"), cited), source=Source("One or two", url=PAGE))
    for one in (by_page, by_quote):
        assert judge(one, None).sourcing is SourceVerdict.UNSPECIFIED
        other = replace(one, sources=(cited, Source("A paper", values=(6.0,))))
        assert judge(other, None).sourcing is SourceVerdict.MISQUOTED


def test_another_page_of_the_same_site_is_a_source() -> None:
    cited = Source("A table", url="https://example.org/one", values=(5.0,))
    one = replace(claim(Equals(5, 0, "s"), cited), stated_in=("One or two", PAGE))
    assert judge(one, None).sourcing is SourceVerdict.FAITHFUL


def test_a_claim_of_a_page_knows_what_the_page_is_called_and_where_it_is() -> None:
    text = f"""
kind: page
schema: 1
id: two
name: One or two
description: d
source: {{title: A comparison, url: "{PAGE}"}}
claims:
  - id: T
    statement: s
    aspect: size
    group: g
    bound: {{equals: {{value: 5, tolerance: 0}}, unit: s}}
    method: sources.cite@1
    sources: [{{title: A comparison, says: 5}}]
"""
    (stated,) = parse_text(text.encode(), "two.yaml").claims  # type: ignore[union-attr]
    assert stated.stated_in == ("One or two", "A comparison", PAGE)
    assert judge(stated, None).sourcing is SourceVerdict.UNSPECIFIED


def test_models_and_data_sets_are_answered_alike() -> None:
    """Each repeats its own paper's first table, which shows no more than that."""
    published, registry = facts.packaged(), packaged(methods.known())
    claims = {one.id: one for one in registry.claims.values()}
    for name in ("P1.1", "P1.2", "P7.1", "B3.1"):
        observation = published.of(name)
        assert observation is not None
        cited = seal(observation, claim=name, method="sources.cite@1", command="c", time=NOON)
        found = judge(claims[name], cited)
        assert (found.verdict, found.sourcing) == (
            Verdict.NOT_TESTABLE_HERE,
            SourceVerdict.FAITHFUL,
        ), name
    assert judge(claims["B1.4"], None).sourcing is SourceVerdict.FAITHFUL
    assert judge(claims["G1"], None).sourcing is SourceVerdict.FAITHFUL
    assert judge(claims["B4.3"], None).sourcing is SourceVerdict.MISQUOTED
    assert judge(claims["B1.7"], None).sourcing is SourceVerdict.UNSPECIFIED
