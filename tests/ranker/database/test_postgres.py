"""Rankers that share one PostgreSQL database: what one keeps all know, whatever breaks."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psycopg
import pytest

from services.errors import InvalidArgument, RequestIdReused, Unavailable, VersionConflict
from services.ranker.claims.bounds import Value
from services.ranker.claims.evidence import Observation, seal
from services.ranker.claims.findings import Evidence
from services.ranker.claims.model import Basis, SubjectRelation
from services.ranker.claims.registry import packaged
from services.ranker.database import backup, postgres_backup
from services.ranker.database.database import Connection, StoreError
from services.ranker.database.evidence_store import EvidenceStore
from services.ranker.database.manifest_store import ManifestStore
from services.ranker.database.match_store import MatchCounts, MatchStore, Reporter
from services.ranker.database.postgres import PostgresDatabase
from services.ranker.database.sqlite import SqliteDatabase
from services.ranker.measuring import methods
from services.ranker.methodology.load import load
from services.ranker.registration import Registration
from services.ranker.searching.discovery import Discovery
from tests.postgres import PostgresServer

pytestmark = pytest.mark.process

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOMEONE = Reporter("someone", verified=True)


def evidence(claim: str, number: float) -> Evidence:
    observation = Observation(Value(number, "s"), SubjectRelation.EXACT, Basis.MEASURED)
    return seal(observation, claim=claim, method="m.f@1", command="c", time=NOON)


def manifest(name: str, version: int = 1, page: str = "") -> bytes:
    return f"""
