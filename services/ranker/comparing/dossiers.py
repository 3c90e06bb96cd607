"""All that is known of artifacts, put together from the database: evidence, verdicts, matches."""

from __future__ import annotations

from dataclasses import replace

import structlog

from services.ranker.claims.model import Artifact, Claim, ClaimVerdict, Evidence, Page
from services.ranker.claims.verdict import choose, judge, sample_beside, unmeasured
from services.ranker.database.evidence_store import Refusal, Store
from services.ranker.database.match_store import MatchStore, total
from services.ranker.methodology.components import Outcomes
from services.ranker.methodology.score import Dossier

_log = structlog.get_logger(__name__)


class Dossiers:
    """Reads what is known.

    Every method raises `Unavailable` when the database cannot be read now.
    """

    def __init__(self, store: Store, matches: MatchStore) -> None:
        self._store = store
        self._matches = matches

    async def of(self, artifact: Artifact) -> Dossier:
        """All that is known of an artifact."""
        evidence, verdicts = await self.judged(artifact)
        counts = total(await self._matches.counts(artifact.id))
        return Dossier(
            artifact,
            evidence,
            verdicts,
            Outcomes(counts.reported, counts.succeeded),
            counts.matched,
        )

    async def judged(
        self, subject: Artifact | Page
    ) -> tuple[tuple[Evidence, ...], tuple[ClaimVerdict, ...]]:
        """The evidence on a subject's claims, and their verdicts by it."""
        evidence, refused = await self._store.about(claim.id for claim in subject.claims)
        for refusal in refused:
            _log.error("evidence refused", claim=refusal.claim, problem=refusal.problem)
        verdicts = tuple(
            _from_store(
                claim,
                [one for one in evidence if one.claim == claim.id],
                [one for one in refused if one.claim == claim.id],
            )
            for claim in subject.claims
        )
        return evidence, verdicts


def _from_store(claim: Claim, evidence: list[Evidence], refused: list[Refusal]) -> ClaimVerdict:
    """The verdict that stored evidence allows; without any, why not and how to get some."""
    chosen = choose(claim, evidence)
    unobserved = unmeasured(evidence, chosen)
    if not evidence:
        why = (
            "what is stored of it is damaged and was refused; verify it again"
            if refused
            else "it has not been verified yet"
        )
        unobserved = f"{why}: assay claims {claim.artifact} --claim {claim.id}"
    verdict = judge(claim, chosen, unobserved=unobserved)
    return replace(verdict, sample=sample_beside(evidence, chosen))
