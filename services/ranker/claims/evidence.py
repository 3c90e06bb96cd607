"""Evidence by content: its canonical form, its digest, and back.

Pure. Pieces of evidence with equal content have equal bytes and one digest; a stored piece whose
bytes do not match its digest has been damaged or changed, and is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.findings import Evidence, NotMeasured, UnmeasuredReason
from services.ranker.claims.model import (
    Basis,
    Input,
    Source,
    SourceRole,
    SubjectRelation,
    reference,
)

UNIDENTIFIED = "unidentified"
"""Key of a subject: "NAME DIGEST" of each thing that has a claim's name, and no digest of it."""


class EvidenceError(ValueError):
    """Evidence that cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Observation:
    """A method's result: evidence without the claim, the method, the time and the command.

    `recipe` is a shell command that makes the subject, if one must be made before the observation
    can be repeated; empty if what is served by default is enough.
    """

    value: Value | None
    relation: SubjectRelation
    basis: Basis
    subject_digest: str = ""
    interval: Interval | None = None
    n: int = 1
    environment: Mapping[str, object] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    note: str = ""
    inputs: tuple[Input, ...] = ()
    recipe: str = ""
    breakdown: Mapping[str, float] = field(default_factory=dict)
    breakdown_unit: str = ""
    subject: Mapping[str, object] = field(default_factory=dict)
    engine: Mapping[str, object] = field(default_factory=dict)
    restarts: tuple[Mapping[str, object], ...] = ()
    conditions: str = ""
    unmeasured: Mapping[str, object] = field(default_factory=dict)
    declared: bool = False


def nothing(why: NotMeasured) -> Observation:
    """Evidence of a method that measured nothing, for later comparisons."""
    return Observation(
        None,
        SubjectRelation.PROXY,
        Basis.MEASURED,
        note=why.message,
        unmeasured={"reason": why.reason.value, "remedy": why.remedy},
    )


def why_not(evidence: Evidence) -> NotMeasured:
    """Why a method measured nothing, from its stored evidence."""
    reason = str(evidence.unmeasured.get("reason", ""))
    return NotMeasured(
        evidence.note,
        UnmeasuredReason(reason)
        if reason in set(UnmeasuredReason)
        else UnmeasuredReason.UNSPECIFIED,
        str(evidence.unmeasured.get("remedy", "")),
    )


def seal(
    observation: Observation,
    *,
    claim: str,
    method: str,
    command: str,
    time: datetime,
    owner: str = "",
    claimed: Mapping[str, object] | None = None,
) -> Evidence:
    """Make evidence of an observation on a claim of `owner`, with its digest.

    Raises `EvidenceError` for numbers that are not finite, and for an interval that is reversed or
    does not contain the value.
    """
    _check(observation, claim)
    evidence = Evidence(
        digest="",
        claim=claim,
        subject_digest=observation.subject_digest,
        relation=observation.relation,
        basis=observation.basis,
        method=method,
        value=observation.value,
        interval=observation.interval,
        n=observation.n,
        environment=dict(observation.environment),
        sources=tuple(observation.sources),
        command=command,
        time=time.astimezone(UTC),
        note=observation.note,
        inputs=tuple(observation.inputs),
        breakdown=dict(observation.breakdown),
        breakdown_unit=observation.breakdown_unit,
        owner=owner,
        subject=dict(observation.subject),
        engine=dict(observation.engine),
        restarts=tuple(dict(one) for one in observation.restarts),
        conditions=observation.conditions,
        unmeasured=dict(observation.unmeasured),
        declared=observation.declared,
        claimed=dict(claimed or {}),
    )
    content = canonical(evidence)
    return replace(evidence, digest=digest_of(content), content=content)


def _check(observation: Observation, claim: str) -> None:
    number = observation.value.number if observation.value else None
    if number is not None and not math.isfinite(number):
        raise EvidenceError(f"{claim}: {number} is not a measurement")
    interval = observation.interval
    if interval is None:
        return
    # NaN fails every comparison, so this refuses NaN too. An end may be open, but only outwards.
    if not (
        interval.low <= interval.high and interval.low < math.inf and interval.high > -math.inf
    ):
        raise EvidenceError(f"{claim}: from {interval.low} to {interval.high} is not an interval")
    if number is not None and not interval.low <= number <= interval.high:
        raise EvidenceError(
            f"{claim}: {number} is outside its own interval, {interval.low} to {interval.high}"
        )


def canonical(evidence: Evidence) -> bytes:
    """Everything except the digest as JSON with sorted keys: the bytes that are hashed."""
    document: dict[str, object] = {
        "claim": reference(evidence.owner, evidence.claim),
        "subject_digest": evidence.subject_digest,
        "relation": evidence.relation.value,
        "basis": evidence.basis.value,
        "method": evidence.method,
        "value": None
        if evidence.value is None
        else {"content": evidence.value.content, "unit": evidence.value.unit},
        "interval": None
        if evidence.interval is None
        else [_open(evidence.interval.low), _open(evidence.interval.high), evidence.interval.level],
        "n": evidence.n,
        "environment": dict(evidence.environment),
        "sources": [_source(one) for one in evidence.sources],
        "command": evidence.command,
        "time": evidence.time.astimezone(UTC).isoformat(),
        "note": evidence.note,
        "inputs": [_input(one) for one in evidence.inputs],
    }
    if evidence.breakdown:  # only if present, so that older evidence keeps its digest
        document["breakdown"] = dict(evidence.breakdown)
        document["breakdown_unit"] = evidence.breakdown_unit
    document |= {
        name: dict(value)
        for name, value in (
            ("subject", evidence.subject),
            ("engine", evidence.engine),
            ("unmeasured", evidence.unmeasured),
            ("claimed", evidence.claimed),
        )
        if value
    }
    if evidence.declared:
        document["declared"] = True
    if evidence.restarts:
        document["restarts"] = [dict(one) for one in evidence.restarts]
    if evidence.conditions:
        document["conditions"] = evidence.conditions
    return json.dumps(
        document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    ).encode()


def digest_of(content: bytes) -> str:
    """Return the "sha256:<hex>" of canonical bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def restore(content: bytes, digest: str) -> Evidence:
    """Read evidence back. Raises `EvidenceError` unless the bytes match the digest."""
    actual = digest_of(content)
    if actual != digest:
        raise EvidenceError(
            f"evidence {digest}: its content gives {actual}; it was changed after it was stored, "
            "so it is refused; verify the claim again to replace it"
        )
    try:
        return replace(_from_document(json.loads(content), digest), content=content)
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"evidence {digest}: cannot be read: {error!r}") from error


