"""Stores verification jobs, so that they outlive the process that runs them.

Unlike evidence, a job changes while it runs, and is removed once it is forgotten.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from services.ranker.database.database import Connection, Database


@dataclass(frozen=True)
class KeptVerdict:
    """A job's decision on a claim: the claim's id, and the message."""

    claim: str
    message: bytes


@dataclass(frozen=True)
class KeptJob:
    """The state of a job. `begun` counts the processes that have begun to run it.

    `claims` and `seconds` are those of its plan. The times are aware; `error` is the message that
    says why it failed.
    """

    id: str
    request_id: str
    owner: tuple[str, bool]
    """The identity's name, and whether it was verified."""
    subject: str
    asked: tuple[str, ...]
    budget: str
    claims: tuple[str, ...]
    seconds: float
    created: datetime
    state: str
    begun: int = 0
    started: datetime | None = None
    ended: datetime | None = None
    error: bytes = b""
    verdicts: tuple[KeptVerdict, ...] = ()


class JobStore:
    """Jobs in an open database. All methods raise `Unavailable` if it cannot be used now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, job: KeptJob) -> None:
        """Store a job's present state; `decide` stores its verdicts."""
        row = (job.id, *_order(job), job.state, job.begun, *map(_text, (job.started, job.ended)))
        await self._database.write(
            lambda connection: connection.execute(
                "INSERT INTO job (id, content, created, state, begun, started, ended, error) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "state = excluded.state, begun = excluded.begun, started = excluded.started, "
                "ended = excluded.ended, error = excluded.error",
                (*row, job.error),
            )
        )

    async def decide(self, job: str, place: int, verdict: KeptVerdict) -> None:
        """Store the verdict at that position, from 0 up. Repeating this changes nothing."""
        await self._database.write(
            lambda connection: connection.execute(
                "INSERT INTO job_verdict (job, place, claim, content) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (job, place) DO NOTHING",
                (job, place, verdict.claim, verdict.message),
            )
        )

    async def forget(self, jobs: set[str]) -> None:
        """Remove jobs with their verdicts."""
        names = json.dumps(sorted(jobs))

        def work(connection: Connection) -> None:
            for table, column in (("job_verdict", "job"), ("job", "id")):
                connection.execute(
                    f"DELETE FROM {table} "  # noqa: S608
                    f"WHERE {column} IN (SELECT value FROM json_each(?))",
                    (names,),
                )

        await self._database.write(work)

    async def every(self) -> tuple[KeptJob, ...]:
        """All jobs, the oldest first."""

        def work(connection: Connection) -> tuple[KeptJob, ...]:
            verdicts: dict[str, list[KeptVerdict]] = {}
            for job, claim, content in connection.execute(
                "SELECT job, claim, content FROM job_verdict ORDER BY job, place"
            ).fetchall():
                verdicts.setdefault(job, []).append(KeptVerdict(claim, bytes(content)))
            rows = connection.execute(
                "SELECT id, content, created, state, begun, started, ended, error FROM job "
                "ORDER BY created, id"
            ).fetchall()
            return tuple(_read(row, tuple(verdicts.get(row[0], ()))) for row in rows)

        return await self._database.read(work)


def _order(job: KeptJob) -> tuple[str, str]:
    """The constant part of a job: the order as JSON, and its time."""
    name, verified = job.owner
    content = {
        "request_id": job.request_id,
        "owner": name,
        "verified": verified,
        "subject": job.subject,
        "asked": job.asked,
        "budget": job.budget,
        "claims": job.claims,
        "seconds": job.seconds,
    }
    return json.dumps(content), _text(job.created) or ""


def _read(
    row: tuple[str, str, str, str, int, str | None, str | None, bytes],
    verdicts: tuple[KeptVerdict, ...],
) -> KeptJob:
    name, text, created, state, begun, started, ended, error = row
    content = json.loads(text)
    return KeptJob(
        name,
        content["request_id"],
        (content["owner"], content["verified"]),
        content["subject"],
        tuple(content["asked"]),
        content["budget"],
        tuple(content["claims"]),
        content["seconds"],
        datetime.fromisoformat(created),
        state,
        begun,
        _time(started),
        _time(ended),
        bytes(error),
        verdicts,
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat()
