"""All that is stored about artifacts, put together: evidence, verdicts, matches."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from services.ranker.claims.model import Artifact, ClaimVerdict, Evidence, Page
from services.ranker.claims.verdict import judge_stored
from services.ranker.database.evidence_store import Store
from services.ranker.database.match_store import MatchStore, total
from services.ranker.methodology.score import ArtifactRecord, Outcomes

_log = structlog.get_logger(__name__)


class Records:
    """Reads what is stored, in two looks at the database however many artifacts are asked for.

    Every method raises `Unavailable` when the database cannot be read now.
    """

    def __init__(self, store: Store, matches: MatchStore) -> None:
        self._store = store
        self._matches = matches

    async def of(self, artifacts: Sequence[Artifact]) -> tuple[ArtifactRecord, ...]:
        """The record of each artifact, in their order."""
        records, _ = await self.with_page(artifacts, None)
        return records

    async def with_page(
        self, artifacts: Sequence[Artifact], page: Page | None
    ) -> tuple[tuple[ArtifactRecord, ...], tuple[ClaimVerdict, ...]]:
        """The record of each artifact, and the verdicts on the claims about a page, if any."""
        judged = await self._judged([*artifacts, page] if page else artifacts)
        counts = await self._matches.counts([one.id for one in artifacts])
        totals = [total(counts[one.id]) for one in artifacts]
        records = tuple(
            ArtifactRecord(
                artifact, evidence, verdicts, Outcomes(one.reported, one.succeeded), one.matched
            )
            for artifact, (evidence, verdicts), one in zip(artifacts, judged, totals, strict=False)
        )
        return records, judged[-1][1] if page else ()

    async def _judged(
        self, subjects: Sequence[Artifact | Page]
    ) -> list[tuple[tuple[Evidence, ...], tuple[ClaimVerdict, ...]]]:
        """The evidence on each subject's claims, and their verdicts by it."""
        evidence, refused = await self._store.about(
            claim.id for subject in subjects for claim in subject.claims
        )
        for refusal in refused:
            _log.error("evidence refused", claim=refusal.claim, problem=refusal.problem)
        damaged = frozenset(refusal.claim for refusal in refused)
        found = []
        for subject in subjects:
            claims = {claim.id for claim in subject.claims}
            own = tuple(one for one in evidence if one.claim in claims)
            found.append((own, judge_stored(subject.claims, own, damaged)))
        return found
