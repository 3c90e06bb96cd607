from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.statistics import interval as statistics
from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.evidence import (
    EvidenceError,
    Observation,
    canonical,
    digest_of,
    restore,
    seal,
)
from services.ranker.claims.findings import Evidence
from services.ranker.claims.model import Basis, Input, Source, SourceRole, SubjectRelation

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
intervals = (
    st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False))
    .map(lambda ends: Interval(min(ends), max(ends), 0.99))
    .filter(lambda interval: interval.low < math.inf and interval.high > -math.inf)
)
sources = st.builds(
    Source,
    title=texts,
    locator=texts,
    date=texts,
    values=st.lists(numbers, max_size=2).map(tuple),
    says=st.none() | st.booleans() | texts,
    role=st.sampled_from(SourceRole),
)
observations = st.builds(
    Observation,
    value=st.none() | st.builds(Value, st.booleans() | texts, st.just("")),
    relation=st.sampled_from(SubjectRelation),
    basis=st.sampled_from(Basis),
    subject_digest=texts,
    interval=st.none() | intervals,
    n=st.integers(0, 2**63),
    environment=st.dictionaries(texts, texts | numbers | st.lists(texts, max_size=2), max_size=3),
    sources=st.lists(sources, max_size=3).map(tuple),
    note=texts,
    inputs=st.lists(st.builds(Input, texts, texts, texts), max_size=3).map(tuple),
    subject=st.dictionaries(texts, texts | st.integers(0, 9), max_size=3),
    engine=st.dictionaries(texts, texts | st.integers(0, 9), max_size=3),
    unmeasured=st.dictionaries(texts, texts, max_size=2),
    declared=st.booleans(),
)


def sealed(observation: Observation, time: datetime = NOON, owner: str = "b4") -> Evidence:
    return seal(
        observation,
        claim="B4.1",
        owner=owner,
        claimed={"classes": 19} if owner == "b4" else None,
        method="m.f@1",
        command="assay claims x",
        time=time,
    )


def observed(number: float, interval: Interval | None = None) -> Observation:
    return Observation(Value(number, "s"), SubjectRelation.EXACT, Basis.MEASURED, interval=interval)


@pytest.mark.slow
@given(observations)
def test_evidence_comes_back_as_it_was(observation: Observation) -> None:
    evidence = sealed(observation)
    again = restore(canonical(evidence), evidence.digest)
    assert again == evidence
    assert again.content == evidence.content == canonical(evidence)


@pytest.mark.slow
@given(observations, observations)
def test_equal_content_is_equal_digests(one: Observation, other: Observation) -> None:
    assert (sealed(one).digest == sealed(other).digest) == (
        canonical(sealed(one)) == canonical(sealed(other))
    )


@given(st.binary(max_size=300))
def test_bytes_that_are_no_evidence_are_refused(content: bytes) -> None:
    with pytest.raises(EvidenceError):
        restore(content, digest_of(content))


@pytest.mark.slow
@given(observations, st.data())
def test_a_changed_byte_is_found(observation: Observation, data: st.DataObject) -> None:
    evidence = sealed(observation)
    content = bytearray(canonical(evidence))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EvidenceError, match="was changed after it was stored"):
        restore(bytes(content), evidence.digest)


def test_evidence_of_before_claims_had_owners_keeps_its_bytes() -> None:
    """As it was kept when ids of claims were unique over all owners."""
    content = (
        b'{"basis":"MEASURED","claim":"B4.1","command":"c","environment":{},"inputs":[],'
        b'"interval":[0,2,0],"method":"m.f@1","n":1,"note":"","relation":"EXACT","sources":[],'
        b'"subject_digest":"","time":"2026-11-23T12:00:00+00:00",'
        b'"value":{"content":1,"unit":"s"}}'
    )
    old = restore(content, digest_of(content))
    assert (old.owner, old.claim, old.content) == ("", "B4.1", content)
    assert b'"claim":"B4.1"' in sealed(observed(1.0), owner="").content
    assert b'"claim":"b4/B4.1"' in sealed(observed(1.0)).content


def test_the_time_is_kept_in_utc() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))
    assert sealed(observed(1.0), elsewhere) == sealed(observed(1.0))


def test_a_part_of_a_second_is_kept() -> None:
    """Two verifications within one second: which of them is the later is known."""
    later = sealed(observed(1.0), NOON + timedelta(microseconds=1))
    assert later.time == restore(later.content, later.digest).time > sealed(observed(1.0)).time


def test_an_interval_that_was_computed_is_kept_as_it_is() -> None:
    computed = statistics.Interval(None, 2.0, 0.99, statistics.Kind.CONFIDENCE, "student@1")
    assert Interval.of(computed) == Interval(-math.inf, 2.0, 0.99)
    bounds = statistics.Interval(0.5, None, 0.0, statistics.Kind.BOUNDS, "longest-run@1")
    assert Interval.of(bounds) == Interval(0.5, math.inf, 0.0)


def test_an_open_interval_is_kept() -> None:
    evidence = sealed(observed(1.0, Interval(0.0, math.inf)))
    assert restore(canonical(evidence), evidence.digest).interval == Interval(0.0, math.inf)


@pytest.mark.parametrize(
    "observation",
    [
        observed(math.nan),
        observed(math.inf),
        observed(1.0, Interval(2.0, 3.0, 0.99)),
        observed(1.0, Interval(3.0, 0.0, 0.99)),
        observed(1.0, Interval(math.nan, 2.0, 0.99)),
        replace(observed(1.0, Interval(math.inf, math.inf, 0.99)), value=None),
        replace(observed(1.0, Interval(-math.inf, -math.inf, 0.99)), value=None),
    ],
)
def test_what_is_no_measurement_is_no_evidence(observation: Observation) -> None:
    with pytest.raises(EvidenceError, match=r"B4\.1"):
        sealed(observation)


def test_the_digest_is_of_everything_else() -> None:
    evidence = sealed(observed(1.0))
    assert digest_of(canonical(replace(evidence, digest="other"))) == evidence.digest
    assert digest_of(canonical(replace(evidence, command="other"))) != evidence.digest


def test_sources_that_were_kept_as_titles_are_read_and_keep_their_digest() -> None:
    cited = sealed(Observation(None, SubjectRelation.EXACT, Basis.SOURCED, sources=(Source("a"),)))
    assert b'"sources":["a"]' in cited.content
    assert restore(cited.content, cited.digest).sources == (Source("a"),)
