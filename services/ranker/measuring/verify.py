"""Verifies claims: states the cost, then observes, stores and judges, one claim at a time.

Only one verification runs at a time, since two would disturb each other's timings. Claims that need
no measuring come first; methods that need the same measurement share it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from services.errors import InvalidArgument, NotFound, Unavailable
from services.ranker.claims.choosing import BESIDE, applies, choose, decides, sample_beside
from services.ranker.claims.evidence import EvidenceError, Observation, nothing, seal
from services.ranker.claims.facts import Facts
from services.ranker.claims.findings import ClaimVerdict, Evidence, NotMeasured, UnmeasuredReason
from services.ranker.claims.model import Artifact, Claim, Cost, Page, SubjectRelation
from services.ranker.claims.registry import Registry
from services.ranker.claims.verdict import judge
from services.ranker.database.evidence_store import EvidenceStore
from services.ranker.measuring.changes import change
from services.ranker.measuring.labelled_images import LabelledImage
from services.ranker.measuring.measurements import Budget, Measurements
from services.ranker.measuring.methods import Measurement, Method, method_named
from services.ranker.measuring.reproduction import command
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import CorpusPeer, SegmentPeer

_CITE = "sources.cite@1"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class VerificationPlan:
    """What a verification will do: claims in order, and the seconds that it may take."""

    claims: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class VerificationProgress:
    """A claim is being observed; `done` of `total` are decided."""

    claim: str
    step: str
    done: int
    total: int


VerificationUpdate = VerificationPlan | VerificationProgress | ClaimVerdict


class Verifier:
    """Runs verifications, one at a time."""

    def __init__(
        self,
        registry: Registry,
        facts: Facts,
        store: EvidenceStore,
        *,
        segment: SegmentPeer,
        corpus: CorpusPeer,
        pictures: Sequence[LabelledImage] = (),
        alone: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`alone` keeps other rankers of the same services from measuring while it is entered."""
        self._registry = registry
        self._facts = facts
        self._store = store
        self._segment = segment
        self._corpus = corpus
        self._pictures = pictures
        self._alone = alone
        self._now = now
        self._busy = asyncio.Lock()

    def plan(self, subject: str, claims: Iterable[str], budget: Budget) -> VerificationPlan:
        """The work and cost of a verification; does nothing else.

        Raises `NotFound` and `InvalidArgument`.
        """
        chosen = _in_order(_chosen(self._registry.subject(subject), tuple(claims)))
        return VerificationPlan(tuple(claim.id for claim in chosen), self._estimate(chosen, budget))

    async def verify(
        self, subject: str, claims: Iterable[str], budget: Budget
    ) -> AsyncGenerator[VerificationUpdate, None]:
        """Yield the plan, then each claim's progress and verdict. `claims` empty means all.

        Closing the iterator ends the work; stored evidence stays. A verdict whose evidence cannot
        be stored is returned anyway, and says so. Waits while another verification runs. Raises
        `NotFound` and `InvalidArgument` before anything is measured.
        """
        chosen = _in_order(_chosen(self._registry.subject(subject), tuple(claims)))
        seconds = self._estimate(chosen, budget)
        async with self._busy, self._alone():
            yield VerificationPlan(tuple(claim.id for claim in chosen), seconds)
            measurements = Measurements(
                self._registry,
                self._facts,
                self._segment,
                self._corpus,
                budget,
                pictures=self._pictures,
                earlier=self._earlier,
            )
            told = False
            for done, claim in enumerate(chosen):
                yield VerificationProgress(claim.id, _step(claim), done, len(chosen))
                earlier = await self._earlier(claim)
                before = choose(claim, earlier)
                was = replace(judge(claim, before), sample=sample_beside(claim, earlier, before))
                verdict, found = await self._verify_one(claim, measurements, budget, earlier)
                verdict = replace(verdict, change=change(was, verdict))
                problem = await self._keep(found)
                if problem:
                    verdict = replace(verdict, reason=f"{verdict.reason} (not kept: {problem})")
                    if not told:
                        _log.error("evidence not kept", claim=claim.id, problem=problem)
                        told = True
                yield verdict

    def _estimate(self, claims: Iterable[Claim], budget: Budget) -> float:
        return estimate(claims, budget, pictures=bool(self._pictures))

    async def _earlier(self, claim: Claim) -> Sequence[Evidence]:
        """Stored evidence on a claim; nothing if it cannot be read now."""
        try:
            evidence, _ = await self._store.about(self._registry.stored_names(claim))
        except Unavailable:
            return ()
        return tuple(one for one in evidence if applies(claim, one))

    async def _keep(self, found: Iterable[Evidence]) -> str:
        """Store the evidence; return why it could not be stored, or nothing."""
        try:
            for evidence in found:
                await self._store.append(evidence)
        except Unavailable as error:
            return str(error)
        return ""

    async def _verify_one(
        self,
        claim: Claim,
        measurements: Measurements,
        budget: Budget,
        earlier: Sequence[Evidence],
    ) -> tuple[ClaimVerdict, tuple[Evidence, ...]]:
        """Return the verdict, and all evidence to store.

        The verdict rests on the best of the new evidence and `earlier`, as in every later reading.
        """
        if not claim.method:
            return judge(claim, None), ()
        observation, method, unmeasured, sample = await _observe(claim, measurements)
        now = self._now()

        def sealed(observed: Observation, method: str) -> Evidence:
            words = command(
                claim,
                observed,
                full=budget is Budget.FULL,
                packaged=self._registry.is_packaged(claim),
            )
            return seal(
                observed,
                claim=claim.id,
                owner=claim.owner,
                claimed=claim.configuration,
                method=method,
                command=words,
                time=now,
            )

        try:
            found = [sealed(observation, method)] if observation else []
            beside = sealed(sample, claim.method) if sample else None
            if beside:
                found.append(beside)
            if unmeasured:
                found.append(sealed(nothing(unmeasured), claim.method))
        except EvidenceError as error:
            refused = NotMeasured(f"what was observed is refused: {error}", UnmeasuredReason.FAILED)
            return judge(claim, None, refused), ()
        chosen = choose(claim, (*earlier, *found)) or found[0]
        if chosen not in found:  # earlier evidence is better than the new
            return replace(judge(claim, chosen), not_measured=unmeasured), tuple(found)
        return replace(judge(claim, found[0], unmeasured), sample=beside), tuple(found)


