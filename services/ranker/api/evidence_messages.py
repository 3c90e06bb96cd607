"""Evidence and the verdicts that rest on it -> messages of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import (
    artifact_pb2,
    compare_pb2,
    evidence_pb2,
)
from google.protobuf import json_format

from services.ranker.api import messages
from services.ranker.claims import bounds, findings, model
from services.ranker.claims.identity import hardware_class
from services.ranker.measuring.pooling import read


def evidence(value: findings.Evidence, owner: str) -> evidence_pb2.Evidence:
    """Return one observation on a claim of `owner`."""
    message = evidence_pb2.Evidence(
        digest=value.digest,
        claim=model.reference(value.owner or owner, value.claim),
        relation=evidence_pb2.SubjectRelation.Value(f"SUBJECT_RELATION_{value.relation.value}"),
        basis=_basis(value.basis),
        method=value.method,
        n=value.n,
        sources=map(messages.source, value.sources),
        command=value.command,
        measure_time=messages.timestamp(value.time),
        note=value.note,
        inputs=[evidence_pb2.Input(**vars(one)) for one in value.inputs],
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
    """The measured subject, from the JSON-like mapping in evidence."""
    splits = value.get("splits")
    return evidence_pb2.Subject(
        type=_enum(artifact_pb2.ArtifactType, "ARTIFACT_TYPE_", value.get("type")),
        name=str(value.get("name", "")),
        architecture=str(value.get("architecture", "")),
        classes=_whole(value.get("classes")),
        input_height=_whole(value.get("input_height")),
        input_width=_whole(value.get("input_width")),
        weights=_enum(common_pb2.WeightsKind, "WEIGHTS_KIND_", value.get("weights")),
        revision=str(value.get("revision", "")),
        digest=digest,
        splits=map(str, splits) if isinstance(splits, list) else (),
    )


def _engine(value: Mapping[str, object]) -> common_pb2.Engine:
    """The engine, from the JSON-like mapping in evidence."""
    return common_pb2.Engine(
        id=str(value.get("id", "")),
        precision=_enum(common_pb2.Precision, "PRECISION_", value.get("precision")),
        threads=_whole(value.get("threads")),
        version=str(value.get("version", "")),
        instruction_set=str(value.get("instruction_set", "")),
    )


def _enum(kind: Any, prefix: str, name: object) -> Any:
    """The number of an enum's value by its name without prefix; 0 if unknown."""
    full = f"{prefix}{name}"
    return kind.Value(full) if full in kind.keys() else 0  # noqa: SIM118  (it is no dict)


def claim_verdict(value: findings.ClaimVerdict) -> evidence_pb2.ClaimVerdict:
    """Return a claim with its verdict and the evidence for it, if there is any."""
    owner = value.claim.owner
    message = evidence_pb2.ClaimVerdict(
        verdict=evidence_pb2.Verdict.Value(f"VERDICT_{value.verdict.value}"),
        basis=_basis(value.basis),
        claim=messages.claim(value.claim),
        reason=value.reason,
        contradicts=messages.references(owner, value.contradicts),
        sourcing=evidence_pb2.SourceVerdict.Value(f"SOURCE_VERDICT_{value.sourcing.value}"),
    )
    if value.not_measured:
        message.not_measured.CopyFrom(_not_measured(value.claim, value.not_measured))
    if value.evidence is not None:
        message.evidence.CopyFrom(evidence(value.evidence, owner))
    if value.sample is not None:
        message.sample.CopyFrom(evidence(value.sample, owner))
    if value.change is not None:
        message.change.CopyFrom(_change(value.change, owner))
    return message


def _not_measured(claim: model.Claim, value: findings.NotMeasured) -> evidence_pb2.NotMeasured:
    remedy = value.remedy
    if remedy and claim.undecidable is not None:
        remedy += "; the figure is then shown, and decides nothing"
    return evidence_pb2.NotMeasured(
        reason=evidence_pb2.NotMeasured.Reason.Value(f"REASON_{value.reason.value}"),
        message=value.message,
        remedy=remedy,
    )


def page_verdicts(value: findings.PageVerdicts) -> compare_pb2.PageVerdicts:
    """Return a page, without its claims, and the verdicts on them."""
    return compare_pb2.PageVerdicts(
        page=messages.page(value.page, claims=False),
        claims=[claim_verdict(one) for one in value.claims],
    )


def _change(value: findings.Change, owner: str) -> evidence_pb2.Change:
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


def _evidence_interval(value: bounds.Interval, basis: model.Basis) -> common_pb2.Interval:
    """A measured number without a level has bounds; a published one has alternatives."""
    if value.level:
        return messages.interval(value, common_pb2.INTERVAL_KIND_CONFIDENCE)
    if basis is model.Basis.MEASURED:
        return messages.interval(value, common_pb2.INTERVAL_KIND_BOUNDS)
    return messages.interval(value, common_pb2.INTERVAL_KIND_ALTERNATIVES)


def _basis(value: model.Basis | None) -> evidence_pb2.Basis.ValueType:
    return evidence_pb2.Basis.Value(f"BASIS_{value.value if value else 'UNSPECIFIED'}")


def _value(value: bounds.Value) -> evidence_pb2.Value:
    content = value.content
    if isinstance(content, bool):
        return evidence_pb2.Value(boolean=content)
    if isinstance(content, str):
        return evidence_pb2.Value(text=content)
    return evidence_pb2.Value(number=content, unit=value.unit)


def _environment(value: Mapping[str, object]) -> common_pb2.Environment:
    """The machine, from the JSON-like mapping in evidence."""
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
    """Accelerators by name, with their other details from evidence."""
    listed = value if isinstance(value, list) else []
    found = [
        json_format.ParseDict(one, common_pb2.Accelerator(), ignore_unknown_fields=True)
        for one in listed
    ]
    return {one.name: one for one in found}


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and value >= 0 else 0
