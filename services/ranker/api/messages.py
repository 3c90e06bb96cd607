"""The ranker's values -> messages of the contract, and fields of requests -> the ranker's values.

What the messages of several rpcs have in common; what one alone has is beside that rpc.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import artifact_pb2, claim_pb2, evidence_pb2, score_pb2, verification_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.errors import InvalidArgument
from services.ranker.claims import model
from services.ranker.measuring.measurements import Budget
from services.ranker.measuring.verify import Plan, Progress, Update
from services.ranker.methodology import published as formula
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.score import Component, Score


def artifact(value: model.Artifact) -> artifact_pb2.Artifact:
    """Return an artifact with its claims, and what its published score is worth."""
    message = artifact_pb2.Artifact(
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


def capability(artifact_id: str, value: model.Capability) -> artifact_pb2.Capability:
    """Return a capability of an artifact."""
    return artifact_pb2.Capability(
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


def artifact_type(value: model.ArtifactType) -> artifact_pb2.ArtifactType.ValueType:
    """Return the type of an artifact."""
    return artifact_pb2.ArtifactType.Value(f"ARTIFACT_TYPE_{value.value}")


def budget(value: Budget) -> verification_pb2.Effort.ValueType:
    """Return a budget."""
    return verification_pb2.Effort.Value(f"BUDGET_{value.name}")


def _published(value: model.PublishedScore) -> artifact_pb2.PublishedScore:
    """A printed score beside the whole scores that its printed parts allow."""
    bounds = formula.feasible(value.printed_components)
    return artifact_pb2.PublishedScore(
        value=value.value,
        source=value.source,
        printed_components={name: float(bit) for name, bit in value.printed_components.items()},
        feasible=common_pb2.Interval(low=bounds.low, high=bounds.high),
        remark=formula.remark(value.value, value.printed_components),
    )


def claim(value: model.Claim) -> claim_pb2.Claim:
    """Return a claim; without a bound when it leaves open what would make it true."""
    message = claim_pb2.Claim(
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


def _bound(value: model.Bound) -> claim_pb2.Bound:
    match value:
        case model.Equals():
            equals = claim_pb2.Equals(value=value.value, tolerance=value.tolerance)
            return claim_pb2.Bound(equals=equals, unit=value.unit)
        case model.Range():
            return claim_pb2.Bound(range=_range(value), unit=value.unit)
        case model.Ratio():
            return claim_pb2.Bound(ratio=_range(value), unit=value.unit)
        case model.Text():
            return claim_pb2.Bound(text=value.value)
        case model.Boolean():
            return claim_pb2.Bound(boolean=value.value)


def _range(value: model.Range | model.Ratio) -> claim_pb2.Range:
    return claim_pb2.Range(low=value.low, high=value.high)


def evidence(value: model.Evidence) -> evidence_pb2.Evidence:
    """Return one observation."""
    message = evidence_pb2.Evidence(
        digest=value.digest,
        claim=value.claim,
        subject_digest=value.subject_digest,
        relation=evidence_pb2.SubjectRelation.Value(f"SUBJECT_RELATION_{value.relation.value}"),
        basis=_basis(value.basis),
        method=value.method,
        n=value.n,
        sources=value.sources,
        command=value.command,
        time=timestamp(value.time),
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


def claim_verdict(value: model.ClaimVerdict) -> evidence_pb2.ClaimVerdict:
    """Return a claim with its verdict and the evidence for it, if there is any."""
    message = evidence_pb2.ClaimVerdict(
        claim=claim(value.claim),
        verdict=evidence_pb2.Verdict.Value(f"VERDICT_{value.verdict.value}"),
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


def _change(value: model.Change) -> evidence_pb2.Change:
    return evidence_pb2.Change(
        verdict=evidence_pb2.Verdict.Value(f"VERDICT_{value.verdict.value}"),
        evidence=evidence(value.evidence),
        differences=value.differences,
    )


def interval(value: model.Interval) -> common_pb2.Interval:
    """Return an interval with its confidence level."""
    return common_pb2.Interval(low=value.low, high=value.high, level=value.level)


def methodology(value: Methodology) -> score_pb2.MethodologyRef:
    """Return which methodology."""
    return score_pb2.MethodologyRef(version=value.version, digest=value.digest)


def score(value: Score) -> score_pb2.Score:
    """Return a score with its components."""
    return score_pb2.Score(
        low=value.low,
        point=value.point,
        high=value.high,
        coverage=value.coverage,
        components=[component(one) for one in value.components],
        methodology_digest=value.methodology_digest,
        as_of=value.as_of.isoformat(),
    )


def component(value: Component) -> score_pb2.Component:
    """Return one component."""
    return score_pb2.Component(
        name=value.name,
        weight=value.weight,
        low=value.low,
        point=value.point,
        high=value.high,
        coverage=value.coverage,
        explanation=value.explanation,
        evidence=value.evidence,
    )


def update(value: Update) -> ranker_pb2.VerifyClaimsResponse:
    """Return one message of the stream."""
    if isinstance(value, Plan):
        return ranker_pb2.VerifyClaimsResponse(plan=plan(value))
    if isinstance(value, Progress):
        return ranker_pb2.VerifyClaimsResponse(progress=progress(value))
    return ranker_pb2.VerifyClaimsResponse(verdict=claim_verdict(value))


def plan(value: Plan) -> verification_pb2.VerificationPlan:
    """Return a plan with its cost."""
    time = Duration()
    time.FromNanoseconds(round(value.seconds * 1e9))
    return verification_pb2.VerificationPlan(claims=value.claims, estimated_time=time)


def progress(value: Progress) -> verification_pb2.VerificationProgress:
    """Return which claim is being observed."""
    return verification_pb2.VerificationProgress(
        claim=value.claim, step=value.step, done=value.done, total=value.total
    )


def parse_type(number: int) -> model.ArtifactType:
    """Return the type that a request names; raise `InvalidArgument` when it names none."""
    for kind in model.ArtifactType:
        if artifact_type(kind) == number:
            return kind
    raise InvalidArgument("type", f"{number} is no type of artifact")


_BUDGETS = {
    verification_pb2.EFFORT_UNSPECIFIED: Budget.QUICK,
    verification_pb2.EFFORT_QUICK: Budget.QUICK,
    verification_pb2.EFFORT_FULL: Budget.FULL,
}


def parse_budget(number: int) -> Budget:
    """Return the budget that a request names; raise `InvalidArgument` for one that is none."""
    for known, value in _BUDGETS.items():
        if known == number:
            return value
    raise InvalidArgument("budget", f"{number} is not one of the contract's")


def required(field: str, value: str) -> str:
    """Return an id of a request; raise `InvalidArgument` when it is empty."""
    if not value:
        raise InvalidArgument(field, "is empty; give an artifact's registered id")
    return value


def _basis(value: model.Basis | None) -> evidence_pb2.Basis.ValueType:
    return evidence_pb2.Basis.Value(f"BASIS_{value.value if value else 'UNSPECIFIED'}")


def _value(value: model.Value) -> evidence_pb2.Value:
    content = value.content
    if isinstance(content, bool):
        return evidence_pb2.Value(boolean=content)
    if isinstance(content, str):
        return evidence_pb2.Value(text=content)
    return evidence_pb2.Value(number=content, unit=value.unit)


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


def timestamp(value: datetime) -> Timestamp:
    """Return a moment."""
    message = Timestamp()
    message.FromDatetime(value)
    return message
