"""Comparisons as callers get them: evidence from the store, the answer from the cache if need be.

Reads evidence and makes none, so the key of the answer does not change while it is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

from assay.ranker.v1 import ranker_pb2 as pb

from services.ranker import compare_reply
from services.ranker.cache import Cache
from services.ranker.compare import (
    PREFIX,
    canonical,
    compare,
    evidence_digest,
    key,
    parse_day,
)
from services.ranker.dossiers import Dossiers
from services.ranker.methodology.definition import Methodology
from services.ranker.registry import Registry


class Comparisons:
    """Compares registered artifacts by the evidence that is stored.

    `computed` is called for every comparison that the cache did not have.
    """

    def __init__(
        self,
        registry: Registry,
        dossiers: Dossiers,
        cache: Cache[pb.CompareResponse],
        methodology: Methodology,
        *,
        today: Callable[[], date],
        computed: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._dossiers = dossiers
        self._cache = cache
        self._methodology = methodology
        self._today = today
        self._computed = computed

    async def compare(self, left: str, right: str, as_of: str) -> pb.CompareResponse:
        """Return the comparison in the caller's order.

        Raises `NotFound`, `InvalidArgument`, and `Unavailable` when evidence cannot be read now.
        """
        artifacts = self._registry.artifact(left), self._registry.artifact(right)
        day = parse_day(as_of, self._today())
        sides = await self._dossiers.of(artifacts[0]), await self._dossiers.of(artifacts[1])
        page = self._registry.page_of(left, right)
        page_claims = (await self._dossiers.judged(page))[1] if page else ()
        pair = canonical(*sides, page_claims)
        first = replace(pair, swapped=False)

        async def compute() -> pb.CompareResponse:
            self._computed()
            return compare_reply.reply(compare(first, self._methodology, day))

        found, info = await self._cache.get(key(pair, self._methodology, day), compute)
        reply = pb.CompareResponse()
        reply.CopyFrom(found)
        if pair.swapped:
            compare_reply.exchange(reply)
        reply.cache.CopyFrom(compare_reply.cache_info(info))
        return reply

    async def invalidate(self, name: str) -> int:
        """Let go of kept comparisons of an artifact as it is now, or of all when `name` is empty.

        Raises `NotFound`, and `Unavailable` when evidence cannot be read or the cache does not
        answer.
        """
        if not name:
            return await self._cache.invalidate(PREFIX)
        artifact = self._registry.artifact(name)
        removed = 0
        for page in (None, *(one for one in self._registry.pages if name in one.compares)):
            page_claims = (await self._dossiers.judged(page))[1] if page else ()
            digest = evidence_digest(await self._dossiers.of(artifact), page_claims)
            removed += await self._cache.invalidate(PREFIX, digest)
        return removed
