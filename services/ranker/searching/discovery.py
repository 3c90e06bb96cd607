"""The match graph: what serves an intent, and how matches with it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlsplit

from services.errors import InvalidArgument, NotFound
from services.ranker.claims.model import Artifact, ArtifactType
from services.ranker.claims.registry import Registry
from services.ranker.database.match_store import MatchCounts, MatchStore, Reporter
from services.ranker.searching.search import Match, SearchIndex

T = TypeVar("T")

MAX_INTENT_CHARACTERS = 1000
MAX_ID_CHARACTERS = 100
DEFAULT_LIMIT = 10
MAX_LIMIT = 100


@dataclass(frozen=True)
class SearchResult:
    """What serves an intent, with the counts of each artifact's capabilities, by artifact."""

    matches: tuple[Match, ...]
    counts: dict[str, dict[str, MatchCounts]]


class Discovery:
    """Searches the registered capabilities and counts matches. Close it at the end."""

    def __init__(
        self, registry: Registry, matches: MatchStore, now: Callable[[], datetime]
    ) -> None:
        self._registry = registry
        self._matches = matches
        self._now = now
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="search")
        self._index: SearchIndex | None = None

    async def refresh(self) -> None:
        """Read the registry again; searches go on with the old index until the new one is ready."""
        artifacts = self._registry.artifacts
        await self._on_thread(lambda: self._build(artifacts))

    async def close(self) -> None:
        """Release the index."""
        self._index = None
        self._thread.shutdown()

    async def search(self, intent: str, kind: ArtifactType | None, limit: int) -> SearchResult:
        """What serves an intent. A limit of 0 means 10.

        Raises `InvalidArgument`, and `Unavailable` when the counts cannot be read now.
        """
        wanted = _intent(intent)
        if not 0 <= limit <= MAX_LIMIT:
            raise InvalidArgument("limit", f"{limit} is not from 0 to {MAX_LIMIT}")
        matches = await self._on_thread(
            lambda: self._opened().search(wanted, kind, limit or DEFAULT_LIMIT)
        )
        names = {one.artifact.id for match in matches for one in match.providers}
        return SearchResult(matches, await self._matches.counts(sorted(names)))

    async def serving(self, intent: str) -> tuple[Artifact, ...]:
        """The artifacts that serve an intent, by id. Raises `InvalidArgument`."""
        wanted = _intent(intent)
        matches = await self._on_thread(lambda: self._opened().search(wanted, None, MAX_LIMIT))
        found = {one.artifact.id: one.artifact for match in matches for one in match.providers}
        return tuple(found[name] for name in sorted(found))

    async def record(self, match_id: str, intent: str, uri: str) -> tuple[datetime, MatchCounts]:
        """Count a match once; return when it was first recorded, and the capability's counts.

        Raises `InvalidArgument`, `NotFound`, `RequestIdReused` and `Unavailable`.
        """
        artifact, capability = self._capability(uri)
        time = await self._matches.record(
            _id(match_id), _intent(intent), artifact, capability, self._now()
        )
        return time, await self._counts(artifact, capability)

    async def report(self, match_id: str, succeeded: bool, reporter: Reporter) -> MatchCounts:
        """Count how a match ended once a reporter; return the capability's counts.

        Raises `InvalidArgument`, `NotFound`, `RequestIdReused` and `Unavailable`.
        """
        return await self._counts(
            *await self._matches.report(_id(match_id), succeeded, reporter, self._now())
        )

    async def withdraw(self, match_id: str, reporter: Reporter) -> MatchCounts:
        """Withdraw a reporter's report on a match; return the capability's counts.

        Raises `InvalidArgument`, `NotFound` and `Unavailable`.
        """
        return await self._counts(
            *await self._matches.withdraw(_id(match_id), reporter, self._now())
        )

    async def _counts(self, artifact: str, capability: str) -> MatchCounts:
        counts = await self._matches.counts([artifact])
        return counts[artifact].get(capability, MatchCounts())

    def _capability(self, uri: str) -> tuple[str, str]:
        """The artifact and the capability that a URI names; raise unless they are registered."""
        parts = urlsplit(uri)
        name = parts.path.removeprefix("/")
        if parts.scheme != "capability" or not parts.netloc or not name:
            raise InvalidArgument(
                "capability_uri", f"{uri!r} is not of the form capability://ARTIFACT/ID"
            )
        artifact = self._registry.artifact(parts.netloc)
        known = [one.id for one in artifact.capabilities]
        if name not in known:
            raise NotFound(f"capability of {artifact.id}", name, known)
        return artifact.id, name

    def _build(self, artifacts: tuple[Artifact, ...]) -> None:
        fresh, old = SearchIndex(artifacts), self._index
        self._index = fresh
        if old is not None:
            old.close()

    def _opened(self) -> SearchIndex:
        assert self._index is not None  # noqa: S101  (the wiring refreshes before it serves)
        return self._index

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _intent(text: str) -> str:
    if not text.strip():
        raise InvalidArgument("intent", "is empty; say what you need, in a few words")
    if len(text) > MAX_INTENT_CHARACTERS:
        raise InvalidArgument(
            "intent", f"has {len(text):,} characters; at most {MAX_INTENT_CHARACTERS:,}"
        )
    return text.strip()


def _id(text: str) -> str:
    if not text.strip() or len(text) > MAX_ID_CHARACTERS:
        raise InvalidArgument(
            "match_id", f"needs 1 to {MAX_ID_CHARACTERS} characters, such as a UUID"
        )
    return text