kind: artifact
schema: 1
id: {name}
version: {version}
name: {name.title()}
type: DATASET
description: What it is.{page}
license: {{id: MIT, name: MIT}}
pricing: Free
capabilities: []
claims: []
""".encode()


@asynccontextmanager
async def opened(server: PostgresServer, wait: float = 10) -> AsyncIterator[PostgresDatabase]:
    database = PostgresDatabase(server.url, wait)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def registering(server: PostgresServer) -> AsyncIterator[tuple[Registration, Discovery]]:
    async with opened(server) as database:
        registry = packaged(methods.known())
        matches = MatchStore(database)
        discovery = Discovery(registry, matches, lambda: NOON)
        found = Registration(registry, ManifestStore(database), discovery, load(), lambda: NOON)
        await found.restore()
        yield found, discovery
        await discovery.close()


async def test_what_one_keeps_the_other_reads_in_the_same_order(postgres: PostgresServer) -> None:
    async with opened(postgres) as first, opened(postgres) as second:
        here, there = EvidenceStore(first), EvidenceStore(second)
        pieces = [evidence("A", one) for one in (3, 1, 2)]
        for index, one in enumerate(pieces):
            await (here, there)[index % 2].append(one)
            await here.append(one)  # again, as a retry does
        await here.append(evidence("B", 1))
        for store in (here, there):
            assert await store.about(["A"]) == (tuple(pieces), ())
            assert await store.about([]) == ((), ())
            assert await store.get(pieces[1].digest) == pieces[1]
            assert await store.get("none") is None


async def test_matches_and_reports_count_once_whichever_ranker_counts(
    postgres: PostgresServer,
) -> None:
    async with opened(postgres) as first, opened(postgres) as second:
        here, there = MatchStore(first), MatchStore(second)
        await asyncio.gather(
            *(one.record("m1", "wish", "thing", "a", NOON) for one in (here, there) * 10)
        )
        await there.report("m1", True, SOMEONE, NOON)
        with pytest.raises(RequestIdReused):
            await here.report("m1", False, SOMEONE, NOON)
        with pytest.raises(RequestIdReused):
            await here.record("m1", "100 % another wish?", "thing", "a", NOON)
        counts = (await here.counts(["thing", "other"]))["thing"]["a"]
        assert counts == MatchCounts(1, 1, 1, 0, {"someone": (1, 1)})
        await here.withdraw("m1", SOMEONE, NOON)
        assert (await there.counts(["thing"]))["thing"]["a"] == MatchCounts(1)


async def test_a_ranker_hears_of_what_another_writes(postgres: PostgresServer) -> None:
    async with opened(postgres) as first, opened(postgres) as second:
        heard = asyncio.Event()
        second.subscribe(heard.set)
        before = second.version()
        await EvidenceStore(first).append(evidence("A", 1))
        await asyncio.wait_for(heard.wait(), 20)
        assert second.version() != before


async def test_what_is_checked_is_still_true_when_it_is_kept(postgres: PostgresServer) -> None:
    async with registering(postgres) as (here, _), registering(postgres) as (there, _):
        # Both want the same id: one is first, the other is told so.
        found = await asyncio.gather(
            here.register(manifest("thing")),
            there.register(manifest("thing", page=" And more.")),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in found) == ["VersionConflict", "tuple"]
        await here.register(manifest("other"))
        with pytest.raises(VersionConflict):  # `there` has not read `other` yet, and checks again
            await there.register(manifest("other", page=" Differently."))
        entry, _, _ = await there.register(manifest("other", version=2, page=" Differently."))
        assert entry.version == 2
        with pytest.raises(InvalidArgument):
            await here.register(b"nothing")


async def test_a_restart_of_the_server_loses_and_doubles_nothing(postgres: PostgresServer) -> None:
    async with opened(postgres, 30) as first, opened(postgres, 30) as second:
        stores = EvidenceStore(first), EvidenceStore(second)
        pieces = [evidence("A", one) for one in range(200)]

        async def write(index: int) -> None:
            for one in pieces[index::2]:
                await stores[index].append(one)

        async def restart() -> None:
            await stores[0].append(pieces[0])
            await asyncio.to_thread(postgres.stop)
            await asyncio.to_thread(postgres.start)

        await asyncio.gather(write(0), write(1), restart())
        kept, refused = await stores[0].about(["A"])
        assert sorted(one.digest for one in kept) == sorted(one.digest for one in pieces)
        assert not refused


async def test_a_server_that_hangs_is_not_waited_for_and_comes_back(
    postgres: PostgresServer,
) -> None:
    async with opened(postgres, 0.2) as database:
        store = EvidenceStore(database)
        await store.append(evidence("A", 1))
        postgres.signal(signal.SIGSTOP)
        try:
            with pytest.raises(Unavailable, match="try again") as told:
                await store.about(["A"])
            assert "127.0.0.1" not in str(told.value)
        finally:
            postgres.signal(signal.SIGCONT)
        async with asyncio.timeout(60):
            while True:
                try:
                    assert len((await store.about(["A"]))[0]) == 1
                    break
                except Unavailable:
                    continue


async def test_one_ranker_measures_at_a_time(postgres: PostgresServer) -> None:
    order = []
    async with opened(postgres) as first, opened(postgres) as second:

        async def measure(database: PostgresDatabase, name: str) -> None:
            async with database.alone():
                order.append(name)
                await second.read(lambda one: one.execute("SELECT pg_sleep(0.05)").fetchall())
                order.append(name)

        await asyncio.gather(measure(first, "a"), measure(second, "b"))
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


async def test_nothing_is_changed_or_taken_back(postgres: PostgresServer) -> None:
    async with opened(postgres) as database:
        await EvidenceStore(database).append(evidence("A", 1))
        for statement in ("UPDATE evidence SET claim = 'B'", "DELETE FROM evidence"):
            with pytest.raises(Unavailable):
                await database.write(partial(_run, statement))
        assert len((await EvidenceStore(database).about(["A"]))[0]) == 1


def _run(statement: str, connection: Connection) -> None:
    connection.execute(statement)


async def test_what_cannot_be_opened_is_refused(postgres: PostgresServer) -> None:
    async with opened(postgres):
        pass
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(StoreError, match="has schema 99; this ranker knows"):
        await PostgresDatabase(postgres.url).open()
    with pytest.raises(StoreError, match="ASSAY_RANKER_DATABASE_URL") as told:
        await PostgresDatabase("postgresql://a:secret@127.0.0.1:1/none", 1).open()
    assert "secret" not in str(told.value)


async def test_of_what_the_third_schema_keeps_nothing_changes(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with registering(postgres) as (registration, _):
        await registration.register(manifest("thing"))
        await EvidenceStore(registration._manifests._database).append(evidence("A", 1))
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE manifest DROP COLUMN registered_by")
        connection.execute("DROP TABLE job, job_verdict")
        connection.execute("UPDATE schema_version SET version = 3")
    # Whoever copies it before a new ranker opened it gets all of it.
    copied = await asyncio.to_thread(
        postgres_backup.back_up, postgres.url, tmp_path / "copy.sqlite"
    )
    assert copied == backup.Contents(evidence=1, manifests=1, matches=0, outcomes=0)
    for _ in range(2):
        async with registering(postgres) as (registration, _):
            await registration.register(manifest("thing", 2), "token:alice")
            assert registration.registered_by("thing") == "token:alice"
            database = registration._manifests._database
            assert (await EvidenceStore(database).about(["A"]))[0] == (evidence("A", 1),)
            kept = await ManifestStore(database).every()
            assert [one.registered_by for one in kept] == ["", "token:alice"]
            with pytest.raises(Unavailable):
                await database.write(partial(_run, "UPDATE manifest SET registered_by = 'me'"))


async def test_a_copy_goes_back_into_either_database(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with registering(postgres) as (registration, _):
        await registration.register(manifest("thing"), "token:alice")
        database = registration._manifests._database
        pieces = [evidence("A", one) for one in (3, 1, 2)]
        for one in pieces:
            await EvidenceStore(database).append(one)
        await MatchStore(database).record("m1", "wish", "thing", "a", NOON)
        await MatchStore(database).report("m1", True, SOMEONE, NOON)
        copy = tmp_path / "copy.sqlite"
        found = await asyncio.to_thread(postgres_backup.back_up, postgres.url, copy)
        assert found == backup.Contents(evidence=3, manifests=1, matches=1, outcomes=1)
        with pytest.raises(StoreError, match="already exists"):
            postgres_backup.back_up(postgres.url, copy)
        with pytest.raises(StoreError, match="stop the rankers"):
            await asyncio.to_thread(postgres_backup.restore, copy, postgres.url)
    postgres.empty()
    assert postgres_backup.restore(copy, postgres.url) == found
    async with opened(postgres) as again:
        assert (await EvidenceStore(again).about(["A"]))[0] == tuple(pieces)
        await MatchStore(again).withdraw("m1", SOMEONE, NOON)  # numbered after what was restored
        assert (await MatchStore(again).counts(["thing"]))["thing"]["a"] == MatchCounts(1)
        assert [one.registered_by for one in await ManifestStore(again).every()] == ["token:alice"]
    backup.restore(copy, tmp_path / "e.sqlite")
    embedded = SqliteDatabase(tmp_path / "e.sqlite")
    await embedded.open()
    assert (await EvidenceStore(embedded).about(["A"]))[0] == tuple(pieces)
    await embedded.close()
