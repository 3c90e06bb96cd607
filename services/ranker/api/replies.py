"""The ranker's values -> messages of the contract: artifacts, claims, evidence, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from assay.common.v1 import common_pb2
from assay.ranker.v1 import ranker_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.ranker.claims import model
from services.ranker.measuring.probes import Budget
from services.ranker.methodology import published as formula


def artifact(value: model.Artifact) -> ranker_pb2.Artifact:
    """Return an artifact with its claims, and what its published score is worth."""
    message = ranker_pb2.Artifact(
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
        capabilities=[capability(value.id, one) for one in value.capabilities],
        claims=[claim(one) for one in value.claims],
        digest=value.digest,
    )
    if value.published is not None:
        message.published.CopyFrom(_published(value.published))
    return message


def capability(artifact_id: str, value: model.Capability) -> ranker_pb2.Capability:
    """Return a capability of an artifact."""
    return ranker_pb2.Capability(
        id=value.id,
        name=value.name,
        description=value.description,
        intents=value.intents,
        best_for=value.best_for,
        limitations=value.limitations,
        requires=value.requires,
        inputs=value.inputs,
        outputs=value.outputs,
        categories=value.categories,
        tags=value.tags,
        uri=f"capability://{artifact_id}/{value.id}",
    )


def artifact_type(value: model.ArtifactType) -> ranker_pb2.ArtifactType.ValueType:
    """Return the type of an artifact."""
    return ranker_pb2.ArtifactType.Value(f"ARTIFACT_TYPE_{value.value}")


def budget(value: Budget) -> ranker_pb2.Budget.ValueType:
    """Return a budget."""
    return ranker_pb2.Budget.Value(f"BUDGET_{value.name}")


def _published(value: model.PublishedScore) -> ranker_pb2.PublishedScore:
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
    """Return a claim; without a bound when it leaves open what would make it true."""
    message = ranker_pb2.Claim(
        id=value.id,
        artifact=value.artifact,
        statement=value.statement,
        method=value.method,
        group=value.group,
        scope=value.scope,
        comparator=value.comparator,
        contradicts=value.contradicts,
    )
    if value.bound is not None:
        message.bound.CopyFrom(_bound(value.bound))
    return message


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


def evidence(value: model.Evidence) -> ranker_pb2.Evidence:
    """Return one observation."""
    message = ranker_pb2.Evidence(
        digest=value.digest,
        claim=value.claim,
        subject_digest=value.subject_digest,
        relation=ranker_pb2.SubjectRelation.Value(f"SUBJECT_RELATION_{value.relation.value}"),
        basis=_basis(value.basis),
        method=value.method,
        n=value.n,
        sources=value.sources,
        command=value.command,
        time=_timestamp(value.time),
        note=value.note,
        inputs=value.inputs,
        breakdown=value.breakdown,
        breakdown_unit=value.breakdown_unit,
    )
    if value.value is not None:
        message.value.CopyFrom(_value(value.value))
    if value.interval is not None:
        message.interval.CopyFrom(interval(value.interval))
    if value.environment:
        message.environment.CopyFrom(_environment(value.environment))
    return message


def claim_verdict(value: model.ClaimVerdict) -> ranker_pb2.ClaimVerdict:
    """Return a claim with its verdict and the evidence for it, if there is any."""
    message = ranker_pb2.ClaimVerdict(
        claim=claim(value.claim),
        verdict=ranker_pb2.Verdict.Value(f"VERDICT_{value.verdict.value}"),
        basis=_basis(value.basis),
        reason=value.reason,
        contradicts=value.contradicts,
        not_measured=value.not_measured,
    )
    if value.evidence is not None:
        message.evidence.CopyFrom(evidence(value.evidence))
    if value.sample is not None:
        message.sample.CopyFrom(evidence(value.sample))
    if value.change is not None:
        message.change.CopyFrom(_change(value.change))
    return message


def _change(value: model.Change) -> ranker_pb2.Change:
    return ranker_pb2.Change(
        verdict=ranker_pb2.Verdict.Value(f"VERDICT_{value.verdict.value}"),
        evidence=evidence(value.evidence),
        differences=value.differences,
    )


def interval(value: model.Interval) -> common_pb2.Interval:
    """Return an interval with its confidence level."""
    return common_pb2.Interval(low=value.low, high=value.high, level=value.level)


def _basis(value: model.Basis | None) -> ranker_pb2.Basis.ValueType:
    return ranker_pb2.Basis.Value(f"BASIS_{value.value if value else 'UNSPECIFIED'}")


def _value(value: model.Value) -> ranker_pb2.Value:
    content = value.content
    if isinstance(content, bool):
        return ranker_pb2.Value(boolean=content)
    if isinstance(content, str):
        return ranker_pb2.Value(text=content)
    return ranker_pb2.Value(number=content, unit=value.unit)


def _environment(value: Mapping[str, object]) -> common_pb2.Environment:
    """The machine, from the JSON-like mapping that evidence keeps it in."""
    message = common_pb2.Environment(
        cpu=str(value.get("cpu", "")),
        cpu_count=_whole(value.get("cpu_count")),
        memory_bytes=_whole(value.get("memory_bytes")),
        os=str(value.get("os", "")),
    )
    accelerators, versions = value.get("accelerators"), value.get("versions")
    if isinstance(accelerators, list | tuple):
        message.accelerators.extend(str(name) for name in accelerators)
    if isinstance(versions, Mapping):
        message.versions.update({str(name): str(version) for name, version in versions.items()})
    load, time = value.get("load"), value.get("time")
    if isinstance(load, int | float):
        message.load = load
    if isinstance(time, str) and time:
        message.time.FromJsonString(time)
    return message


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and value >= 0 else 0


def _timestamp(value: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(value)
    return message
