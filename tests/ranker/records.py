"""Records made up for tests, and hypothesis strategies that draw them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime

from hypothesis import strategies as st

from services.common.statistics.outcomes import Reports
from services.ranker.claims.bounds import Boolean, Interval, Value
from services.ranker.claims.findings import ClaimVerdict, Evidence
from services.ranker.claims.model import (
    Artifact,
    ArtifactType,
    Aspect,
    Basis,
    Claim,
    License,
    PublishedScore,
    SubjectRelation,
    Verdict,
)
from services.ranker.methodology.score import NO_OUTCOMES, ArtifactRecord, Outcomes

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
DAY = date(2026, 1, 15)
CPU = {"cpu": "Test CPU", "cpu_count": 2, "accelerators": []}


def claim(identifier: str, group: str, artifact: str = "a", comparator: str = "") -> Claim:
    return Claim(
        id=identifier,
        artifact=artifact,
        statement=f"claim {identifier}",
        aspect=Aspect.SIZE,
        group=group,
        bound=Boolean(True),
        method="test.method@1",
        comparator=comparator,
    )


def evidence(
    claim_id: str,
    content: float | str | bool,
    unit: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    level: float = 0.99,
    n: int = 1,
    basis: Basis = Basis.MEASURED,
    relation: SubjectRelation = SubjectRelation.EXACT,
    environment: dict[str, object] | None = None,
    time: datetime = NOON,
) -> Evidence:
    item = Evidence(
        digest="",
        claim=claim_id,
        subject_digest="sha256:subject",
        relation=relation,
        basis=basis,
        method="test.method@1",
        value=Value(content, unit),
        interval=None if low is None or high is None else Interval(low, high, level),
        n=n,
        environment=CPU if environment is None else environment,
        sources=(),
        command="true",
        time=time,
        note="",
        inputs=(),
    )
    return replace(item, digest="sha256:" + hashlib.sha256(repr(item).encode()).hexdigest())


def verdict(of: Claim, what: Verdict) -> ClaimVerdict:
    return ClaimVerdict(of, what, None, None, "because", ())


def artifact(
    identifier: str,
    kind: ArtifactType,
    claims: tuple[Claim, ...],
    released: date | None = date(2024, 1, 15),
    published: PublishedScore | None = None,
) -> Artifact:
    return Artifact(
        id=identifier,
        name=identifier.title(),
        type=kind,
        description="made up",
        license=License("MIT", "MIT License"),
        pricing="free",
        capabilities=(),
        claims=claims,
        published=published,
        digest=f"sha256:manifest-of-{identifier}",
        released=released,
    )


MODEL_FACTS = {
    "ade20k-miou": ("%", 30.0, 60.0),
    "latency-ratio": ("1", 0.5, 5.0),
    "parameters": ("parameters", 1e6, 1e8),
}
"""Facts of a segmentation model: unit, and a range of values around the scale."""

DATASET_FACTS = {
    "named-sources": ("share", 0.0, 1.0),
    "duplicate-rate": ("share", 0.0, 0.3),
    "licensed-share": ("share", 0.0, 1.0),
    "plain-format": ("share", 0.0, 1.0),
}
"""Facts of a data set, likewise."""

FACTS = {ArtifactType.SEGMENTATION_MODEL: MODEL_FACTS, ArtifactType.DATASET: DATASET_FACTS}


@st.composite
def numbers(draw: st.DrawFn, claim_id: str, fact: tuple[str, float, float]) -> Evidence:
    """Evidence of a number with, perhaps, an interval around it."""
    unit, least, most = fact
    low, value, high = sorted(draw(st.floats(least, most)) for _ in range(3))
    if draw(st.booleans()):
        return evidence(claim_id, value, unit, basis=draw(st.sampled_from(Basis)))
    level = draw(st.sampled_from([0.0, 0.95, 0.99, 0.99998]))
    return evidence(
        claim_id, value, unit, low=low, high=high, level=level, n=draw(st.integers(1, 64))
    )


@st.composite
def outcomes(draw: st.DrawFn) -> Outcomes:
    """What up to seven operators, and nobody, reported."""
    said = draw(st.lists(st.integers(1, 30), max_size=7))
    operators = {
        f"operator {number}": Reports(draw(st.integers(0, total)), total)
        for number, total in enumerate(said)
    }
    anonymous = draw(st.integers(0, 30))
    if not operators and not anonymous:
        return NO_OUTCOMES
    good = sum(one.good for one in operators.values()) + draw(st.integers(0, anonymous))
    return Outcomes(operators, sum(said) + anonymous, good, anonymous)


@st.composite
def records(
    draw: st.DrawFn,
    identifier: str,
    kinds: tuple[ArtifactType, ...] = tuple(FACTS),
) -> ArtifactRecord:
    """A record in which some facts have evidence, some claims a verdict, some matches an end."""
    kind = draw(st.sampled_from(kinds))
    facts = FACTS[kind]
    claims = tuple(claim(f"{identifier}.{fact}", fact, identifier) for fact in facts)
    known = draw(st.lists(st.sampled_from(sorted(facts)), max_size=6))
    items = tuple(draw(numbers(f"{identifier}.{fact}", facts[fact])) for fact in known)
    released = draw(st.none() | st.dates(date(2019, 1, 1), date(2026, 12, 31)))
    return ArtifactRecord(
        artifact=artifact(identifier, kind, claims, released),
        evidence=items,
        verdicts=tuple(verdict(one, draw(st.sampled_from(Verdict))) for one in claims),
        outcomes=draw(outcomes()),
    )
