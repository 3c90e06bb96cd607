"""Stores evidence: append-only, by claim."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from services.ranker.claims.evidence import EvidenceError, canonical, digest_of, restore
from services.ranker.claims.findings import Evidence
from services.ranker.claims.model import reference
from services.ranker.database.database import Connection, Database


@dataclass(frozen=True)
class Refusal:
    """A stored piece of evidence on `claim` that is not used, and the reason in words."""

    claim: str
    problem: str


class EvidenceStore:
    """Evidence by claim, in an open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, evidence: Evidence) -> None:
        """Store a piece of evidence. Storing it again changes nothing.

        Raises `EvidenceError` if its digest does not match its content, `Unavailable` if the
        database cannot be written now.
        """
        content = canonical(evidence)
        if digest_of(content) != evidence.digest:
            raise EvidenceError(
                f"evidence {evidence.digest}: its content gives {digest_of(content)}; it is refused"
            )
        row = (
            evidence.digest,
            reference(evidence.owner, evidence.claim),
            evidence.time.isoformat(),
            content,
        )
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
        """Return all evidence on the claims, in the order of storing, and what was refused.

        Claims are "OWNER/ID", or "ID" for evidence from when ids were unique over all owners.

        The order differs from that of the times if a clock was set back. A piece whose content no
        longer matches its digest is refused and not returned. Raises `Unavailable` if the database
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

    async def get(self, digest: str) -> Evidence | None:
        """Return the piece with that digest, or None.

        Raises `EvidenceError` if it is damaged, `Unavailable` if the database cannot be read now.
        """
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT content FROM evidence WHERE digest = ?", (digest,)
            ).fetchone()
        )
        return None if row is None else restore(row[0], digest)


def _select(connection: Connection, claims: tuple[str, ...]) -> list[tuple[str, str, bytes]]:
    # As JSON, since a statement has a limited number of parameters.
    query = (
        "SELECT claim, digest, content FROM evidence "
        "WHERE claim IN (SELECT value FROM json_each(?)) ORDER BY evidence.rowid"
    )
    return connection.execute(query, (json.dumps(claims),)).fetchall()
