"""Findings on claims: evidence, why there is none, verdicts, and what changed since.

Pure, with the conventions of `services.ranker.claims.model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.ranker.claims.bounds import Interval, Value
from services.ranker.claims.model import (
    Basis,
    Claim,
    Input,
    Page,
    Source,
    SourceVerdict,
    SubjectRelation,
    Verdict,
)


@dataclass(frozen=True)
class Evidence:
    """One observation about one claim. `digest` is the "sha256:<hex>" of everything else.

    `environment` is a JSON-like mapping (cpu, cpu_count, memory_bytes, accelerators, os, versions,
    load, time), empty if nothing was run. `sources` are citations, `inputs` what the value was
    computed from, `command` repeats the observation. `breakdown` is the value by part, if it has
    parts. `owner` states the claim; it is empty in evidence from when claim ids were unique over
    all owners. `subject` and `engine` are JSON-like mappings of what was measured and by what,
    empty if unknown. `unmeasured` gives, without a value, the kind of reason and the remedy.
    `restarts` are those that a timing rests on, including earlier verifications', as
    `services.ranker.measuring.pooling` writes them. `conditions` say what the value holds for, in
    words for a verdict's reason. `declared` means a registered manifest's quotation, which was not
    checked here: it is shown, decides nothing and enters no score. `claimed` is the claim's
    configuration at the measurement; empty in evidence from before it was stored. `content` are the
    bytes that are hashed for the digest.
    """

    digest: str
    claim: str
    subject_digest: str
    relation: SubjectRelation
    basis: Basis
    method: str
    value: Value | None
    interval: Interval | None
    n: int
    environment: Mapping[str, object]
    sources: tuple[Source, ...]
    command: str
    time: datetime
    note: str
    inputs: tuple[Input, ...]
    breakdown: Mapping[str, float] = field(default_factory=dict)
    breakdown_unit: str = ""
    owner: str = ""
    subject: Mapping[str, object] = field(default_factory=dict)
    engine: Mapping[str, object] = field(default_factory=dict)
    restarts: tuple[Mapping[str, object], ...] = ()
    conditions: str = ""
    unmeasured: Mapping[str, object] = field(default_factory=dict)
    declared: bool = False
    claimed: Mapping[str, object] = field(default_factory=dict)
    content: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True)
class Difference:
    """A difference: in "verdict", "value", "subject", "hardware", "engine" and others.

    `of_sample` means that it concerns the measurement of a sample.
    """

    what: str
    before: str
    after: str
    of_sample: bool = False


@dataclass(frozen=True)
class Change:
    """The verdict and the evidence of the previous verification, and the differences since."""

    verdict: Verdict
    evidence: Evidence
    differences: tuple[Difference, ...]


class UnmeasuredReason(StrEnum):
    """Kinds of reasons why a claim's method measured nothing."""

    UNSPECIFIED = "UNSPECIFIED"
    NOT_SERVED = "NOT_SERVED"
    OTHER_SUBJECT = "OTHER_SUBJECT"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    LICENSE_NOT_ACCEPTED = "LICENSE_NOT_ACCEPTED"
    ENGINE_UNAVAILABLE = "ENGINE_UNAVAILABLE"
    DATA_MISSING = "DATA_MISSING"
    TOO_COSTLY = "TOO_COSTLY"
    FAILED = "FAILED"


@dataclass(frozen=True)
class NotMeasured:
    """Why a claim's method measured nothing, and the remedy, if there is one."""

    message: str
    reason: UnmeasuredReason = UnmeasuredReason.UNSPECIFIED
    remedy: str = ""


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim with its verdict; `evidence` decided it or is shown for orientation.

    `sample` is an additional measurement of a sample, if something else decides. Only a
    verification sets `change`, for a claim that had evidence before. `not_measured` says why the
    claim's method measured nothing; None if it did, or never tried. `verdict` says whether the
    claim is true, `sourcing` whether it repeats its source: two answers.
    """

    claim: Claim
    verdict: Verdict
    basis: Basis | None
    evidence: Evidence | None
    reason: str
    contradicts: tuple[str, ...]
    sample: Evidence | None = None
    change: Change | None = None
    not_measured: NotMeasured | None = None
    sourcing: SourceVerdict = SourceVerdict.UNSPECIFIED


@dataclass(frozen=True)
class PageVerdicts:
    """A page, and the verdicts on its claims."""

    page: Page
    claims: tuple[ClaimVerdict, ...]
