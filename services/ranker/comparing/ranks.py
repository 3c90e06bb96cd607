"""Ranks as callers get them: of one artifact, of a type, of what serves an intent.

Reads evidence and makes none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from services.ranker.claims.model import Artifact, ArtifactType, Evidence
from services.ranker.claims.registry import Registry
from services.ranker.comparing.compare import parse_day
from services.ranker.comparing.records import Records
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.explain import Contribution, explain
from services.ranker.methodology.ranking import Rank, rank
from services.ranker.methodology.readings import latest_hardware
from services.ranker.methodology.score import ArtifactRecord, Score, score
from services.ranker.methodology.separation import Side


@dataclass(frozen=True)
class Ranking:
    """The ranks of artifacts of one type, on one class of hardware, at one day."""

    ranks: tuple[Rank, ...]
    hardware: str
    evidence_digest: str


@dataclass(frozen=True)
class Explanation:
    """A score, its terms, and the evidence that they rest on."""

    score: Score
    contributions: tuple[Contribution, ...]
    evidence: tuple[Evidence, ...]


class Ranks:
    """Ranks registered artifacts by the evidence that is stored.

    Every method raises `NotFound`, `InvalidArgument`, and `Unavailable` when evidence cannot be
    read now. `as_of` is a day as YYYY-MM-DD, empty for today; `hardware` a class, empty for the
    one that the artifacts of the type were measured on last.
    """

    def __init__(self, registry: Registry, records: Records, methodology: Methodology) -> None:
        self._registry = registry
        self._records = records
        self.methodology = methodology

    async def of_artifact(self, name: str, as_of: str, hardware: str) -> tuple[Rank, str]:
        """The rank of one artifact among all of its type, and the class of hardware."""
        artifact = self._registry.artifact(name)
        ranking = await self.of_type(artifact.type, as_of, hardware)
        return next(one for one in ranking.ranks if one.side.id == name), ranking.hardware

    async def of_type(self, kind: ArtifactType, as_of: str, hardware: str) -> Ranking:
        """The ranks of all artifacts of a type."""
        return await self.of_these(self._of_type(kind), as_of, hardware)

    async def of_these(self, artifacts: Sequence[Artifact], as_of: str, hardware: str) -> Ranking:
        """The ranks of some artifacts of one type."""
        day = parse_day(as_of, datetime.now(UTC).date())
        records = await self._records.of(artifacts)
        hardware = hardware or latest_hardware(*(one.evidence for one in records))
        sides = [
            Side(one.artifact.id, one.artifact.type, score(one, self.methodology, day, hardware))
            for one in records
        ]
        digest = _digest(records, self.methodology, day, hardware)
        return Ranking(rank(sides, self.methodology), hardware, digest)

    async def explain(self, name: str, as_of: str, hardware: str) -> Explanation:
        """The score of one artifact as in its rank, term by term."""
        artifact = self._registry.artifact(name)
        day = parse_day(as_of, datetime.now(UTC).date())
        peers = await self._records.of(self._of_type(artifact.type))
        hardware = hardware or latest_hardware(*(one.evidence for one in peers))
        record = next(one for one in peers if one.artifact.id == name)
        total = score(record, self.methodology, day, hardware)
        terms = explain(total, record, self.methodology, hardware)
        cited = {digest for term in terms for digest in term.evidence}
        return Explanation(
            total, terms, tuple(one for one in record.evidence if one.digest in cited)
        )

    def _of_type(self, kind: ArtifactType) -> list[Artifact]:
        return [one for one in self._registry.artifacts if one.type is kind]


def _digest(
    records: Iterable[ArtifactRecord], methodology: Methodology, day: date, hardware: str
) -> str:
    """Of all that a ranking is computed from."""
    parts = [
        [
            one.artifact.digest,
            sorted(item.digest for item in one.evidence),
            one.outcomes.reported,
            one.outcomes.succeeded,
        ]
        for one in sorted(records, key=lambda one: one.artifact.id)
    ]
    text = json.dumps([parts, methodology.digest, day.isoformat(), hardware])
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
