"""Comparisons as callers get them: evidence from the store, the answer from the cache if need be.

Reads evidence and makes none, so the key of the answer does not change while it is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import structlog
from assay.ranker.v1 import ranker_pb2 as pb

from services.ranker import compare_reply
from services.ranker.cache import Cache
from services.ranker.compare import canonical, compare, key, parse_day
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.score import Dossier
from services.ranker.model import Artifact, Claim, ClaimVerdict, Evidence, Page
from services.ranker.registry import Registry
from services.ranker.store import Refusal, Store
from services.ranker.verdict import choose, judge

_log = structlog.get_logger(__name__)


class Comparisons:
    """Compares registered artifacts by the evidence that is stored."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        cache: Cache[pb.CompareResponse],
        methodology: Methodology,
        *,
        today: Callable[[], date],
    ) -> None:
        self._registry = registry
        self._store = store
        self._cache = cache
        self._methodology = methodology
        self._today = today

    async def compare(self, left: str, right: str, as_of: str) -> pb.CompareResponse:
        """Return the comparison in the caller's order.

        Raises `NotFound`, `InvalidArgument`, and `Unavailable` when evidence cannot be read now.
        """
        artifacts = self._registry.artifact(left), self._registry.artifact(right)
        day = parse_day(as_of, self._today())
        sides = await self._dossier(artifacts[0]), await self._dossier(artifacts[1])
        page = self._registry.page_of(left, right)
        page_claims = (await self._judged(page))[1] if page else ()
        pair = canonical(*sides, page_claims)
        first = replace(pair, swapped=False)

        async def compute() -> pb.CompareResponse:
            return compare_reply.reply(compare(first, self._methodology, day))

        found, info = await self._cache.get(key(pair, self._methodology, day), compute)
        reply = pb.CompareResponse()
        reply.CopyFrom(found)
        if pair.swapped:
            compare_reply.exchange(reply)
        reply.cache.CopyFrom(compare_reply.cache_info(info))
        return reply

    async def _dossier(self, artifact: Artifact) -> Dossier:
        evidence, verdicts = await self._judged(artifact)
        return Dossier(artifact, evidence, verdicts)

    async def _judged(
        self, subject: Artifact | Page
    ) -> tuple[tuple[Evidence, ...], tuple[ClaimVerdict, ...]]:
        """Return the evidence on a subject's claims, and their verdicts by it."""
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
    unobserved = ""
    if not evidence:
        why = (
            "what is stored of it is damaged and was refused; verify it again"
            if refused
            else "it has not been verified yet"
        )
        unobserved = f"{why}: assay claims {claim.artifact} --claim {claim.id}"
    return judge(claim, choose(claim, evidence), unobserved=unobserved)
