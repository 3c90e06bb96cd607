"""Claims with their verdicts, ready to be shown, and how many of each verdict there are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from assay_rpc.ranker.v1 import claim_pb2, evidence_pb2
from markupsafe import Markup

from services.common.counts import plural, with_unit
from services.ranker.web import drawing, measured
from services.ranker.web.links import Links, outside
from services.ranker.web.values import (
    SOURCING,
    difference,
    enum_name,
    measured_text,
    number,
    source,
)
from services.ranker.web.verdicts import KINDS, Kind, counted, kind, reference_of, sentence

_SHORT_DIGEST: Final = 12
_BASES: Final = {
    "MEASURED": "measured",
    "SOURCED": "from a publication",
    "DERIVED": "computed from published figures",
}
_HEADINGS: Final = {
    _BASES["SOURCED"]: "Published",
    _BASES["DERIVED"]: "Computed",
}
_UNMEASURED: Final = " (not measured: "
_TRUTHS: Final = ("true", "false")
"""What a source is quoted with that only confirms or denies: the verdict says that."""
_RELATIONS: Final = {
    evidence_pb2.SUBJECT_RELATION_SAME_ARCHITECTURE_RANDOM_WEIGHTS: (
        "of the same architecture with random weights"
    ),
    evidence_pb2.SUBJECT_RELATION_SAMPLE: "of a sample",
    evidence_pb2.SUBJECT_RELATION_PROXY: "of a substitute; does not decide the claim",
    evidence_pb2.SUBJECT_RELATION_NAMED: "of a thing with its name; does not decide the claim",
}


@dataclass(frozen=True)
class Citation:
    """A publication, and its address where it is one that may be a link."""

    text: str
    address: str
    quote: str = ""


@dataclass(frozen=True)
class Piece:
    """A piece of evidence."""

    value: str
    basis: str
    of: str
    observations: str
    note: str
    machine: str
    day: str
    method: str
    digest: str
    short_digest: str
    address: str
    command: str
    sources: tuple[Citation, ...]


@dataclass(frozen=True)
class ClaimView:
    """A claim with its verdict. `address` is its own page; `anchor` its place in this one."""

    reference: str
    id: str
    anchor: str
    address: str
    statement: str
    quote: str
    where: str
    cited: tuple[Citation, ...]
    conditions: str
    kind: Kind
    claimed: str
    found: str
    reason: str
    basis: str
    sourcing: str
    evidence: Piece | None
    sample: Piece | None
    not_measured: str
    not_measured_heading: str
    contradicts: tuple[tuple[str, str], ...]
    changed: tuple[str, ...]

    @property
    def plain_reason(self) -> str:
        """The reason without why nothing was measured, where that has a line of its own."""
        return self.reason.partition(_UNMEASURED)[0] if self.not_measured else self.reason

    @property
    def value_heading(self) -> str:
        """What the value beside the claimed one is."""
        return _HEADINGS.get(self.basis, "Measured")


@dataclass(frozen=True)
class Tally:
    """How many claims have which verdict, of one side or of all."""

    name: str
    address: str
    total: int
    counts: tuple[tuple[Kind, int], ...]
    sentence: str
    drawn: Markup


def views(verdicts: Iterable[evidence_pb2.ClaimVerdict], links: Links) -> tuple[ClaimView, ...]:
    """Each claim, in their order."""
    return tuple(view(one, links) for one in verdicts)


def view(verdict: evidence_pb2.ClaimVerdict, links: Links) -> ClaimView:
    """A claim and its verdict."""
    claim = verdict.claim
    reference = reference_of(claim)
    evidence = piece(verdict.evidence, links) if verdict.HasField("evidence") else None
    return ClaimView(
        reference=reference,
        id=claim.id,
        anchor=anchor(reference),
        address=links.claim(reference),
        statement=claim.statement,
        quote=claim.quote,
        where=source(claim.source),
        cited=citations(claim.sources),
        conditions=_conditions(claim),
        kind=kind(verdict),
        claimed=bound_text(claim),
        found=evidence.value if evidence else "",
        reason=verdict.reason,
        basis=_BASES.get(enum_name(verdict, "basis"), ""),
        sourcing=SOURCING.get(verdict.sourcing, ""),
        evidence=evidence,
        sample=piece(verdict.sample, links) if verdict.HasField("sample") else None,
        not_measured=_not_measured(verdict),
        not_measured_heading="To measure it" if _reason_says_why(verdict) else "Not measured",
        contradicts=tuple((one, links.claim(one)) for one in verdict.contradicts),
        changed=tuple(map(difference, verdict.change.differences)),
    )


def anchor(reference: str) -> str:
    """A claim's id in a page."""
    return "claim-" + reference.replace("/", "-")


