"""Jobs that are kept: what comes back is what was kept, from either database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.ranker.database import backup, postgres_backup
from services.ranker.database.database import Database
from services.ranker.database.job_store import JobStore, KeptJob, KeptVerdict
from services.ranker.database.postgres import PostgresDatabase
from services.ranker.database.sqlite import SqliteDatabase
from tests.postgres import PostgresServer

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
JOB = KeptJob(
    "a",
    "made up",
    ("token:alice", True),
    "the-pile",
    ("P1.2",),
    "quick",
    ("P1.2", "P2.2"),
    1.5,
    NOON,
    "QUEUED",
)


async def change(database: Database) -> None:
    store = JobStore(database)
    other = replace(JOB, id="b", created=NOON + timedelta(seconds=1))
    await store.keep(other)
    await store.keep(JOB)
    assert await store.every() == (JOB, other)
    verdicts = tuple(KeptVerdict(claim, claim.encode()) for claim in JOB.claims)
    for _ in range(2):  # again, as after a broken connection
        for place, verdict in enumerate(verdicts):
            await store.decide("a", place, verdict)
        await store.forget({"b"})
    ended = replace(JOB, state="FAILED", begun=2, started=NOON, ended=NOON, error=b"\x00no")
    await store.keep(ended)
    assert await store.every() == (replace(ended, verdicts=verdicts),)


async def kept(database: Database) -> tuple[KeptJob, ...]:
    await database.open()
    try:
        return await JobStore(database).every()
    finally:
        await database.close()


async def test_sqlite_keeps_jobs(tmp_path: Path) -> None:
    path, copy = tmp_path / "e.sqlite", tmp_path / "copy.sqlite"
    database = SqliteDatabase(path)
    await database.open()
    await change(database)
    await database.close()
    backup.back_up(path, copy)
    backup.restore(copy, tmp_path / "restored.sqlite")
    assert await kept(SqliteDatabase(tmp_path / "restored.sqlite")) == await kept(
        SqliteDatabase(path)
    )


@pytest.mark.process
async def test_postgres_keeps_jobs(postgres: PostgresServer, tmp_path: Path) -> None:
    database = PostgresDatabase(postgres.url, 10)
    await database.open()
    await change(database)
    await database.close()
    before = await kept(PostgresDatabase(postgres.url, 10))
    postgres_backup.back_up(postgres.url, tmp_path / "copy.sqlite")
    postgres_backup.restore(tmp_path / "copy.sqlite", postgres.url)
    assert await kept(PostgresDatabase(postgres.url, 10)) == before
