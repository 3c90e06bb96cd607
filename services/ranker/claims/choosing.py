"""Which evidence may decide a claim, and which piece a verdict rests on. Pure.

Of the pieces that may decide, the best one counts, whatever its value: see `choose`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from services.ranker.claims.evidence import why_not
from services.ranker.claims.findings import Evidence, NotMeasured
from services.ranker.claims.hardware import is_on
from services.ranker.claims.identity import hardware_class, identity
from services.ranker.claims.model import STRENGTH, Aspect, Basis, Claim, SubjectRelation
from services.ranker.claims.sourcing import CITES

DECIDES: dict[SubjectRelation, frozenset[Aspect]] = {
    SubjectRelation.EXACT: frozenset(Aspect),
    SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS: frozenset(
        {Aspect.SIZE, Aspect.SHAPE, Aspect.SPEED}
    ),
    SubjectRelation.PROXY: frozenset(),
    SubjectRelation.NAMED: frozenset(),
}
"""Aspects of a thing that each kind of stand-in can decide; for a sample the method decides."""

BESIDE = frozenset({SubjectRelation.SAMPLE, SubjectRelation.NAMED})
"""Evidence shown next to a verdict that rests on something else."""

MIN_LEVEL = 0.99
"""Level below which an interval decides nothing; level 0 marks bounds, which always hold."""


def decides(relation: SubjectRelation, claim: Claim) -> bool:
    """Whether an observation with that relation may decide the claim."""
    if relation is SubjectRelation.SAMPLE:
        return claim.sample_decides
    return claim.aspect in DECIDES[relation]


def applies(claim: Claim, evidence: Evidence) -> bool:
    """Whether evidence on a claim still fits the present claim.

    A later manifest may have another configuration, or another method.
    """
    if evidence.basis is Basis.MEASURED and evidence.claimed != claim.configuration:
        return False
    name = evidence.method.partition("@")[0]
    return name == claim.method.partition("@")[0] or name.startswith(CITES)


def outdated(claim: Claim, evidence: Evidence) -> bool:
    """Whether evidence was made by another version of the claim's method than the present one.

    A version is raised when the meaning of a value or its interval changes. Evidence from an
    earlier version is kept and shown as such; it decides nothing, and nothing is read from it.
    """
    same = evidence.method.partition("@")[0] == claim.method.partition("@")[0]
    return same and evidence.method != claim.method


def choose(claim: Claim, evidence: Iterable[Evidence]) -> Evidence | None:
    """Return the piece of evidence that a verdict rests on.

    Evidence from an earlier version of the method counts only if there is nothing else. Of the
    pieces that can decide, measured ones come first, then derived, then cited, as in a score: a
    citation made while a service was down does not displace a measurement. Of measured pieces, the
    latest determines the subject, engine and machine; of the pieces about those, the best counts
    rather than the latest, or one could measure until it suits: the piece that pools the most
    restarts, is sure enough to decide, has the most observations, then the narrowest interval, then
    the first. Of cited pieces, the latest counts. If none can decide, the latest of all is returned
    for orientation. The order of the pieces does not matter.
    """
    given = tuple(evidence)
    items = tuple(one for one in given if not outdated(claim, one)) or given
    able = [one for one in items if decides(one.relation, claim) and fits(claim, one)]
    if not able:
        return max(
            items, key=lambda one: (one.time, one.value is not None, one.digest), default=None
        )
    strongest = max(STRENGTH[one.basis] for one in able)
    found = [one for one in able if STRENGTH[one.basis] == strongest]
    latest = max(found, key=_lateness)
    if latest.basis is not Basis.MEASURED:
        return latest
    same = [one for one in found if _identity(one) == _identity(latest)]
    return min(same, key=_worth)


def _lateness(item: Evidence) -> tuple[datetime, bool, str]:
    return item.time, item.value is not None, item.digest


def _worth(item: Evidence) -> tuple[int, bool, int, float, float, str]:
    """Sort key, the best first; a piece's value does not affect it."""
    interval, time = item.interval, item.time.timestamp()
    if interval is None or interval.level == 0:  # a count does not depend on chance
        return -len(item.restarts), False, -item.n, 0.0, -time, item.digest
    unsure = interval.level < MIN_LEVEL
    width = interval.high - interval.low
    return -len(item.restarts), unsure, -item.n, width, time, item.digest


def _identity(item: Evidence) -> str:
    return identity(
        method=item.method,
        subject_digest=item.subject_digest,
        subject=item.subject,
        engine=item.engine,
        environment=item.environment,
        inputs=[one.digest for one in item.inputs],
    )


def fits(claim: Claim, evidence: Evidence) -> bool:
    """Whether the evidence was observed on the claim's hardware and engine, if it names any."""
    return not elsewhere(claim, evidence)


def is_engine(named: str, engine: str) -> bool:
    """Whether a claim's name of an engine matches an engine's id: "OpenVINO", "openvino-cpu"."""
    identifier = engine.casefold()
    return named.casefold() in {identifier, identifier.partition("-")[0]}


def elsewhere(claim: Claim, evidence: Evidence) -> str:
    """The hardware or engine that differs from the claim's; empty if none does."""
    hardware = hardware_class(evidence.environment)
    engine = str(evidence.engine.get("id", ""))
    if claim.hardware and hardware and not is_on(claim.hardware, evidence.environment, engine):
        with_it = f"{engine} on {hardware}" if engine else hardware
        return f"{with_it}, and the claim is about {claim.hardware}"
    if claim.engine and engine and not is_engine(claim.engine, engine):
        return f"{engine}, and the claim is about {claim.engine}"
    return ""


def sample_beside(
    claim: Claim, evidence: Iterable[Evidence], chosen: Evidence | None
) -> Evidence | None:
    """Return the latest measurement of a sample, if a verdict rests on another kind.

    Also accepts a measurement of something that is only served under the name.
    """
    if chosen is None or chosen.relation in BESIDE:
        return None
    samples = (
        one
        for one in evidence
        if one.relation in BESIDE and one.basis is Basis.MEASURED and not outdated(claim, one)
    )
    return max(samples, key=lambda one: (one.time, one.digest), default=None)


def unmeasured(
    claim: Claim, evidence: Iterable[Evidence], chosen: Evidence | None
) -> NotMeasured | None:
    """Return why nothing was measured when `chosen` was looked up; None if unknown.

    Moot if the claim, or a sample, was measured before.
    """
    if chosen is None or chosen.value is None or chosen.basis is Basis.MEASURED:
        return None
    items = tuple(evidence)
    if sample_beside(claim, items, chosen) is not None:
        return None
    tried = (one for one in items if one.value is None and one.time >= chosen.time)
    latest = max(tried, key=lambda one: (one.time, one.digest), default=None)
    return why_not(latest) if latest is not None else None
