"""Which evidence a verdict rests on, and which evidence may decide a claim. Pure.

Of the pieces that may decide, the best one counts, regardless of what it says: see `choose`.
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
"""Which aspects of a thing each kind of stand-in can decide; of a sample its method says it."""

BESIDE = frozenset({SubjectRelation.SAMPLE, SubjectRelation.NAMED})
"""What is shown beside a verdict that rests on something else."""

MIN_LEVEL = 0.99
"""Level below which an interval decides nothing; level 0 marks bounds, which always hold."""


def decides(relation: SubjectRelation, claim: Claim) -> bool:
    """Whether an observation of that relation may decide the claim."""
    if relation is SubjectRelation.SAMPLE:
        return claim.sample_decides
    return claim.aspect in DECIDES[relation]


def applies(claim: Claim, evidence: Evidence) -> bool:
    """Whether a piece of evidence on a claim is still of what it says now.

    A later manifest may be of another configuration, or be observed by another method.
    """
    if evidence.basis is Basis.MEASURED and evidence.claimed != claim.configuration:
        return False
    name = evidence.method.partition("@")[0]
    return name == claim.method.partition("@")[0] or name.startswith(CITES)


def outdated(claim: Claim, evidence: Evidence) -> bool:
    """Whether evidence is of another version of the claim's method than the one there is.

    A version is raised when what a value or its interval means has changed. What an earlier one
    made is kept and shown as that; it decides nothing, and nothing is read from it.
    """
    same = evidence.method.partition("@")[0] == claim.method.partition("@")[0]
    return same and evidence.method != claim.method


def choose(claim: Claim, evidence: Iterable[Evidence]) -> Evidence | None:
    """Return the piece of evidence that a verdict rests on.

    What an earlier version of the method made counts for nothing where there is anything else. Of
    those that can decide the measured ones count first, then the derived, then the cited, as in
    a score: what was cited while a service was down does not displace what was measured. Of what
    was measured the latest says which subject, engine and machine it is about; of the pieces about
    that one the best, never the latest, or one could measure until it suits: the one that pools the
    most restarts, is sure enough to decide, has the most observations, then the narrowest interval,
    then the first. Of what was cited the latest. When none can decide, the latest that is there,
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
    """The best first; what a piece says has no part in it."""
    interval, time = item.interval, item.time.timestamp()
    if interval is None or interval.level == 0:  # a count has nothing to do with luck
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
    """Whether it was observed on the hardware and by the engine that the claim names, if any."""
    return not elsewhere(claim, evidence)


def is_engine(named: str, engine: str) -> bool:
    """Whether a claim's name of an engine is that of an engine's id: "OpenVINO", "openvino-cpu"."""
    identifier = engine.casefold()
    return named.casefold() in {identifier, identifier.partition("-")[0]}


def elsewhere(claim: Claim, evidence: Evidence) -> str:
    """What else than the claim names it was observed with; empty for nothing else."""
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
    """Return the latest measurement of a sample, where a verdict rests on another kind.

    Or of what is only served under its name.
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
    """Return why nothing was measured when `chosen` was looked up; None when that is not known.

    What was measured of the claim before, or of a sample, makes it moot.
    """
    if chosen is None or chosen.value is None or chosen.basis is Basis.MEASURED:
        return None
    items = tuple(evidence)
    if sample_beside(claim, items, chosen) is not None:
        return None
    tried = (one for one in items if one.value is None and one.time >= chosen.time)
    latest = max(tried, key=lambda one: (one.time, one.digest), default=None)
    return why_not(latest) if latest is not None else None
