"""The ranker's values -> messages of the contract: artifacts, claims, evidence, verdicts."""

from __future__ import annotations

from assay.common.v1 import common_pb2
from assay.ranker.v1 import ranker_pb2
from google.protobuf import json_format

from services.ranker import model
from services.ranker.methodology import published as formula


def artifact(value: model.Artifact) -> ranker_pb2.Artifact:
    """An artifact with its capabilities and claims, and what its published score is worth."""
    return ranker_pb2.Artifact(
        id=value.id,
        name=value.name,
        type=artifact_type(value.type),
        description=value.description,
        license=common_pb2.License(
            id=value.license.id,
            name=value.license.name,
            url=value.license.url,
            research_only=value.license.research_only,
        ),
        pricing=value.pricing,
        capabilities=[
            ranker_pb2.Capability(id=one.id, name=one.name, description=one.description)
            for one in value.capabilities
        ],
        claims=[claim(one) for one in value.claims],
        published=published_score(value.published) if value.published else None,
        digest=value.digest,
    )


def artifact_type(value: model.ArtifactType) -> ranker_pb2.ArtifactType.ValueType:
    """The type of an artifact."""
    return ranker_pb2.ArtifactType.Value(f"ARTIFACT_TYPE_{value.value}")


def summary(value: model.Artifact) -> ranker_pb2.ArtifactSummary:
    """One line about an artifact."""
    return ranker_pb2.ArtifactSummary(
        id=value.id,
        name=value.name,
        type=artifact_type(value.type),
        claim_count=len(value.claims),
    )


def published_score(value: model.PublishedScore) -> ranker_pb2.PublishedScore:
    """A printed score beside the whole scores that its printed parts allow."""
    bounds = formula.feasible(value.printed_components)
    return ranker_pb2.PublishedScore(
        value=value.value,
        source=value.source,
        printed_components={name: float(bit) for name, bit in value.printed_components.items()},
        feasible=common_pb2.Interval(low=bounds.low, high=bounds.high),
        remark=formula.remark(value.value, value.printed_components),
    )


def claim(value: model.Claim) -> ranker_pb2.Claim:
    """A claim; without a bound when it leaves open what would make it true."""
    return ranker_pb2.Claim(
        id=value.id,
        artifact=value.artifact,
        statement=value.statement,
        bound=_bound(value.bound) if value.bound is not None else None,
        method=value.method,
        group=value.group,
        scope=value.scope,
        comparator=value.comparator,
        contradicts=value.contradicts,
    )


def evidence(value: model.Evidence) -> ranker_pb2.Evidence:
    """One observation."""
    message = ranker_pb2.Evidence(
        digest=value.digest,
        claim=value.claim,
        subject_digest=value.subject_digest,
        relation=ranker_pb2.SubjectRelation.Value(f"SUBJECT_RELATION_{value.relation.value}"),
        basis=_basis(value.basis),
        method=value.method,
        value=_value(value.value) if value.value is not None else None,
        interval=interval(value.interval) if value.interval is not None else None,
        n=value.n,
        sources=value.sources,
        command=value.command,
        note=value.note,
        inputs=value.inputs,
    )
    message.time.FromDatetime(value.time)
    if value.environment:
        json_format.ParseDict(
            dict(value.environment), message.environment, ignore_unknown_fields=True
        )
    return message


def claim_verdict(value: model.ClaimVerdict) -> ranker_pb2.ClaimVerdict:
    """A claim with its verdict and the evidence for it, if there is any."""
    return ranker_pb2.ClaimVerdict(
        claim=claim(value.claim),
        verdict=ranker_pb2.Verdict.Value(f"VERDICT_{value.verdict.value}"),
        basis=_basis(value.basis),
        evidence=evidence(value.evidence) if value.evidence is not None else None,
        reason=value.reason,
        contradicts=value.contradicts,
    )


def interval(value: model.Interval) -> common_pb2.Interval:
    """An interval with its confidence level."""
    return common_pb2.Interval(low=value.low, high=value.high, level=value.level)


def _basis(value: model.Basis | None) -> ranker_pb2.Basis.ValueType:
    return ranker_pb2.Basis.Value(f"BASIS_{value.value if value else 'UNSPECIFIED'}")


def _bound(value: model.Bound) -> ranker_pb2.Bound:
    match value:
        case model.Equals():
            equals = ranker_pb2.Equals(value=value.value, tolerance=value.tolerance)
            return ranker_pb2.Bound(equals=equals, unit=value.unit)
        case model.Range():
            return ranker_pb2.Bound(range=_range(value), unit=value.unit)
        case model.Ratio():
            return ranker_pb2.Bound(ratio=_range(value), unit=value.unit)
        case model.Text():
            return ranker_pb2.Bound(text=value.value)
        case model.Boolean():
            return ranker_pb2.Bound(boolean=value.value)


def _range(value: model.Range | model.Ratio) -> ranker_pb2.Range:
    return ranker_pb2.Range(low=value.low, high=value.high)


def _value(value: model.Value) -> ranker_pb2.Value:
    content = value.content
    if isinstance(content, bool):
        return ranker_pb2.Value(boolean=content)
    if isinstance(content, str):
        return ranker_pb2.Value(text=content)
    return ranker_pb2.Value(number=content, unit=value.unit)
