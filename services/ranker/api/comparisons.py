"""Comparisons as callers get them: evidence from the store, the answer from the cache if need be.

Reads evidence and makes none, so the key of the answer does not change while it is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

from services.ranker.api import compare_reply
from services.ranker.cache.cache import Cache
from services.ranker.claims.registry import Registry
from services.ranker.comparing.compare import (
    PREFIX,
    Pair,
    canonical,
    compare,
    evidence_digest,
    key,
    parse_day,
)
from services.ranker.comparing.dossiers import Dossiers
from services.ranker.methodology.definition import Methodology

_MOST_PREPARED = 1024


@dataclass(frozen=True)
class _Prepared:
    """What is known of a pair at one state of database and registry, and the key of its answer."""

    state: tuple[int, int] | None
    pair: Pair
    key: str


class Comparisons:
    """Compares registered artifacts by the evidence that is stored.

    `version` tells whether the database has changed, or None when it cannot say; `computed` is
    called for every comparison that the cache did not have.
    """

    def __init__(
        self,
        registry: Registry,
        dossiers: Dossiers,
        cache: Cache[bytes],
        methodology: Methodology,
        *,
        today: Callable[[], date],
        version: Callable[[], int | None] = lambda: None,
        computed: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._dossiers = dossiers
        self._cache = cache
        self._methodology = methodology
        self._today = today
        self._version = version
        self._computed = computed
        self._prepared: dict[tuple[str, str, date], _Prepared] = {}

    async def compare(self, left: str, right: str, as_of: str) -> bytes:
        """Return the reply of the contract, serialised, in the caller's order.

        Raises `NotFound`, `InvalidArgument`, and `Unavailable` when evidence cannot be read now.
        """
        day = parse_day(as_of, self._today())
        prepared = await self._prepare(left, right, day)
        first = replace(prepared.pair, swapped=False)

        async def compute() -> bytes:
            self._computed()
            return compare_reply.encode(compare_reply.reply(compare(first, self._methodology, day)))

        content, info = await self._cache.get(prepared.key, compute)
        if prepared.pair.swapped:
            content = compare_reply.exchanged(content)
        return content + compare_reply.cache_field(info)

    async def _prepare(self, left: str, right: str, day: date) -> _Prepared:
        """What is known of a pair and its key; read again only when something has changed."""
        version = self._version()
        state = None if version is None else (version, self._registry.revision)
        known = self._prepared.get((left, right, day))
        if known is not None and state is not None and known.state == state:
            return known
        artifacts = self._registry.artifact(left), self._registry.artifact(right)
        sides = await self._dossiers.of(artifacts[0]), await self._dossiers.of(artifacts[1])
        page = self._registry.page_of(left, right)
        page_claims = (await self._dossiers.judged(page))[1] if page else ()
        pair = canonical(*sides, page_claims)
        prepared = _Prepared(state, pair, key(pair, self._methodology, day))
        if len(self._prepared) >= _MOST_PREPARED:
            self._prepared.clear()
        self._prepared[left, right, day] = prepared
        return prepared

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
