"""The ranker's values -> messages of the contract, and fields of requests -> the ranker's values.

What the messages of several rpcs have in common; what one alone has is beside that rpc.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import (
    artifact_pb2,
    claim_pb2,
    compare_pb2,
    evidence_pb2,
    score_pb2,
    verification_pb2,
)
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.license import License
from services.errors import DigestMismatch, InvalidArgument
from services.ranker.claims import model
from services.ranker.claims.identity import hardware_class
from services.ranker.claims.registry import Withdrawn
from services.ranker.measuring.measurements import Budget
from services.ranker.measuring.pooling import read
from services.ranker.measuring.verify import VerificationPlan, VerificationProgress
from services.ranker.methodology import published as formula
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.score import Component, Score
from services.rpc.messages import license_message

_MAX_HARDWARE = 500
_MAX_ELEMENTS = 1000


def artifact(
    value: model.Artifact, *, claims: bool = True, withdrawn: Withdrawn | None = None
) -> artifact_pb2.Artifact:
    """Return an artifact, with its claims if asked for, and what its published score is worth."""
    return artifact_pb2.Artifact(
        id=value.id,
        name=value.name,
        type=artifact_type(value.type),
        description=value.description,
        license=license_message(License(**asdict(value.license))),
        pricing=value.pricing,
        capabilities=[capability(value.id, one) for one in value.capabilities],
        claims=[claim(one) for one in value.claims] if claims else (),
        published=[_published(value.published)] if value.published else (),
        digest=value.digest,
        version=value.version,
        withdrawal=_withdrawal(withdrawn),
    )


def _withdrawal(value: Withdrawn | None) -> artifact_pb2.Withdrawal | None:
    if value is None:
        return None
    return artifact_pb2.Withdrawal(
        withdraw_time=timestamp(value.time), reason=value.withdrawal.reason
    )


def page(
    value: model.Page, *, claims: bool = True, withdrawn: Withdrawn | None = None
) -> artifact_pb2.Page:
    """Return a page, with its claims if asked for."""
    return artifact_pb2.Page(
        id=value.id,
        name=value.name,
        description=value.description,
        artifacts=value.compares,
        source=source(value.source) if value.source else None,
        claims=[claim(one) for one in value.claims] if claims else (),
        digest=value.digest,
        version=value.version,
        withdrawal=_withdrawal(withdrawn),
    )


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
        tags=dict.fromkeys((*value.tags, *value.categories)),
        uri=f"capability://{artifact_id}/{value.id}",
    )


def artifact_type(value: model.ArtifactType) -> artifact_pb2.ArtifactType.ValueType:
    """Return the type of an artifact."""
    return artifact_pb2.ArtifactType.Value(f"ARTIFACT_TYPE_{value.value}")


def effort(value: Budget) -> verification_pb2.Effort.ValueType:
    """Return a budget."""
    return verification_pb2.Effort.Value(f"EFFORT_{value.name}")


def _published(value: model.PublishedScore) -> artifact_pb2.PublishedScore:
    """A printed score beside the whole scores that its printed parts allow."""
    bounds = formula.feasible(value.printed_components)
    return artifact_pb2.PublishedScore(
        value=value.value,
        source=value.source,
        printed_components={name: float(bit) for name, bit in value.printed_components.items()},
        feasible=common_pb2.Interval(
            low=bounds.low, high=bounds.high, kind=common_pb2.INTERVAL_KIND_ALTERNATIVES
        ),
        remark=formula.remark(value.value, value.printed_components),
    )


def claim(value: model.Claim) -> claim_pb2.Claim:
    """Return a claim; without a bound when it leaves open what would make it true."""
    message = claim_pb2.Claim(
        id=value.id,
        artifact=value.artifact,
        page=value.page,
        statement=value.statement,
        method=value.method,
        group=value.group,
        contradicts=_references(value.owner, value.contradicts),
        quote=value.quote,
        source=source(value.source) if value.source else None,
        sources=map(source, value.sources),
    )
    dataset = f"{value.dataset}/{value.subset}" if value.subset else value.dataset
    if value.scope or value.hardware or value.engine or dataset:
        message.scope.CopyFrom(
            claim_pb2.Scope(
                note=value.scope, hardware=value.hardware, engine=value.engine, dataset=dataset
            )
        )
    if value.comparator:
        message.comparator.name = value.comparator
        message.comparator.artifact = value.rival
    if value.bound is not None:
        message.bound.CopyFrom(_bound(value.bound))
    return message


def source(value: model.Source) -> claim_pb2.Source:
    """Return a source; a text or a truth that it says is its quotation where it has no other."""
    says = "" if value.says is None else str(value.says).lower()
    says = value.says if isinstance(value.says, str) else says
    return claim_pb2.Source(
        title=value.title,
        locator=value.locator,
        url=value.url,
        quote=value.quote or says,
        date=value.date,
        digest=value.digest,
        values=value.values,
    )


def _references(owner: str, claims: Iterable[str]) -> list[str]:
    return [model.reference(owner, one) for one in claims]


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


def evidence(value: model.Evidence, owner: str) -> evidence_pb2.Evidence:
    """Return one observation on a claim of `owner`."""
    message = evidence_pb2.Evidence(
        digest=value.digest,
        claim=model.reference(value.owner or owner, value.claim),
        relation=evidence_pb2.SubjectRelation.Value(f"SUBJECT_RELATION_{value.relation.value}"),
        basis=_basis(value.basis),
        method=value.method,
        n=value.n,
        sources=map(source, value.sources),
        command=value.command,
        measure_time=timestamp(value.time),
        note=value.note,
        inputs=[evidence_pb2.Input(digest=one) for one in value.inputs],
        parts=[
            evidence_pb2.Part(name=name, value=number) for name, number in value.breakdown.items()
        ],
        content=value.content,
        conditions=value.conditions,
    )
    if value.restarts:
        message.timing.CopyFrom(_timing(value.restarts))
    if value.subject or value.subject_digest:
        message.subject.CopyFrom(_subject(value.subject, value.subject_digest))
    if value.engine:
        message.engine.CopyFrom(_engine(value.engine))
    if value.value is not None:
        message.value.CopyFrom(_value(value.value))
    if value.interval is not None:
        message.interval.CopyFrom(_evidence_interval(value.interval, value.basis))
    if value.environment:
        message.environment.CopyFrom(_environment(value.environment))
    return message


def _timing(kept: Sequence[Mapping[str, object]]) -> evidence_pb2.Timing:
    restarts = [read(one) for one in kept]
    return evidence_pb2.Timing(
        restarts=len(restarts),
        clean=sum(one.clean for one in restarts),
        least_seconds=min(one.least for one in restarts),
    )


def _subject(value: Mapping[str, object], digest: str) -> evidence_pb2.Subject:
    """What was measured, from the JSON-like mapping that evidence keeps it in."""
    splits = value.get("splits")
    return evidence_pb2.Subject(
        type=_enum(artifact_pb2.ArtifactType, "ARTIFACT_TYPE_", value.get("type")),
        name=str(value.get("name", "")),
        architecture=str(value.get("architecture", "")),
        classes=_whole(value.get("classes")),
        input_height=_whole(value.get("input_height")),
        input_width=_whole(value.get("input_width")),
        weights=_enum(common_pb2.WeightsKind, "WEIGHTS_KIND_", value.get("weights")),
        digest=digest,
        splits=map(str, splits) if isinstance(splits, list) else (),
    )


def _engine(value: Mapping[str, object]) -> common_pb2.Engine:
    """What computed it, from the JSON-like mapping that evidence keeps it in."""
    return common_pb2.Engine(
        id=str(value.get("id", "")),
        precision=_enum(common_pb2.Precision, "PRECISION_", value.get("precision")),
        threads=_whole(value.get("threads")),
        version=str(value.get("version", "")),
        instruction_set=str(value.get("instruction_set", "")),
    )


def _enum(kind: Any, prefix: str, name: object) -> Any:
    """The number of an enum's value by its name without prefix; 0 for one that is unknown."""
    full = f"{prefix}{name}"
    return kind.Value(full) if full in kind.keys() else 0  # noqa: SIM118  (it is no dict)