def _from_document(document: Mapping[str, object], digest: str) -> Evidence:
    value, interval = document["value"], document["interval"]
    owner, _, claim = str(document["claim"]).rpartition("/")
    return Evidence(
        digest=digest,
        claim=claim,
        owner=owner,
        subject_digest=str(document["subject_digest"]),
        relation=SubjectRelation(str(document["relation"])),
        basis=Basis(str(document["basis"])),
        method=str(document["method"]),
        value=Value(value["content"], value["unit"]) if isinstance(value, dict) else None,
        interval=_interval(interval) if isinstance(interval, list) else None,
        n=int(str(document["n"])),
        environment=_mapping(document["environment"]),
        sources=_sources(document["sources"]),
        command=str(document["command"]),
        time=datetime.fromisoformat(str(document["time"])),
        note=str(document["note"]),
        inputs=_inputs(document["inputs"]),
        breakdown=_numbers(document.get("breakdown", {})),
        breakdown_unit=str(document.get("breakdown_unit", "")),
        subject=_mapping(document.get("subject", {})),
        engine=_mapping(document.get("engine", {})),
        restarts=_mappings(document.get("restarts", [])),
        conditions=str(document.get("conditions", "")),
        unmeasured=_mapping(document.get("unmeasured", {})),
        declared=document.get("declared", False) is True,
        claimed=_mapping(document.get("claimed", {})),
    )


def _numbers(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a mapping")
    return {str(name): float(number) for name, number in value.items()}


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a mapping")
    return value


def _source(source: Source) -> object:
    """A source in stored form; a title alone is a text, the form of the first releases."""
    default = Source(source.title)
    changed = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(source).items()
        if value != getattr(default, name)
    }
    return {"title": source.title, **changed} if changed else source.title


def _sources(value: object) -> tuple[Source, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return tuple(
        Source(one)
        if isinstance(one, str)
        else Source(
            **{
                **one,
                "values": tuple(one.get("values", ())),
                "role": SourceRole(one.get("role", SourceRole.OWN)),
            }
        )
        for one in value
    )


def _mappings(value: object) -> tuple[Mapping[str, object], ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return tuple(_mapping(one) for one in value)


def _input(one: Input) -> object:
    """An input in stored form; a digest alone is a text, the form of the first releases."""
    return vars(one) if one.role or one.name else one.digest


def _inputs(value: object) -> tuple[Input, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return tuple(Input(**one) if isinstance(one, dict) else Input(str(one)) for one in value)


def _open(end: float) -> float | None:
    """JSON has no infinity: an open end is null."""
    return None if math.isinf(end) else end


def _interval(ends: list[float | None]) -> Interval:
    low, high, level = ends
    return Interval(
        -math.inf if low is None else low, math.inf if high is None else high, level or 0.0
    )
