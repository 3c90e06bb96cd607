"""A claim and its evidence -> a verdict.

Pure, and a function of nothing else, so that a stored piece of evidence gives the same verdict
whenever it is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from services.ranker.claims.evidence import why_not
from services.ranker.claims.identity import hardware_class, identity
from services.ranker.claims.model import (
    STRENGTH,
    Aspect,
    Basis,
    Boolean,
    Bound,
    Claim,
    ClaimVerdict,
    Equals,
    Evidence,
    Interval,
    NotMeasured,
    SubjectRelation,
    Text,
    Value,
    Verdict,
    ends,
)
from services.ranker.claims.sourcing import CITES, alternatives, confirms, sourcing

DECIDES: dict[SubjectRelation, frozenset[Aspect]] = {
    SubjectRelation.EXACT: frozenset(Aspect),
    SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS: frozenset(
        {Aspect.SIZE, Aspect.SHAPE, Aspect.SPEED}
    ),
    SubjectRelation.PROXY: frozenset(),
}
"""Which aspects of a thing each kind of stand-in can decide; of a sample its method says it."""

MIN_LEVEL = 0.99
"""Level below which an interval decides nothing; level 0 marks bounds, which always hold."""

_NUMBERS = re.compile(r"[0-9\s,;x×*()\[\]\u2010-\u2015-]+")
_DIGITS = re.compile(r"[0-9]+")

_STAND_IN = {
    SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS: "the same architecture with random weights",
    SubjectRelation.SAMPLE: "a sample, not drawn at random,",
    SubjectRelation.PROXY: "a stand-in",
}


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


def judge(
    claim: Claim, evidence: Evidence | None, unobserved: NotMeasured | None = None
) -> ClaimVerdict:
    """Return the verdict on `claim` that `evidence` allows.

    `unobserved` says why nothing was measured, or nothing that decides, when that is known.
    """
    verdict, reason = _judge(claim, evidence, unobserved.message if unobserved else "")
    return ClaimVerdict(
        claim=claim,
        verdict=verdict,
        basis=evidence.basis if evidence is not None and evidence.value is not None else None,
        evidence=evidence,
        reason=reason,
        contradicts=claim.contradicts,
        not_measured=_not_measured(evidence, unobserved),
        sourcing=sourcing(claim),
    )


def judge_stored(
    claims: Iterable[Claim], evidence: Iterable[Evidence], damaged: Container[str]
) -> tuple[ClaimVerdict, ...]:
    """Return the verdict on each claim that stored evidence allows.

    Without any, the reason says why not and how to get some; `damaged` are the ids of claims whose
    evidence was refused.
    """
    by_claim: dict[str, list[Evidence]] = {}
    for one in evidence:
        by_claim.setdefault(one.claim, []).append(one)
    return tuple(_judge_stored(one, by_claim.get(one.id, []), damaged) for one in claims)


def _judge_stored(claim: Claim, evidence: list[Evidence], damaged: Container[str]) -> ClaimVerdict:
    chosen = choose(claim, evidence)
    unobserved = unmeasured(evidence, chosen)
    if not evidence:
        why = (
            "what is stored of it is damaged and was refused; verify it again"
            if claim.id in damaged
            else "it has not been verified yet"
        )
        unobserved = NotMeasured(f"{why}: assay claims {claim.owner} --claim {claim.id}")
    verdict = judge(claim, chosen, unobserved=unobserved)
    return replace(verdict, sample=sample_beside(evidence, chosen))


def _not_measured(evidence: Evidence | None, unobserved: NotMeasured | None) -> NotMeasured | None:
    if evidence is None:  # it was never verified
        return None
    return unobserved or (why_not(evidence) if evidence.value is None else None)


def choose(claim: Claim, evidence: Iterable[Evidence]) -> Evidence | None:
    """Return the piece of evidence that a verdict rests on.

    Of those that can decide the measured ones count first, then the derived, then the cited, as in
    a score: what was cited while a service was down does not displace what was measured. Of what
    was measured the latest says which subject, engine and machine it is about; of the pieces about
    that one the best, never the latest, or one could measure until it suits: the one that pools the
    most restarts, is sure enough to decide, has the most observations, then the narrowest interval,
    then the first. Of what was cited the latest. When none can decide, the latest that is there,
    for orientation. The order of the pieces does not matter.
    """
    items = tuple(evidence)
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
        inputs=item.inputs,
    )


def fits(claim: Claim, evidence: Evidence) -> bool:
    """Whether it was observed on the hardware and by the engine that the claim names, if any."""
    return not _elsewhere(claim, evidence)


def is_engine(named: str, engine: str) -> bool:
    """Whether a claim's name of an engine is that of an engine's id: "OpenVINO", "openvino-cpu"."""
    identifier = engine.casefold()
    return named.casefold() in {identifier, identifier.partition("-")[0]}


def _elsewhere(claim: Claim, evidence: Evidence) -> str:
    """What else than the claim names it was observed with; empty for nothing else."""
    hardware = hardware_class(evidence.environment)
    words = set(hardware.casefold().split())
    if claim.hardware and words and not set(claim.hardware.casefold().split()) <= words:
        return f"{hardware}, and the claim is about {claim.hardware}"
    engine = str(evidence.engine.get("id", ""))
    if claim.engine and engine and not is_engine(claim.engine, engine):
        return f"{engine}, and the claim is about {claim.engine}"
    return ""


def sample_beside(evidence: Iterable[Evidence], chosen: Evidence | None) -> Evidence | None:
    """Return the latest measurement of a sample, where a verdict rests on another kind."""
    if chosen is None or chosen.relation is SubjectRelation.SAMPLE:
        return None
    samples = (
        one
        for one in evidence
        if (one.relation, one.basis) == (SubjectRelation.SAMPLE, Basis.MEASURED)
    )
    return max(samples, key=lambda one: (one.time, one.digest), default=None)


def unmeasured(evidence: Iterable[Evidence], chosen: Evidence | None) -> NotMeasured | None:
    """Return why nothing was measured when `chosen` was looked up; None when that is not known.

    What was measured of the claim before, or of a sample, makes it moot.
    """
    if chosen is None or chosen.value is None or chosen.basis is Basis.MEASURED:
        return None
    items = tuple(evidence)
    if sample_beside(items, chosen) is not None:
        return None
    tried = (one for one in items if one.value is None and one.time >= chosen.time)
    latest = max(tried, key=lambda one: (one.time, one.digest), default=None)
    return why_not(latest) if latest is not None else None


def _judge(claim: Claim, evidence: Evidence | None, unobserved: str) -> tuple[Verdict, str]:
    if claim.undecidable is not None:
        reason = claim.undecidable.reason
        note = evidence.note if evidence is not None and evidence.value is None else ""
        why = evidence is not None and (unobserved or note)
        if why:
            reason += f" (not measured: {why})"
        return claim.undecidable.verdict, reason
    if evidence is None or evidence.value is None:
        known = "nothing is known of it yet" if evidence is None else evidence.note
        return Verdict.NOT_TESTABLE_HERE, _joined(unobserved or known, claim)
    if _leaves_open_what_decides(claim):
        return Verdict.UNDERSPECIFIED, _underspecified(evidence, unobserved)
    if not (decides(evidence.relation, claim) and fits(claim, evidence)):
        return Verdict.NOT_TESTABLE_HERE, _joined(_and(unobserved, _seen(claim, evidence)), claim)
    if claim.bound is None:  # of an older manifest; a bound is due or `undecidable`
        return Verdict.UNDERSPECIFIED, "what would make it hold is not said"
    if evidence.method.startswith(CITES):
        verdict, reason = _cited(claim, claim.bound, evidence)
    else:
        verdict = _compare(claim.bound, evidence.value, evidence.interval)
        reason = _explain(verdict, claim.bound, evidence)
    return verdict, f"{reason} (not measured: {unobserved})" if unobserved else reason


def _cited(claim: Claim, bound: Bound, evidence: Evidence) -> tuple[Verdict, str]:
    """What a citation decides: where it is the claim's own, that it is repeated and no more."""
    assert evidence.value is not None  # noqa: S101  (only called with a value)
    titles = ", ".join(dict.fromkeys(one.title for one in evidence.sources))
    printed = alternatives(evidence.sources)
    shown = _or(printed, evidence.value) if printed else show(evidence.value)
    if claim.declared:
        reason = f"the manifest quotes {shown} from {titles}, which nobody has read here"
        return Verdict.NOT_TESTABLE_HERE, _joined(reason, claim)
    if printed:
        held = [_compare(bound, Value(one, evidence.value.unit), None) for one in printed]
        verdict = held[0] if len(set(held)) == 1 else Verdict.UNDERSPECIFIED
        which = {
            Verdict.CONFIRMED: f"each of which is {allowed(bound)}",
            Verdict.REFUTED: f"none of which is {allowed(bound)}",
        }.get(verdict, f"and which is meant is not said; {allowed(bound)} is claimed")
        reason = f"published {shown}, {which}"
    else:
        verdict = _compare(bound, evidence.value, evidence.interval)
        reason = _explain(verdict, bound, evidence)
    if verdict is Verdict.CONFIRMED and not confirms(claim):
        reason = f"{shown} is what {titles} says of its own work, and no figure confirms itself"
        return Verdict.NOT_TESTABLE_HERE, _joined(reason, claim)
    return verdict, reason


