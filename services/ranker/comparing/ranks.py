"""Ranks for callers: of one artifact, of a type, of artifacts that serve an intent.

Reads evidence and makes none.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar

from services.errors import InvalidArgument, NotFound
from services.ranker.claims.findings import Evidence
from services.ranker.claims.model import Artifact, ArtifactType
from services.ranker.claims.registry import Registry
from services.ranker.comparing.cache_key import evidence_digest
from services.ranker.comparing.compare import parse_day
from services.ranker.comparing.records import Records
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.explain import Contribution, explain
from services.ranker.methodology.profile import Profile
from services.ranker.methodology.ranking import Places, Rank, of_list, of_registry
from services.ranker.methodology.readings import latest_hardware
from services.ranker.methodology.score import ArtifactRecord, Score, Standing, standing

T = TypeVar("T")


@dataclass(frozen=True)
class Ranking:
    """The places of artifacts of one type in each profile, on one hardware class, on one day.

    `profile` is the requested one, or else the type's first; its places are `places[0]`.
    """

    type: ArtifactType
    profile: str
    places: tuple[Places, ...]
    outcomes: Mapping[str, int]
    hardware: str
    evidence_digest: str


@dataclass(frozen=True)
class Explanation:
    """A score, its terms, and the evidence that they rest on."""

    score: Score
    contributions: tuple[Contribution, ...]
    evidence: tuple[Evidence, ...]


class Ranks:
    """Ranks registered artifacts by stored evidence.

    Every method raises `NotFound`, `InvalidArgument`, and `Unavailable` if evidence cannot be read
    now. `as_of` is a day as YYYY-MM-DD, empty for today; `hardware` a class, empty for the one that
    the artifacts of the type were measured on last; `profile` one of the type's, empty for its
    first.
    """

    def __init__(self, registry: Registry, records: Records, methodology: Methodology) -> None:
        self._registry = registry
        self._records = records
        self.methodology = methodology
        # A ranking takes tens of milliseconds of the interpreter. Hundreds at once would block
        # everything else, including health checks, for seconds.
        self._turn = asyncio.Lock()

    async def of_artifact(
        self, name: str, as_of: str, hardware: str, profile: str
    ) -> tuple[Ranking, Rank]:
        """The ranking of an artifact's type, and its place in it."""
        artifact = self._registry.artifact(name)
        ranking = await self.of_type(artifact.type, as_of, hardware, profile)
        return ranking, next(one for one in ranking.places[0].ranks if one.artifact == name)

    async def of_type(self, kind: ArtifactType, as_of: str, hardware: str, profile: str) -> Ranking:
        """The places of all artifacts of a type."""
        return await self.of_these(self._of_type(kind), as_of, hardware, profile)

    async def of_list(
        self, names: Sequence[str], as_of: str, hardware: str, profile: str
    ) -> Ranking:
        """Places that hold together, for artifacts of one type that the caller names."""
        artifacts = [self._registry.artifact(name) for name in dict.fromkeys(names)]
        if len(artifacts) < 2:
            raise InvalidArgument("artifacts", "name two or more")
        if len({one.type for one in artifacts}) > 1:
            types = ", ".join(
                f"{one.id} is a {one.type.lower().replace('_', ' ')}" for one in artifacts
            )
            raise InvalidArgument("artifacts", f"only one type can be ranked: {types}")
        return await self._ranking(artifacts, as_of, hardware, profile, together=True)

    async def of_these(
        self, artifacts: Sequence[Artifact], as_of: str, hardware: str, profile: str
    ) -> Ranking:
        """The places of some artifacts of one type, each pair judged separately."""
        return await self._ranking(artifacts, as_of, hardware, profile, together=False)

    async def _ranking(
        self,
        artifacts: Sequence[Artifact],
        as_of: str,
        hardware: str,
        profile: str,
        *,
        together: bool,
    ) -> Ranking:
        if not artifacts:
            raise InvalidArgument("type", "no artifact of it is registered")
        methodology = self.methodology
        level = methodology.list_level if together else methodology.family_level
        day = parse_day(as_of, datetime.now(UTC).date())
        async with self._turn:
            records = await self._records.of(artifacts)
            hardware = hardware or latest_hardware(*(one.evidence for one in records))
            sides = [standing(one, methodology, day, hardware, level) for one in records]
            chosen = _ordered(sides[0], profile)

            def ranked() -> tuple[Places, ...]:
                return tuple(
                    of_list(sides, one, level) if together else of_registry(sides, one)
                    for one in chosen
                )

            places = await _to_its_end(ranked)  # takes a second for some hundreds
            digest = _digest(records, methodology, day, hardware, level)
        return Ranking(
            artifacts[0].type,
            places[0].profile,
            places,
            {one.artifact.id: len(one.outcomes.operators) for one in records},
            hardware,
            digest,
        )

    async def explain(self, name: str, as_of: str, hardware: str, profile: str) -> Explanation:
        """The score of one artifact as in its rank, term by term."""
        artifact = self._registry.artifact(name)
        day = parse_day(as_of, datetime.now(UTC).date())
        async with self._turn:
            peers = await self._records.of(self._of_type(artifact.type))
            hardware = hardware or latest_hardware(*(one.evidence for one in peers))
            record = next(one for one in peers if one.artifact.id == name)
            side = standing(record, self.methodology, day, hardware, self.methodology.family_level)
            total = side.score(_ordered(side, profile)[0])
            terms = explain(total)
        cited = {digest for term in terms for digest in term.evidence}
        return Explanation(
            total, terms, tuple(one for one in record.evidence if one.digest in cited)
        )

    def _of_type(self, kind: ArtifactType) -> list[Artifact]:
        return [one for one in self._registry.artifacts if one.type is kind]


async def _to_its_end(work: Callable[[], T]) -> T:
    """The result of work in a thread. A cancelled caller leaves only when the work has ended."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


def _ordered(side: Standing, wanted: str) -> tuple[Profile, ...]:
    """The profiles of a side's type, the requested one first. Raises `NotFound`."""
    known = side.profiles
    if wanted and wanted not in {one.name for one in known}:
        raise NotFound("profile", wanted, [one.name for one in known])
    return tuple(sorted(known, key=lambda one: wanted not in ("", one.name)))


def _digest(
    records: Iterable[ArtifactRecord],
    methodology: Methodology,
    day: date,
    hardware: str,
    level: float,
) -> str:
    """Digest of everything that a ranking is computed from."""
    parts = [evidence_digest(one) for one in sorted(records, key=lambda one: one.artifact.id)]
    text = json.dumps([parts, methodology.digest, day.isoformat(), hardware, level])
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