def tally(name: str, address: str, verdicts: Sequence[evidence_pb2.ClaimVerdict]) -> Tally:
    """Counts of each verdict; a claim counts once however often it is listed."""
    counts = counted(verdicts)
    said = sentence(counts)
    drawn = drawing.stack({one.css: count for one, count in counts.items()}, said)
    some = tuple((one, count) for one, count in counts.items() if count)
    return Tally(name, address, sum(counts.values()), some, said, drawn)


def by_verdict(claims: Sequence[ClaimView]) -> list[tuple[Kind, list[ClaimView]]]:
    """Claims in groups by verdict, the refuted first; no empty group."""
    groups = [(one, [claim for claim in claims if claim.kind == one]) for one in KINDS.values()]
    return [group for group in groups if group[1]]


def contradictions(
    verdicts: Sequence[evidence_pb2.ClaimVerdict], links: Links
) -> list[tuple[ClaimView, ClaimView]]:
    """Pairs of claims that cannot both hold."""
    every = {reference_of(one.claim): one for one in verdicts}
    pairs = {
        tuple(sorted((name, other)))
        for name, one in every.items()
        for other in one.claim.contradicts
        if other in every
    }
    return [(view(every[a], links), view(every[b], links)) for a, b in sorted(pairs)]


def citations(sources: Iterable[claim_pb2.Source]) -> tuple[Citation, ...]:
    """Publications. What is not an address of the web stays text."""
    found = []
    for one in sources:
        address = outside(one.url) or outside(one.title)
        plain = claim_pb2.Source()
        plain.CopyFrom(one)
        if address == one.url and one.title:
            plain.url = ""
        quote = "" if one.quote in _TRUTHS else one.quote
        found.append(Citation(source(plain) or address, address, quote))
    return tuple(found)


def bound_text(claim: claim_pb2.Claim) -> str:
    """What a claim says that the value is; empty if it leaves that open."""
    bound = claim.bound
    match bound.WhichOneof("kind"):
        case "equals":
            text = with_unit(number(bound.equals.value), bound.unit)
            tolerance = bound.equals.tolerance
            return f"{text} (± {number(tolerance)})" if tolerance else text
        case "range":
            return with_unit(_range(bound.range), bound.unit)
        case "ratio":
            of = claim.comparator.name or claim.comparator.artifact
            return f"{_range(bound.ratio)} times" + (f" that of {of}" if of else "")
        case "text":
            return bound.text
        case "boolean":
            return "yes" if bound.boolean else "no"
    return ""


def _range(span: claim_pb2.Range) -> str:
    low = span.low if span.HasField("low") and not math.isinf(span.low) else None
    high = span.high if span.HasField("high") and not math.isinf(span.high) else None
    if low is None:
        return "any" if high is None else f"at most {number(high)}"
    return f"at least {number(low)}" if high is None else f"{number(low)} to {number(high)}"


def piece(evidence: evidence_pb2.Evidence, links: Links) -> Piece:
    """A piece of evidence."""
    digest = evidence.digest.removeprefix("sha256:")
    return Piece(
        value=measured_text(evidence) if evidence.value.WhichOneof("kind") else "",
        basis=_BASES.get(enum_name(evidence, "basis"), ""),
        of=_RELATIONS.get(evidence.relation, ""),
        observations=plural(evidence.n, "observation") if evidence.n > 1 else "",
        note=evidence.note,
        machine=measured.hardware(evidence).removeprefix("on "),
        day=evidence.measure_time.ToJsonString()[:10] if evidence.HasField("measure_time") else "",
        method=evidence.method,
        digest=evidence.digest,
        short_digest=digest[:_SHORT_DIGEST],
        address=links.evidence(evidence.digest),
        command=evidence.command,
        sources=citations(evidence.sources),
    )


def _conditions(claim: claim_pb2.Claim) -> str:
    scope = claim.scope
    parts = [scope.hardware, scope.engine, scope.dataset, scope.note]
    return "; ".join(filter(None, parts))


def _not_measured(verdict: evidence_pb2.ClaimVerdict) -> str:
    if not verdict.HasField("not_measured"):
        return ""
    why = verdict.not_measured
    if _reason_says_why(verdict):
        return _capital(why.remedy)
    return ". ".join(map(_capital, filter(None, (why.message.rstrip("."), why.remedy))))


def _reason_says_why(verdict: evidence_pb2.ClaimVerdict) -> bool:
    """Whether the explanation begins with why nothing was measured, and a remedy is known."""
    why = verdict.not_measured
    return bool(why.message and why.remedy) and verdict.reason.startswith(why.message)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