def _or(numbers: Sequence[float], value: Value) -> str:
    *first, last = map(_number, numbers)
    return f"{', '.join(first)} or {last}{_unit(value.unit)}"


def _leaves_open_what_decides(claim: Claim) -> bool:
    """Whether it is about a speed, and says neither on what nor by what."""
    return claim.machine and claim.aspect is Aspect.SPEED and not (claim.hardware or claim.engine)


def _underspecified(evidence: Evidence, unobserved: str) -> str:
    assert evidence.value is not None  # noqa: S101  (only called with a value)
    reason = "it depends on the hardware and on the engine, and the claim names neither"
    if evidence.basis is not Basis.MEASURED:
        figure = f"{show(evidence.value, evidence.interval)} is published for other hardware"
        return f"{reason}; {figure}{f' (not measured: {unobserved})' if unobserved else ''}"
    here = hardware_class(evidence.environment)
    unit = _unit(evidence.breakdown_unit)
    figures = [f"{_number(one)}{unit} with {name}" for name, one in evidence.breakdown.items()]
    found = ", ".join(figures) or show(evidence.value, evidence.interval)
    return f"{reason}; on {here or 'this machine'} it is {found}{_conditions(evidence)}"


def _conditions(evidence: Evidence) -> str:
    return f" ({evidence.conditions})" if evidence.conditions else ""


