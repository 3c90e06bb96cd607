"""Stores which intents were matched with which capabilities, and how each match ended, by whom.

A match is stored once, under an id from the caller: sending it again, as a retry does, changes no
count. A report is by one reporter on one match, and counts until that reporter withdraws it with a
later record; nothing is ever changed or removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.errors import NotFound, RequestIdReused
from services.ranker.database.database import Connection, Database

# Reports that count. Those in the table `outcome` predate the storing of reporters.
_STANDING = """
SELECT matched, reporter, verified, succeeded FROM report
WHERE number IN (SELECT max(number) FROM report GROUP BY matched, reporter, verified)
AND succeeded IS NOT NULL
UNION ALL SELECT matched, '', 0, succeeded FROM outcome
"""


@dataclass(frozen=True)
class Reporter:
    """A reporter: an identity that the server verified, or else the address of a connection."""

    name: str
    verified: bool


@dataclass(frozen=True)
class MatchCounts:
    """Recorded matches, and reports of how they ended.

    A report is by one reporter on one match. `reported` counts all that are not withdrawn,
    `succeeded` those of a match that went well, `anonymous` those of unverified reporters.
    `operators` has the good reports and all reports of each verified reporter.
    """

    matched: int = 0
    reported: int = 0
    succeeded: int = 0
    anonymous: int = 0
    operators: Mapping[str, tuple[int, int]] = field(default_factory=dict)


class MatchStore:
    """Matches and their outcomes, in an open database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self, match_id: str, intent: str, artifact: str, capability: str, time: datetime
    ) -> datetime:
        """Store a match; return when it was first stored.

        Raises `RequestIdReused` if the id belongs to another match, `Unavailable` if the database
        cannot be written now.
        """
        wanted = (intent, artifact, capability)

        def work(connection: Connection) -> str:
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

    async def report(
        self, match_id: str, succeeded: bool, reporter: Reporter, time: datetime
    ) -> tuple[str, str]:
        """Store how a match ended; return the artifact and the capability of the match.

        Raises `NotFound` for a match that was never recorded, `RequestIdReused` if the reporter has
        said that it ended differently, `Unavailable` if the database cannot be written now.
        """

        def work(connection: Connection) -> tuple[str, str]:
            match = _match(connection, match_id)
            last = _last(connection, match_id, reporter)
            if last is None or last[0] is None:
                _append(connection, match_id, reporter, succeeded, time)
            elif bool(last[0]) is not succeeded:
                raise RequestIdReused(
                    f"match {match_id!r} was reported to have gone {'well' if last[0] else 'badly'}"
                    "; withdraw that first"
                )
            return match

        return await self._database.write(work)

    async def withdraw(self, match_id: str, reporter: Reporter, time: datetime) -> tuple[str, str]:
        """Withdraw a reporter's report on a match; return the match's artifact and capability.

        Repeating this changes nothing. Raises `NotFound` for a match that was never recorded, or
        that the reporter did not report on, and `Unavailable`.
        """

        def work(connection: Connection) -> tuple[str, str]:
            match = _match(connection, match_id)
            last = _last(connection, match_id, reporter)
            if last is None:
                raise NotFound("outcome of match", match_id, None, hint="you reported none")
            if last[0] is not None:
                _append(connection, match_id, reporter, None, time)
            return match

        return await self._database.write(work)

    async def counts(self, artifacts: Iterable[str]) -> dict[str, dict[str, MatchCounts]]:
        """Counts for each artifact by capability; capabilities without matches are left out.

        Raises `Unavailable` if the database cannot be read now.
        """
        names = json.dumps(list(artifacts))

        def work(
            connection: Connection,
        ) -> tuple[list[tuple[str, str, int]], list[tuple[str, str, str, int, int, int]]]:
            of_these = "artifact IN (SELECT value FROM json_each(?))"
            matches = connection.execute(
                f"SELECT artifact, capability, count(*) FROM matched WHERE {of_these} "  # noqa: S608
                "GROUP BY artifact, capability",
                (names,),
            ).fetchall()
            reports = connection.execute(
                "SELECT artifact, capability, reporter, verified, count(*), sum(succeeded) "  # noqa: S608
                f"FROM ({_STANDING}) AS said JOIN matched ON said.matched = matched.id "
                f"WHERE {of_these} GROUP BY artifact, capability, reporter, verified",
                (names,),
            ).fetchall()
            return matches, reports

        matches, reports = await self._database.read(work)
        counts: dict[str, dict[str, MatchCounts]] = {name: {} for name in json.loads(names)}
        for artifact, capability, number in matches:
            counts[artifact][capability] = MatchCounts(number)
        for artifact, capability, reporter, verified, said, well in reports:
            one = MatchCounts(
                reported=said,
                succeeded=well,
                anonymous=0 if verified else said,
                operators={reporter: (well, said)} if verified else {},
            )
            counts[artifact][capability] = total((counts[artifact][capability], one))
        return counts


def total(counts: Iterable[MatchCounts]) -> MatchCounts:
    """Sum of the counts; an operator counts once, whatever it reported on."""
    parts = list(counts)
    operators: dict[str, tuple[int, int]] = {}
    for part in parts:
        for name, (good, said) in part.operators.items():
            before = operators.get(name, (0, 0))
            operators[name] = (before[0] + good, before[1] + said)
    return MatchCounts(
        sum(one.matched for one in parts),
        sum(one.reported for one in parts),
        sum(one.succeeded for one in parts),
        sum(one.anonymous for one in parts),
        operators,
    )


def _match(connection: Connection, match_id: str) -> tuple[str, str]:
    """The artifact and the capability of a match; raise `NotFound` if there is none."""
    match = connection.execute(
        "SELECT artifact, capability FROM matched WHERE id = ?", (match_id,)
    ).fetchone()
    if match is None:
        raise NotFound("match", match_id, None, hint="record it first")
    return str(match[0]), str(match[1])


def _last(connection: Connection, match_id: str, reporter: Reporter) -> tuple[int | None] | None:
    """A reporter's last report on a match; None in it if withdrawn."""
    found: tuple[int | None] | None = connection.execute(
        "SELECT succeeded FROM report WHERE matched = ? AND reporter = ? AND verified = ? "
        "ORDER BY number DESC LIMIT 1",
        (match_id, reporter.name, reporter.verified),
    ).fetchone()
    return found


def _append(
    connection: Connection,
    match_id: str,
    reporter: Reporter,
    succeeded: bool | None,
    time: datetime,
) -> None:
    connection.execute(
        "INSERT INTO report (matched, reporter, verified, succeeded, time) VALUES (?, ?, ?, ?, ?)",
        (match_id, reporter.name, reporter.verified, succeeded, _text(time)),
    )


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")
