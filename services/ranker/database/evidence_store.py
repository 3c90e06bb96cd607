"""Where evidence is kept: append-only, by claim."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from services.ranker.claims.evidence import EvidenceError, canonical, digest_of, restore
from services.ranker.claims.model import Evidence
from services.ranker.database.database import Database


@dataclass(frozen=True)
class Refusal:
    """A stored piece of evidence on `claim` that is not used, and why, in words."""

    claim: str
    problem: str


class Store:
    """Evidence by claim, in an open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, evidence: Evidence) -> None:
        """Keep a piece of evidence. Keeping the same twice is keeping it once.

        Raises `EvidenceError` when its digest is not that of its content, `Unavailable` when the
        database cannot be written now.
        """
        content = canonical(evidence)
        if digest_of(content) != evidence.digest:
            raise EvidenceError(
                f"evidence {evidence.digest}: its content gives {digest_of(content)}; it is refused"
            )
        row = (evidence.digest, evidence.claim, evidence.time.isoformat(), content)
        await self._database.write(
            lambda connection: connection.execute(
                "INSERT INTO evidence (digest, claim, time, content) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (digest) DO NOTHING",
                row,
            )
        )

    async def about(
        self, claims: Iterable[str]
    ) -> tuple[tuple[Evidence, ...], tuple[Refusal, ...]]:
        """Return all evidence on the claims, as it came to be kept, and what was refused.

        That is not the order of their times where a clock was set back. A piece whose content no
        longer gives its digest is refused and not returned. Raises `Unavailable` when the database
        cannot be read now.
        """
        names = tuple(claims)
        rows = await self._database.read(lambda connection: _select(connection, names))
        kept: list[Evidence] = []
        refused: list[Refusal] = []
        for claim, digest, content in rows:
            try:
                kept.append(restore(content, digest))
            except EvidenceError as error:
                refused.append(Refusal(claim, str(error)))
        return tuple(kept), tuple(refused)


def _select(
    connection: sqlite3.Connection, claims: tuple[str, ...]
) -> list[tuple[str, str, bytes]]:
    marks = ", ".join("?" * len(claims))
    query = (
        f"SELECT claim, digest, content FROM evidence WHERE claim IN ({marks}) "  # noqa: S608
        "ORDER BY rowid"
    )
    return connection.execute(query, claims).fetchall()