def _seen(claim: Claim, evidence: Evidence) -> str:
    """What is shown of something else, where nothing that decides is known."""
    assert evidence.value is not None  # noqa: S101  (only called with a value)
    if elsewhere := _elsewhere(claim, evidence):
        return f"it was measured with {elsewhere}: {show(evidence.value, evidence.interval)}"
    if evidence.basis is Basis.MEASURED:
        return f"only {_STAND_IN[evidence.relation]} was observed: {show(evidence.value)}"
    thing = "other hardware" if claim.aspect is Aspect.SPEED else "something else"
    return f"only a published figure for {thing} is known: {show(evidence.value)}"


def _compare(bound: Bound, value: Value, interval: Interval | None) -> Verdict:
    """Wholly inside is CONFIRMED, wholly outside REFUTED, else INCONCLUSIVE."""
    if not _alike(bound, value):  # what is no answer refutes nothing
        return Verdict.INCONCLUSIVE
    if isinstance(bound, Text | Boolean):
        said, found = (_plain(str(one)) for one in (bound.value, value.content))
        return Verdict.CONFIRMED if said == found else Verdict.REFUTED
    number = value.number
    assert number is not None  # noqa: S101  (it is of one kind with the bound)
    if interval is not None and 0 < interval.level < MIN_LEVEL:
        return Verdict.INCONCLUSIVE
    low, high = ends(bound)
    least, most = (number, number) if interval is None else (interval.low, interval.high)
    if low <= least and most <= high:
        return Verdict.CONFIRMED
    if most < low or least > high:
        return Verdict.REFUTED
    return Verdict.INCONCLUSIVE


