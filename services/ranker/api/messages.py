"""The ranker's values -> messages of the contract.

Contains what the messages of several rpcs share; the rest is in the module of its rpc.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import (
    artifact_pb2,
    claim_pb2,
    score_pb2,
    verification_pb2,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.license import License
from services.ranker.claims import bounds, model
from services.ranker.claims.registry import Withdrawn
from services.ranker.measuring.measurements import Budget
from services.ranker.measuring.verify import VerificationPlan, VerificationProgress
from services.ranker.methodology import published as formula
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.score import Component, Score
from services.rpc.messages import license_message


def artifact(
    value: model.Artifact,
    *,
    claims: bool = True,
    withdrawn: Withdrawn | None = None,
    registered_by: str = "",
) -> artifact_pb2.Artifact:
    """Return an artifact, with its claims if requested, and its published score assessed."""
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
        registered_by=registered_by,
        withdrawal=_withdrawal(withdrawn),
    )


def _withdrawal(value: Withdrawn | None) -> artifact_pb2.Withdrawal | None:
    if value is None:
        return None
    return artifact_pb2.Withdrawal(
        withdraw_time=timestamp(value.time), by=value.by, reason=value.withdrawal.reason
    )


def page(
    value: model.Page,
    *,
    claims: bool = True,
    withdrawn: Withdrawn | None = None,
    registered_by: str = "",
) -> artifact_pb2.Page:
    """Return a page, with its claims if requested."""
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
        registered_by=registered_by,
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
    """A printed score with the whole scores that its printed parts allow."""
    feasible = formula.feasible(value.printed_components)
    return artifact_pb2.PublishedScore(
        value=value.value,
        source=value.source,
        printed_components={name: float(bit) for name, bit in value.printed_components.items()},
        feasible=common_pb2.Interval(
            low=feasible.low, high=feasible.high, kind=common_pb2.INTERVAL_KIND_ALTERNATIVES
        ),
        remark=formula.remark(value.value, value.printed_components),
    )


def claim(value: model.Claim) -> claim_pb2.Claim:
    """Return a claim; without a bound if it does not say what would make it true."""
    message = claim_pb2.Claim(
        id=value.id,
        artifact=value.artifact,
        page=value.page,
        statement=value.statement,
        method=value.method,
        group=value.group,
        contradicts=references(value.owner, value.contradicts),
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
    """Return a source; without a quotation, its text or truth value is its quotation."""
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
        unit=value.unit,
        silent=value.silent,
    )


def references(owner: str, claims: Iterable[str]) -> list[str]:
    """Return claims as "OWNER/ID"; claims without an owner belong to `owner`."""
    return [model.reference(owner, one) for one in claims]


def _bound(value: bounds.Bound) -> claim_pb2.Bound:
    match value:
        case bounds.Equals():
            equals = claim_pb2.Equals(value=value.value, tolerance=value.tolerance)
            return claim_pb2.Bound(equals=equals, unit=value.unit)
        case bounds.Range():
            return claim_pb2.Bound(range=_range(value), unit=value.unit)
        case bounds.Ratio():
            return claim_pb2.Bound(ratio=_range(value), unit=value.unit)
        case bounds.Text():
            return claim_pb2.Bound(text=value.value)
        case bounds.Boolean():
            return claim_pb2.Bound(boolean=value.value)


def _range(value: bounds.Range | bounds.Ratio) -> claim_pb2.Range:
    return claim_pb2.Range(low=value.low, high=value.high)


def interval(
    value: bounds.Interval, kind: common_pb2.IntervalKind.ValueType
) -> common_pb2.Interval:
    """Return an interval of a kind; an open end is absent."""
    return common_pb2.Interval(
        low=None if math.isinf(value.low) else value.low,
        high=None if math.isinf(value.high) else value.high,
        level=value.level,
        kind=kind,
    )


def methodology(value: Methodology) -> score_pb2.MethodologyRef:
    """Return the methodology's name and digest."""
    return score_pb2.MethodologyRef(version=value.version, digest=value.digest)


def score(value: Score, *, components: bool = True) -> score_pb2.Score:
    """Return a score, with its components if requested."""
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
        claims=references(owner, value.claims), estimated_duration=time
    )


def progress(value: VerificationProgress, owner: str) -> verification_pb2.VerificationProgress:
    """Return which claim of `owner` is being observed."""
    return verification_pb2.VerificationProgress(
        claim=model.reference(owner, value.claim),
        step=value.step,
        done=value.done,
        total=value.total,
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


def timestamp(value: datetime) -> Timestamp:
    """Return a moment."""
    message = Timestamp()
    message.FromDatetime(value)
    return message
