"""Which wishes were matched with which capabilities, and how that ended: true counts.

A match and an outcome are each kept once, under an id that the caller made up: sending it again, as
a retry does, changes no count. Nothing is ever changed or taken back.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.errors import NotFound, RequestIdReused
from services.ranker.database.database import Database


@dataclass(frozen=True)
class MatchCounts:
    """Matches that were recorded, those whose outcome was reported, and those that went well."""

    matched: int = 0
    reported: int = 0
    succeeded: int = 0


class MatchStore:
    """Matches and their outcomes, in an open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self, match_id: str, intent: str, artifact: str, capability: str, time: datetime
    ) -> datetime:
        """Keep a match; return when it was kept for the first time.

        Raises `RequestIdReused` when the id is that of another match, `Unavailable` when the
        database cannot be written now.
        """
        wanted = (intent, artifact, capability)

        def work(connection: sqlite3.Connection) -> str:
            connection.execute(
                "INSERT INTO matched (id, intent, artifact, capability, time) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                (match_id, *wanted, _text(time)),
            )
            *kept, first = connection.execute(
                "SELECT intent, artifact, capability, time FROM matched WHERE id = ?", (match_id,)
            ).fetchone()
            if tuple(kept) != wanted:
                raise RequestIdReused(
                    f"match_id {match_id!r} was used for another match; make up a new one"
                )
            return str(first)

        return datetime.fromisoformat(await self._database.write(work))

    async def report(self, match_id: str, succeeded: bool, time: datetime) -> tuple[str, str]:
        """Keep how a match ended; return the artifact and the capability that it was with.

        Raises `NotFound` for a match that was never recorded, `RequestIdReused` when it was
        reported to have ended otherwise, `Unavailable` when the database cannot be written now.
        """

        def work(connection: sqlite3.Connection) -> tuple[str, str]:
            match = connection.execute(
                "SELECT artifact, capability FROM matched WHERE id = ?", (match_id,)
            ).fetchone()
            if match is None:
                raise NotFound("match", match_id, None, hint="record it first")
            connection.execute(
                "INSERT INTO outcome (matched, succeeded, time) VALUES (?, ?, ?) "
                "ON CONFLICT (matched) DO NOTHING",
                (match_id, int(succeeded), _text(time)),
            )
            (kept,) = connection.execute(
                "SELECT succeeded FROM outcome WHERE matched = ?", (match_id,)
            ).fetchone()
            if bool(kept) is not succeeded:
                raise RequestIdReused(
                    f"match {match_id!r} was reported to have gone {'well' if kept else 'badly'}; "
                    "an outcome is final"
                )
            return str(match[0]), str(match[1])

        return await self._database.write(work)

    async def counts(self, artifacts: Iterable[str]) -> dict[str, dict[str, MatchCounts]]:
        """Counts of each artifact by capability; capabilities without matches are left out.

        Raises `Unavailable` when the database cannot be read now.
        """
        names = list(artifacts)
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT artifact, capability, count(*), count(outcome.matched), "
                "coalesce(sum(outcome.succeeded), 0) "
                "FROM matched LEFT JOIN outcome ON outcome.matched = matched.id "
                "WHERE artifact IN (SELECT value FROM json_each(?)) GROUP BY artifact, capability",
                (json.dumps(names),),
            ).fetchall()
        )
        counts: dict[str, dict[str, MatchCounts]] = {name: {} for name in names}
        for artifact, capability, *numbers in rows:
            counts[artifact][capability] = MatchCounts(*numbers)
        return counts


def total(counts: dict[str, MatchCounts]) -> MatchCounts:
    """The counts of all capabilities together."""
    return MatchCounts(
        sum(one.matched for one in counts.values()),
        sum(one.reported for one in counts.values()),
        sum(one.succeeded for one in counts.values()),
    )


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")