def _plain(text: str) -> tuple[str, ...]:
    """A text as it is compared: numbers in a row are the same however they are set apart.

    "32, 64, 160, 256", "32-64-160-256" and "32 x 64 x 160 x 256" say one thing.
    """
    visible = "".join(one for one in text if one.isprintable())
    if _NUMBERS.fullmatch(visible):
        return tuple(str(int(one)) for one in _DIGITS.findall(visible))
    return (" ".join(visible.split()),)


def _explain(verdict: Verdict, bound: Bound, evidence: Evidence) -> str:
    assert evidence.value is not None  # noqa: S101  (only called with a value)
    how = {Basis.MEASURED: "measured", Basis.SOURCED: "published", Basis.DERIVED: "computed"}
    if not _alike(bound, evidence.value):
        return (
            f"{how[evidence.basis]} {show(evidence.value)}, of another kind than {allowed(bound)}"
        )
    if isinstance(bound, Boolean):
        claimed = "as claimed" if verdict is Verdict.CONFIRMED else "not as claimed"
        return f"{how[evidence.basis]}: {claimed}{f': {evidence.note}' if evidence.note else ''}"
    found = f"{how[evidence.basis]} {show(evidence.value, evidence.interval)}"
    relation = {
        Verdict.CONFIRMED: "which is",
        Verdict.REFUTED: "which is not",
        Verdict.INCONCLUSIVE: "which may or may not be",
    }[verdict]
    return f"{found}, {relation} {allowed(bound)}{_conditions(evidence)}"


def _alike(bound: Bound, value: Value) -> bool:
    """Whether a bound and a value are of one kind, and of one unit."""
    if isinstance(bound, Text | Boolean):
        return type(bound.value) is type(value.content)
    return value.number is not None and value.unit == bound.unit


def allowed(bound: Bound) -> str:
    """What a bound allows, in words."""
    if isinstance(bound, Text):
        return f'"{bound.value}"'
    if isinstance(bound, Boolean):
        return "as claimed" if bound.value else "not as claimed"
    unit = _unit(bound.unit)
    if isinstance(bound, Equals):
        give = f" give or take {_number(bound.tolerance)}" if bound.tolerance else ""
        return f"{_number(bound.value)}{give}{unit}"
    low, high = ends(bound)
    if math.isinf(low):
        return f"at most {_number(high)}{unit}"
    if math.isinf(high):
        return f"at least {_number(low)}{unit}"
    return f"{_number(low)} to {_number(high)}{unit}"


def show(value: Value, interval: Interval | None = None) -> str:
    """Show a value to a reader, with its interval when it has one that is wider than a point."""
    content = value.content
    if isinstance(content, bool):
        return "yes" if content else "no"
    if isinstance(content, str):
        return f'"{content}"'
    text = _number(content)
    if interval is not None and interval.low <= 0 and math.isinf(interval.high):
        text += " (from nothing to anything)"
    elif interval is not None and math.isinf(interval.low) != math.isinf(interval.high):
        end = f"most {_number(interval.high)}"
        if math.isinf(interval.high):
            end = f"least {_number(interval.low)}"
        text += f" (at {end})"
    elif interval is not None and interval.low < interval.high:
        text += f" (from {_number(interval.low)} to {_number(interval.high)})"
    return text + _unit(value.unit)


def _number(number: float) -> str:
    """A number as it is read: whole ones in full, others to four figures that count."""
    if math.isinf(number):
        return "any"
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.4g}"


def _unit(unit: str) -> str:
    return "" if unit in ("", "1") else f" {unit}"


def _joined(reason: str, claim: Claim) -> str:
    """Return the reason, and what would make the claim testable."""
    return f"{reason}; testable with {claim.needs}" if claim.needs else reason


def _and(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second
