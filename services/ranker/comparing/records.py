"""Everything stored about artifacts, combined: evidence, verdicts, matches."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from services.common.statistics.outcomes import Reports
from services.errors import NotFound
from services.ranker.claims.choosing import applies, outdated
from services.ranker.claims.evidence import EvidenceError
from services.ranker.claims.findings import ClaimVerdict, Evidence, PageVerdicts
from services.ranker.claims.model import Artifact, Claim, Page, reference
from services.ranker.claims.registry import Registry
from services.ranker.claims.verdict import judge_stored
from services.ranker.database.evidence_store import EvidenceStore
from services.ranker.database.match_store import MatchCounts, MatchStore, total
from services.ranker.methodology.score import ArtifactRecord, Outcomes

_log = structlog.get_logger(__name__)


class Records:
    """Reads stored data, with two reads of the database for any number of artifacts.

    Every method raises `Unavailable` if the database cannot be read now.
    """

    def __init__(self, registry: Registry, store: EvidenceStore, matches: MatchStore) -> None:
        self._registry = registry
        self._store = store
        self._matches = matches

    async def of(self, artifacts: Sequence[Artifact]) -> tuple[ArtifactRecord, ...]:
        """The record of each artifact, in the given order."""
        records, _ = await self.with_pages(artifacts, ())
        return records

    async def with_pages(
        self, artifacts: Sequence[Artifact], pages: Sequence[Page]
    ) -> tuple[tuple[ArtifactRecord, ...], tuple[PageVerdicts, ...]]:
        """The record of each artifact, and each page with the verdicts on its claims."""
        judged = await self._judged([*artifacts, *pages])
        counts = await self._matches.counts([one.id for one in artifacts])
        totals = [total(counts[one.id].values()) for one in artifacts]
        records = tuple(
            ArtifactRecord(artifact, evidence, verdicts, _outcomes(one), one.matched)
            for artifact, (evidence, verdicts), one in zip(artifacts, judged, totals, strict=False)
        )
        of_pages = (verdicts for _, verdicts in judged[len(artifacts) :])
        return records, tuple(map(PageVerdicts, pages, of_pages))

    async def about(self, claim: Claim) -> tuple[Evidence, ...]:
        """All usable evidence on a claim, in the order in which it was stored."""
        evidence, _ = await self._store.about(self._registry.stored_names(claim))
        return evidence

    async def evidence(self, digest: str) -> tuple[Evidence, str]:
        """A piece of evidence by its digest, and the owner of its claim. Raises `NotFound`."""
        try:
            found = await self._store.get(digest)
        except EvidenceError as error:
            _log.error("evidence refused", digest=digest, problem=str(error))
            hint = "what is stored under it is damaged and was refused"
            raise NotFound("evidence", digest, None, hint=hint) from error
        if found is None:
            raise NotFound("evidence", digest, None)
        claims = self._registry.claims.values()
        owners = [one.owner for one in claims if found.claim in self._registry.stored_names(one)]
        return found, found.owner or next(iter(owners), "")

    async def _judged(
        self, subjects: Sequence[Artifact | Page]
    ) -> list[tuple[tuple[Evidence, ...], tuple[ClaimVerdict, ...]]]:
        """The evidence on each subject's claims that is read, and the verdicts from all of it."""
        names = [
            name
            for one in subjects
            for claim in one.claims
            for name in self._registry.stored_names(claim)
        ]
        evidence, refused = await self._store.about(names)
        for refusal in refused:
            _log.error("evidence refused", claim=refusal.claim, problem=refusal.problem)
        damaged = frozenset(refusal.claim for refusal in refused)
        found = []
        for subject in subjects:
            claims = {
                name: claim
                for claim in subject.claims
                for name in self._registry.stored_names(claim)
            }
            own = tuple(
                one
                for one in evidence
                if (claim := claims.get(reference(one.owner, one.claim))) and applies(claim, one)
            )
            refused_ids = {claim.id for name, claim in claims.items() if name in damaged}
            current = tuple(
                one for one in own if not outdated(claims[reference(one.owner, one.claim)], one)
            )
            found.append((current, judge_stored(subject.claims, own, refused_ids)))
        return found


def _outcomes(counts: MatchCounts) -> Outcomes:
    return Outcomes(
        {name: Reports(*said) for name, said in counts.operators.items()},
        counts.reported,
        counts.succeeded,
        counts.anonymous,
    )