async def _observe(
    claim: Claim, measurements: Measurements
) -> tuple[Observation | None, str, NotMeasured | None, Observation | None]:
    """Observe a claim by its method or, if that cannot decide, by what is published.

    Returns the observation, the name of the method that made it, why the claim's own method decided
    nothing, and its result on a sample if the publication decides.
    """
    observation, problem = None, None
    try:
        observation = await method_named(claim.method).observe(claim, measurements)
    except UnobservableError as error:
        problem = error.told
    if observation is not None and decides(observation.relation, claim):
        return observation, claim.method, None, None
    published = measurements.published(claim)
    named = observation is not None and observation.relation is SubjectRelation.NAMED
    if published is not None and published.declared and named:
        published = None  # a quotation decides nothing either, and says less
    if published is not None and (observation is None or decides(published.relation, claim)):
        sampled = observation is not None and observation.relation in BESIDE
        return published, _CITE, problem, observation if sampled else None
    return observation, claim.method, problem, None


def _chosen(subject: Artifact | Page, claims: tuple[str, ...]) -> tuple[Claim, ...]:
    by_id = {claim.id: claim for claim in subject.claims}
    for name in claims:
        if name not in by_id:
            raise NotFound(f"claim of {subject.id}", name, by_id)
    if len(set(claims)) < len(claims):
        raise InvalidArgument("claims", "a claim is named twice; name each once")
    return tuple(by_id[name] for name in claims) if claims else subject.claims


def _method(claim: Claim) -> Method | None:
    return method_named(claim.method) if claim.method else None


def _measurement(claim: Claim) -> Measurement:
    method = _method(claim)
    return method.measurement if method else Measurement.NONE


def _in_order(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Free claims first, then claims of one measurement together; otherwise as registered."""
    order = list(Measurement)
    return tuple(sorted(claims, key=lambda claim: order.index(_measurement(claim))))


# Cost of a claim whose manifest states none. A claim that cannot be measured here takes moments.
_USUAL = {
    Measurement.SINGLE_STREAM: Cost(quick=45, full=240),
    Measurement.OFFLINE: Cost(quick=90, full=450),
    Measurement.ACCURACY: Cost(quick=30, full=3600),
    Measurement.CORPUS_AUDIT: Cost(quick=5, full=120),
    Measurement.STORAGE: Cost(quick=30, full=150),
    Measurement.BITS_PER_BYTE: Cost(quick=60, full=240),
    Measurement.TOKENS_PER_SECOND: Cost(quick=60, full=150),
}


def estimate(claims: Iterable[Claim], budget: Budget, *, pictures: bool) -> float:
    """Seconds that observing the claims may take; a shared measurement counts once.

    Without labelled `pictures`, no accuracy is measured or counted.
    """
    costs: dict[Measurement, float] = {}
    for claim in claims:
        kind = _measurement(claim)
        if kind is Measurement.ACCURACY and not pictures:
            continue
        stated = claim.cost if claim.cost.full else _USUAL.get(kind, claim.cost)
        cost = stated.full if budget is Budget.FULL else stated.quick
        costs[kind] = max(costs.get(kind, 0.0), cost)
    return sum(costs.values())


def _step(claim: Claim) -> str:
    kind = _measurement(claim)
    return "looking up" if kind is Measurement.NONE else f"observing {kind.value}"
