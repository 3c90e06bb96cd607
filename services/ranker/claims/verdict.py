"""A claim and its evidence -> a verdict.

Pure, and a function of these alone, so that stored evidence gives the same verdict whenever it is
read.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from typing import TypeGuard

from services.common.counts import with_unit
from services.common.percent import percent
from services.ranker.claims.bounds import (
    Boolean,
    Bound,
    Interval,
    Text,
    Value,
    ends,
    is_said,
    numbers_in,
)
from services.ranker.claims.choosing import (
    MIN_LEVEL,
    choose,
    decides,
    elsewhere,
    fits,
    outdated,
    sample_beside,
    unmeasured,
)
from services.ranker.claims.evidence import UNIDENTIFIED, why_not
from services.ranker.claims.findings import ClaimVerdict, Evidence, NotMeasured
from services.ranker.claims.hardware import names_device
from services.ranker.claims.identity import hardware_class
from services.ranker.claims.model import Aspect, Basis, Claim, SubjectRelation, Verdict
from services.ranker.claims.sourcing import CITES, alternatives, confirms, sourcing
from services.ranker.claims.wording import allowed, figure, show

_STAND_IN = {
    SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS: "the same architecture with random weights",
    SubjectRelation.SAMPLE: "a sample, not drawn at random,",
    SubjectRelation.PROXY: "a substitute",
}


def judge(
    claim: Claim, evidence: Evidence | None, unobserved: NotMeasured | None = None
) -> ClaimVerdict:
    """Return the verdict on `claim` that `evidence` allows.

    `unobserved` says why nothing was measured, or nothing that decides, if known.
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

    Without evidence, the reason says why there is none and how to get some; `damaged` are the ids
    of claims whose evidence was refused.
    """
    by_claim: dict[str, list[Evidence]] = {}
    for one in evidence:
        by_claim.setdefault(one.claim, []).append(one)
    return tuple(_judge_stored(one, by_claim.get(one.id, []), damaged) for one in claims)


def _judge_stored(claim: Claim, evidence: list[Evidence], damaged: Container[str]) -> ClaimVerdict:
    if not evidence:
        why = (
            "what is stored of it is damaged and was refused; verify it again"
            if claim.id in damaged
            else "it has not been verified yet"
        )
        hint = f"assay claims {claim.owner} --claim {claim.id}"
        return judge(claim, None, unobserved=NotMeasured(f"{why}: {hint}"))
    chosen = choose(claim, evidence)
    verdict = judge(claim, chosen, unobserved=unmeasured(claim, evidence, chosen))
    return replace(verdict, sample=sample_beside(claim, evidence, chosen))


def _not_measured(evidence: Evidence | None, unobserved: NotMeasured | None) -> NotMeasured | None:
    if evidence is None:  # it was never verified
        return None
    return unobserved or (why_not(evidence) if evidence.value is None else None)


def _judge(claim: Claim, evidence: Evidence | None, unobserved: str) -> tuple[Verdict, str]:
    if claim.undecidable is not None:
        reason = claim.undecidable.reason
        note = evidence.note if evidence is not None and evidence.value is None else ""
        why = evidence is not None and (unobserved or note)
        if why:
            reason += f" (not measured: {why})"
        return claim.undecidable.verdict, reason
    if evidence is None or evidence.value is None:
        known = "there is no evidence yet" if evidence is None else evidence.note
        return Verdict.NOT_TESTABLE_HERE, _joined(unobserved or known, claim)
    old = outdated(claim, evidence)
    if not old and fits(claim, evidence) and _leaves_open_what_decides(claim):
        return Verdict.UNDERSPECIFIED, _underspecified(claim, evidence, unobserved)
    if old or not (decides(evidence.relation, claim) and fits(claim, evidence)):
        return Verdict.NOT_TESTABLE_HERE, _joined(_and(unobserved, _seen(claim, evidence)), claim)
    if claim.bound is None:  # of an older manifest; a bound is due or `undecidable`
        return Verdict.UNDERSPECIFIED, "the claim does not say what would make it true"
    if evidence.method.startswith(CITES):
        verdict, reason = _cited(claim, claim.bound, evidence)
    else:
        verdict = _compare(claim.bound, evidence.value, evidence.interval)
        reason = _explain(verdict, claim.bound, evidence)
    return verdict, f"{reason} (not measured: {unobserved})" if unobserved else reason


def _cited(claim: Claim, bound: Bound, evidence: Evidence) -> tuple[Verdict, str]:
    """The verdict of a citation: if it is the claim's own, only that the claim repeats it."""
    assert evidence.value is not None  # noqa: S101  (only called with a value)
    titles = ", ".join(dict.fromkeys(one.title for one in evidence.sources))
    printed = alternatives(evidence.sources, evidence.value.unit)
    shown = _or(printed, evidence.value) if printed else show(evidence.value)
    differing = _where_they_differ(evidence)
    if claim.declared:
        quoted = differing or f"{shown} from {titles}"
        reason = f"the manifest quotes {quoted}, which has not been checked here"
        return Verdict.NOT_TESTABLE_HERE, _joined(reason, claim)
    if printed:
        held = [_compare(bound, Value(one, evidence.value.unit), None) for one in printed]
        verdict = held[0] if len(set(held)) == 1 else Verdict.UNDERSPECIFIED
        which = {
            Verdict.CONFIRMED: f"each matches the claimed {allowed(bound)}",
            Verdict.REFUTED: f"none matches the claimed {allowed(bound)}",
        }.get(verdict, f"the claim does not say which; claimed {allowed(bound)}")
        reason = f"published {shown}; {which}"
    elif differing:
        said = {one.says for one in evidence.sources if isinstance(one.says, str | bool)}
        found = {_compare(bound, Value(one), None) for one in said}
        verdict = found.pop() if len(found) == 1 else Verdict.UNDERSPECIFIED
        reason = f"published {differing}; claimed {allowed(bound)}"
    else:
        verdict = _compare(bound, evidence.value, evidence.interval)
        reason = _explain(verdict, bound, evidence)
    if verdict is Verdict.CONFIRMED and not confirms(claim):
        reason = f"{shown} is what {titles} says of its own work, and no figure confirms itself"
        return Verdict.NOT_TESTABLE_HERE, _joined(reason, claim)
    return verdict, reason