def claim_verdict(value: model.ClaimVerdict) -> evidence_pb2.ClaimVerdict:
    """Return a claim with its verdict and the evidence for it, if there is any."""
    owner = value.claim.owner
    message = evidence_pb2.ClaimVerdict(
        claim=claim(value.claim),
        verdict=evidence_pb2.Verdict.Value(f"VERDICT_{value.verdict.value}"),
        basis=_basis(value.basis),
        reason=value.reason,
        contradicts=_references(owner, value.contradicts),
        sourcing=evidence_pb2.SourceVerdict.Value(f"SOURCE_VERDICT_{value.sourcing.value}"),
    )
    if value.not_measured:
        message.not_measured.CopyFrom(_not_measured(value.not_measured))
    if value.evidence is not None:
        message.evidence.CopyFrom(evidence(value.evidence, owner))
    if value.sample is not None:
        message.sample.CopyFrom(evidence(value.sample, owner))
    if value.change is not None:
        message.change.CopyFrom(_change(value.change, owner))
    return message


def _not_measured(value: model.NotMeasured) -> evidence_pb2.NotMeasured:
    return evidence_pb2.NotMeasured(
        reason=evidence_pb2.NotMeasured.Reason.Value(f"REASON_{value.reason.value}"),
        message=value.message,
        remedy=value.remedy,
    )


