"""Verdicts -> how far a page's statements about an artifact can be believed. Pure.

It counts facts, not claims, and the author does not choose the facts: a fact is what a method
observes of a subject, so thirty claims about one count once. A fact that a guess would get right,
one that depends on the machine, and statements about other artifacts say nothing about the author.
The figure judges the page, so it stands beside the score and is not part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.common.statistics import reliability as facts
from services.common.statistics.reliability import FactClaim, Outcome
from services.ranker.claims.bounds import Interval, Ratio
from services.ranker.claims.findings import ClaimVerdict
from services.ranker.claims.model import Aspect, Claim, Verdict

_OUTCOMES = {Verdict.CONFIRMED: Outcome.CONFIRMED, Verdict.REFUTED: Outcome.REFUTED}
_CITED = "sources.cite"


@dataclass(frozen=True)
class PageReliability:
    """A posterior of the share of statements that are known rather than guessed.

    `mean` and `interval` rest on the facts that were decided, and are None without any that says
    something; `bounds` are the means if every undecided fact were refuted, and if every one were
    confirmed. `trivial` counts confirmed facts that a guess would have got right, and `left_out`
    claims that depend on the machine or are about other artifacts. `page` is empty for the
    artifact's own card.
    """

    mean: float | None
    interval: Interval | None
    confirmed: int
    refuted: int
    undecided: int
    bounds: Interval
    trivial: int = 0
    left_out: int = 0
    page: str = ""


def reliability(verdicts: Iterable[ClaimVerdict], page: str = "") -> PageReliability:
    """How far a page can be believed.

    A fact is refuted when any claim about it is, confirmed when one is and none is refuted, and
    undecided otherwise.
    """
    every = list(verdicts)
    counted = [one for one in every if _counts(one.claim)]
    by_fact: dict[str, list[ClaimVerdict]] = {}
    for one in counted:
        by_fact.setdefault(_fact(one), []).append(one)
    known = [_of_fact(name, found) for name, found in by_fact.items()]
    found = facts.reliability(known)
    return PageReliability(
        mean=found.mean,
        interval=None if found.mean is None else Interval.of(found.interval),
        confirmed=found.confirmed,
        refuted=found.refuted,
        undecided=found.undecided,
        bounds=Interval(
            0.0 if found.worst is None else found.worst, 1.0 if found.best is None else found.best
        ),
        trivial=sum(
            one.outcome is Outcome.CONFIRMED and one.guess > facts.TRIVIAL_ABOVE for one in known
        ),
        left_out=len(every) - len(counted),
        page=page,
    )


def _counts(claim: Claim) -> bool:
    """Whether a claim is about this artifact, wherever it runs."""
    on_a_machine = claim.machine or claim.aspect is Aspect.SPEED
    # A ratio to a comparator is about both; anything else about a comparator is about it alone.
    of_another = bool(claim.comparator) and not isinstance(claim.bound, Ratio)
    return not (on_a_machine or of_another)


def _fact(verdict: ClaimVerdict) -> str:
    """What a claim is about: its method's fact and subject, or else where its figure is printed.

    A claim that nothing observes has its group alone to say what it is about.
    """
    claim, evidence = verdict.claim, verdict.evidence
    if _cited(claim) and evidence is not None and evidence.value is not None:
        value = evidence.value
        printed = sorted({f"{one.title}, {one.locator}" for one in evidence.sources})
        return f"{value.content!r} {value.unit} in {'; '.join(printed)}"
    method = "" if _cited(claim) else claim.method.partition("@")[0]
    return f"{claim.group or claim.id} by {method or 'nothing'} of {claim.artifact}"


def _cited(claim: Claim) -> bool:
    return claim.method.partition("@")[0] == _CITED


def _of_fact(name: str, verdicts: Sequence[ClaimVerdict]) -> FactClaim:
    """A fact with the hardest to guess of the claims that decide it."""
    by_outcome: dict[Outcome, list[float]] = {}
    for one in verdicts:
        outcome = _OUTCOMES.get(one.verdict, Outcome.UNDECIDED)
        by_outcome.setdefault(outcome, []).append(one.claim.guess)
    order = (Outcome.REFUTED, Outcome.CONFIRMED, Outcome.UNDECIDED)
    outcome = next(one for one in order if one in by_outcome)
    # What is cited is of one aspect, for its aspect would be the author's to say.
    cited = all(_cited(one.claim) or not one.claim.method for one in verdicts)
    aspect = _CITED if cited else min(one.claim.aspect.value for one in verdicts)
    return FactClaim(name, aspect, min(by_outcome[outcome]), outcome)