def _where_they_differ(evidence: Evidence) -> str:
    """What each source says, where they say different texts or truths; empty if they agree."""
    titles: dict[str | bool, list[str]] = {}
    for one in evidence.sources:
        if isinstance(one.says, str | bool):
            titles.setdefault(one.says, []).append(one.title)
    if len(titles) < 2:
        return ""
    said = (f"{show(Value(one))} from {', '.join(named)}" for one, named in titles.items())
    return " and ".join(said)


def _or(numbers: Sequence[float], value: Value) -> str:
    *first, last = map(figure, numbers)
    return with_unit(f"{', '.join(first)} or {last}", value.unit)


def _leaves_open_what_decides(claim: Claim) -> bool:
    """Whether a claim about speed names neither hardware nor engine. "A CPU" means any."""
    named = names_device(claim.hardware) or claim.engine
    return claim.machine and claim.aspect is Aspect.SPEED and not named


def _underspecified(claim: Claim, evidence: Evidence, unobserved: str) -> str:
    assert evidence.value is not None  # noqa: S101  (only called with a value)
    reason = "it depends on the hardware and on the engine, and the claim names neither"
    if claim.hardware:
        reason += f", for {claim.hardware!r} may be any"
    if evidence.basis is not Basis.MEASURED:
        known = f"{show(evidence.value, evidence.interval)} is published for other hardware"
        return f"{reason}; {known}{f' (not measured: {unobserved})' if unobserved else ''}"
    here = hardware_class(evidence.environment)
    unit = evidence.breakdown_unit
    timed = evidence.breakdown.items()
    figures = [f"{with_unit(figure(one), unit)} with {name}" for name, one in timed]
    found = ", ".join(figures) or show(evidence.value, evidence.interval)
    return f"{reason}; on {here or 'this machine'} it is {found}{_conditions(evidence)}"


def _conditions(evidence: Evidence) -> str:
    return f" ({evidence.conditions})" if evidence.conditions else ""


def _seen(claim: Claim, evidence: Evidence) -> str:
    """What is shown of other evidence, if none that decides is known."""
    assert evidence.value is not None  # noqa: S101  (only called with a value)
    if outdated(claim, evidence):
        return _of_before(claim, evidence)
    if other := elsewhere(claim, evidence):
        return f"it was measured with {other}: {show(evidence.value, evidence.interval)}"
    if evidence.relation is SubjectRelation.NAMED:
        return _unidentified(evidence)
    if evidence.basis is Basis.MEASURED:
        found = f"{show(evidence.value, evidence.interval)}{_conditions(evidence)}"
        return f"only {_STAND_IN[evidence.relation]} was observed: {found}"
    thing = "other hardware" if claim.aspect is Aspect.SPEED else "something else"
    return f"only a published figure for {thing} is known: {show(evidence.value)}"