def page_verdicts(value: model.PageVerdicts) -> compare_pb2.PageVerdicts:
    """Return a page, without its claims, and the verdicts on them."""
    return compare_pb2.PageVerdicts(
        page=page(value.page, claims=False), claims=[claim_verdict(one) for one in value.claims]
    )


def _change(value: model.Change, owner: str) -> evidence_pb2.Change:
    return evidence_pb2.Change(
        verdict=evidence_pb2.Verdict.Value(f"VERDICT_{value.verdict.value}"),
        evidence=evidence(value.evidence, owner),
        differences=[
            evidence_pb2.Difference(
                what=one.what, before=one.before, after=one.after, of_sample=one.of_sample
            )
            for one in value.differences
        ],
    )


def interval(value: model.Interval, kind: common_pb2.IntervalKind.ValueType) -> common_pb2.Interval:
    """Return an interval of a kind; an open end is absent."""
    return common_pb2.Interval(
        low=None if math.isinf(value.low) else value.low,
        high=None if math.isinf(value.high) else value.high,
        level=value.level,
        kind=kind,
    )


def _evidence_interval(value: model.Interval, basis: model.Basis) -> common_pb2.Interval:
    """Of a measured number that has no level, the ends are bounds; published ones are several."""
    if value.level:
        return interval(value, common_pb2.INTERVAL_KIND_CONFIDENCE)
    if basis is model.Basis.MEASURED:
        return interval(value, common_pb2.INTERVAL_KIND_BOUNDS)
    return interval(value, common_pb2.INTERVAL_KIND_ALTERNATIVES)


def methodology(value: Methodology) -> score_pb2.MethodologyRef:
    """Return which methodology."""
    return score_pb2.MethodologyRef(version=value.version, digest=value.digest)


