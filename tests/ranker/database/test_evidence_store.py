from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.errors import Unavailable
from services.ranker.claims.bounds import Value
from services.ranker.claims.evidence import EvidenceError, Observation, seal
from services.ranker.claims.findings import Evidence
from services.ranker.claims.model import Basis, SubjectRelation
from services.ranker.database.database import StoreError
from services.ranker.database.evidence_store import EvidenceStore
from services.ranker.database.sqlite import SqliteDatabase

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def evidence(claim: str, number: float, minutes: int = 0) -> Evidence:
    observation = Observation(Value(number, "s"), SubjectRelation.EXACT, Basis.MEASURED)
    time = NOON + timedelta(minutes=minutes)
    return seal(observation, claim=claim, method="m.f@1", command="c", time=time)


async def test_evidence_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "evidence.sqlite"
    store_at = SqliteDatabase(path)
    await store_at.open()
    store = EvidenceStore(store_at)
    later, earlier = evidence("A", 2, 5), evidence("A", 1)
    for one in (later, earlier, evidence("B", 3)):
        await store.append(one)
    await store_at.close()
    again_at = SqliteDatabase(path)
    await again_at.open()
    again = EvidenceStore(again_at)
    assert await again.about(["A"]) == ((later, earlier), ())  # as they came to be kept
    assert await again.about(["C"]) == ((), ())
    assert await again.about([]) == ((), ())
    await again_at.close()
    await again_at.close()


async def test_the_same_evidence_is_kept_once(tmp_path: Path) -> None:
    store_at = SqliteDatabase(tmp_path / "e.sqlite")
    await store_at.open()
    store = EvidenceStore(store_at)
    await asyncio.gather(*(store.append(evidence("A", 1)) for _ in range(20)))
    assert len((await store.about(["A"]))[0]) == 1
    await store_at.close()


async def test_a_wrong_digest_is_not_kept(tmp_path: Path) -> None:
    store_at = SqliteDatabase(tmp_path / "e.sqlite")
    await store_at.open()
    store = EvidenceStore(store_at)
    with pytest.raises(EvidenceError, match="it is refused"):
        await store.append(replace(evidence("A", 1), note="said afterwards"))
    assert await store.about(["A"]) == ((), ())
    await store_at.close()


async def test_nothing_is_changed_or_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    store_at = SqliteDatabase(path)
    await store_at.open()
    store = EvidenceStore(store_at)
    await store.append(evidence("A", 1))
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("UPDATE evidence SET claim = 'B'", "DELETE FROM evidence"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    await store_at.close()


async def test_evidence_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    store_at = SqliteDatabase(path)
    await store_at.open()
    store = EvidenceStore(store_at)
    good, bad = evidence("A", 1), evidence("A", 2)
    await store.append(good)
    await store.append(bad)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER evidence_is_never_changed")
        connection.execute(
            "UPDATE evidence SET content = CAST(replace(CAST(content AS TEXT), ?, ?) AS BLOB) "
            "WHERE digest = ?",
            ('"n":1', '"n":9', bad.digest),
        )
    kept, (refusal,) = await store.about(["A"])
    assert kept == (good,)
    assert refusal.claim == "A"
    assert bad.digest in refusal.problem
    assert "verify the claim again" in refusal.problem
    await store_at.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    path.write_text("this is no database, whatever its name says " * 50)
    with pytest.raises(
        StoreError, match=r"e\.sqlite is damaged, or never was.*ASSAY_RANKER_DATABASE"
    ):
        await SqliteDatabase(path).open()


@pytest.mark.parametrize("how", ["cut short", "a page of noise"])
async def test_damage_is_found_at_the_start_with_the_way_out(tmp_path: Path, how: str) -> None:
    path = tmp_path / "e.sqlite"
    database = SqliteDatabase(path)
    await database.open()
    for number in range(50):
        await EvidenceStore(database).append(evidence(f"A{number}", number))
    await database.close()
    assert path.stat().st_mode & 0o777 == 0o600
    whole = path.read_bytes()
    page = 4096
    damaged = whole[: len(whole) // 2] if how == "cut short" else whole
    if how == "a page of noise":
        damaged = whole[: 3 * page] + bytes(range(256)) * (page // 256) + whole[4 * page :]
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"e\.sqlite is damaged.*assay restore FILE"):
        await SqliteDatabase(path).open()
    assert path.read_bytes() == damaged
    path.write_bytes(whole)
    await database.open()
    await database.close()


async def test_another_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 7")
    with pytest.raises(StoreError, match="schema 7; this ranker knows 5"):
        await SqliteDatabase(path).open()


async def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not open"):
        await EvidenceStore(SqliteDatabase(tmp_path / "e.sqlite")).about(["A"])


async def test_a_locked_database_is_unavailable_until_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    store_at = SqliteDatabase(path, locked_seconds=0)
    await store_at.open()
    store = EvidenceStore(store_at)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="cannot be written: database is locked; end what"):
            await store.append(evidence("A", 1))
        other.execute("ROLLBACK")
    await store.append(evidence("A", 1))
    assert len((await store.about(["A"]))[0]) == 1
    await store_at.close()


async def test_a_database_that_is_damaged_while_open_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    store_at = SqliteDatabase(path)
    await store_at.open()
    store = EvidenceStore(store_at)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DROP TABLE evidence")
    with pytest.raises(Unavailable, match="cannot be read: no such table"):
        await store.about(["A"])
    await store_at.close()