def _of_before(claim: Claim, evidence: Evidence) -> str:
    """Describe the result of another version of the method, and how to get one of this version."""
    assert evidence.value is not None  # noqa: S101  (only called with a value)
    found = show(evidence.value, evidence.interval)
    return (
        f"only {found} by {evidence.method} is known, which {claim.method} computes another way; "
        f"verify it again: assay claims {claim.owner} --claim {claim.id}"
    )


def _unidentified(evidence: Evidence) -> str:
    """Say what was measured, and which digests would show that the claim is about it."""
    assert evidence.value is not None  # noqa: S101  (only called with a value)
    listed = evidence.subject.get(UNIDENTIFIED)
    names = [str(one) for one in listed] if isinstance(listed, list) else []
    served = " and ".join(one.partition(" ")[0] for one in names)
    found = show(evidence.value, evidence.interval)
    return (
        f"what is served as {served} gave {found}{_conditions(evidence)}, and a name does not show "
        f"that it is what the claim is about: state the digest of {' and of '.join(names)}"
    )


def _compare(bound: Bound, value: Value, interval: Interval | None) -> Verdict:
    """Wholly inside is CONFIRMED, wholly outside REFUTED, else INCONCLUSIVE."""
    if not _alike(bound, value):  # a value of another kind refutes nothing
        return Verdict.INCONCLUSIVE
    if isinstance(bound, Text | Boolean):
        return _said(bound, value)
    number = value.number
    assert number is not None  # noqa: S101  (it is of one kind with the bound)
    if _unsure(interval):
        return Verdict.INCONCLUSIVE
    low, high = ends(bound)
    least, most = (number, number) if interval is None else (interval.low, interval.high)
    if low <= least and most <= high:
        return Verdict.CONFIRMED
    if most < low or least > high:
        return Verdict.REFUTED
    return Verdict.INCONCLUSIVE


def _unsure(interval: Interval | None) -> TypeGuard[Interval]:
    return interval is not None and 0 < interval.level < MIN_LEVEL


def _said(bound: Text | Boolean, value: Value) -> Verdict:
    """The verdict on a text. Numbers in another order, such as classes last, decide nothing."""
    if is_said(bound, value.content):
        return Verdict.CONFIRMED
    claimed, found = numbers_in(str(bound.value)), numbers_in(str(value.content))
    reordered = bool(claimed) and sorted(claimed) == sorted(found)
    return Verdict.INCONCLUSIVE if reordered else Verdict.REFUTED


def _explain(verdict: Verdict, bound: Bound, evidence: Evidence) -> str:
    assert evidence.value is not None  # noqa: S101  (only called with a value)
    how = {Basis.MEASURED: "measured", Basis.SOURCED: "published", Basis.DERIVED: "computed"}
    if not _alike(bound, evidence.value):
        return (
            f"{how[evidence.basis]} {show(evidence.value)}, of another kind than {allowed(bound)}"
        )
    if isinstance(bound, Boolean):
        held = verdict is Verdict.CONFIRMED
        if evidence.basis is Basis.SOURCED:
            said = "sources agree" if held else "sources contradict it"
        else:
            said = f"{how[evidence.basis]}: it {'holds' if held else 'does not hold'}"
        return _and_note(said, evidence.note)
    found = f"{how[evidence.basis]} {show(evidence.value, evidence.interval)}"
    if _unsure(evidence.interval):
        sure = f"{percent(evidence.interval.level, 1)} sure, {percent(MIN_LEVEL)} is needed"
        return f"{found}, {sure}; claimed {allowed(bound)}{_conditions(evidence)}"
    relation = {
        Verdict.CONFIRMED: "matches the claimed",
        Verdict.REFUTED: "claimed",
        Verdict.INCONCLUSIVE: "the same in another order is the claimed"
        if isinstance(bound, Text)
        else "overlaps the claimed",
    }[verdict]
    return f"{found}; {relation} {allowed(bound)}{_conditions(evidence)}"


def _and_note(said: str, note: str) -> str:
    return f"{said}: {note}" if note else said


def _alike(bound: Bound, value: Value) -> bool:
    """Whether a bound and a value are of the same kind and unit."""
    if isinstance(bound, Text | Boolean):
        return type(bound.value) is type(value.content)
    return value.number is not None and value.unit == bound.unit


def _joined(reason: str, claim: Claim) -> str:
    """Return the reason, and what would make the claim testable."""
    return f"{reason}; needed to test it: {claim.needs}" if claim.needs else reason


def _and(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second