def score(value: Score, *, components: bool = True) -> score_pb2.Score:
    """Return a score, with its components if asked for."""
    return score_pb2.Score(
        low=value.low,
        point=value.point,
        high=value.high,
        coverage=value.coverage,
        components=[component(one) for one in value.components] if components else (),
        as_of=value.as_of.isoformat(),
        profile=value.profile,
        lacks=value.lacks,
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


def plan(value: VerificationPlan, owner: str) -> verification_pb2.VerificationPlan:
    """Return a plan for claims of `owner` with its cost."""
    time = Duration()
    time.FromNanoseconds(round(value.seconds * 1e9))
    return verification_pb2.VerificationPlan(
        claims=_references(owner, value.claims), estimated_duration=time
    )


def progress(value: VerificationProgress, owner: str) -> verification_pb2.VerificationProgress:
    """Return which claim of `owner` is being observed."""
    return verification_pb2.VerificationProgress(
        claim=model.reference(owner, value.claim),
        step=value.step,
        done=value.done,
        total=value.total,
    )


def check_methodology(digest: str, known: Methodology) -> None:
    """Raise `DigestMismatch` when a request wants another methodology."""
    if digest and digest != known.digest:
        raise DigestMismatch(
            f"the methodology here is {known.version}, {known.digest}: not {digest}"
        )


def match_counts(
    matched: int, reported: int, succeeded: int, anonymous: int, reporters: int
) -> score_pb2.MatchCounts:
    """Return counts of matches, and of the verified reporters behind them."""
    return score_pb2.MatchCounts(
        matched=matched,
        reported=reported,
        succeeded=succeeded,
        reporters=reporters,
        anonymous=anonymous,
    )


def parse_type(number: int) -> model.ArtifactType:
    """Return the type that a request names; raise `InvalidArgument` when it names none."""
    for kind in model.ArtifactType:
        if artifact_type(kind) == number:
            return kind
    raise InvalidArgument("type", f"{number} is no type of artifact")


_EFFORTS = {
    verification_pb2.EFFORT_UNSPECIFIED: Budget.QUICK,
    verification_pb2.EFFORT_QUICK: Budget.QUICK,
    verification_pb2.EFFORT_FULL: Budget.FULL,
}


def parse_effort(number: int) -> Budget:
    """Return the budget that a request names; raise `InvalidArgument` for one that is none."""
    for known, value in _EFFORTS.items():
        if known == number:
            return value
    raise InvalidArgument("effort", f"{number} is not one of the contract's")


def hardware(name: str) -> str:
    """Return the hardware class that a request names; raise `InvalidArgument` for a long one."""
    if len(name) > _MAX_HARDWARE:
        raise InvalidArgument("hardware", f"has {len(name):,} characters; at most {_MAX_HARDWARE}")
    return name


def parse_claim(field: str, text: str) -> tuple[str, str]:
    """Return owner and id of a claim; raise `InvalidArgument` unless it is "OWNER/ID"."""
    owner, _, claim = text.partition("/")
    if not owner or not claim or "/" in claim:
        raise InvalidArgument(field, f"{text!r:.200} is not of the form OWNER/ID")
    return owner, claim


def limited(field: str, values: Sequence[str]) -> Sequence[str]:
    """Return a request's list; raise `InvalidArgument` when it is longer than any may be."""
    if len(values) > _MAX_ELEMENTS:
        raise InvalidArgument(field, f"has {len(values):,} elements; at most {_MAX_ELEMENTS:,}")
    return values


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
        hardware_class=hardware_class(value),
        instruction_set=str(value.get("instruction_set", "")),
        machine=str(value.get("machine", "")),
    )
    accelerators, versions = value.get("accelerators"), value.get("versions")
    if isinstance(accelerators, list | tuple):
        details = _details(value.get("accelerator_details"))
        message.accelerators.extend(
            details.get(str(name), common_pb2.Accelerator(name=str(name))) for name in accelerators
        )
    if isinstance(versions, Mapping):
        message.versions.update({str(name): str(version) for name, version in versions.items()})
    load, time = value.get("load"), value.get("time")
    if isinstance(load, int | float):
        message.load = load
    if isinstance(time, str) and time:
        message.read_time.FromJsonString(time)
    quota = value.get("cpu_quota")
    if isinstance(quota, int | float):
        message.cpu_quota = quota
    return message


def _details(value: object) -> dict[str, common_pb2.Accelerator]:
    """Accelerators by name, with what evidence keeps of them beside it."""
    listed = value if isinstance(value, list) else []
    found = [
        json_format.ParseDict(one, common_pb2.Accelerator(), ignore_unknown_fields=True)
        for one in listed
    ]
    return {one.name: one for one in found}


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and value >= 0 else 0


def timestamp(value: datetime) -> Timestamp:
    """Return a moment."""
    message = Timestamp()
    message.FromDatetime(value)
    return message
