"""One writer a database; copies of it that are whole or refused."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.errors import Unavailable
from services.ranker.claims.bounds import Value
from services.ranker.claims.evidence import Observation, seal
from services.ranker.claims.model import Basis, SubjectRelation
from services.ranker.claims.registry import parse_text
from services.ranker.database import backup
from services.ranker.database.database import StoreError
from services.ranker.database.evidence_store import EvidenceStore
from services.ranker.database.manifest_store import KeptManifest, ManifestStore
from services.ranker.database.match_store import MatchCounts, MatchStore, Reporter
from services.ranker.database.sqlite import SqliteDatabase

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOMEONE = Reporter("someone", verified=True)
MANIFEST = b"""
kind: artifact
schema: 1
id: thing
name: A thing
type: DATASET
description: What it is.
license: {id: MIT, name: MIT}
pricing: Free
capabilities: []
claims: []
"""


async def filled(path: Path) -> SqliteDatabase:
    """An open database with one of everything."""
    database = SqliteDatabase(path, locked_seconds=0)
    await database.open()
    observation = Observation(Value(1.0, "s"), SubjectRelation.EXACT, Basis.MEASURED)
    await EvidenceStore(database).append(
        seal(observation, claim="A", method="m.f@1", command="c", time=NOON)
    )
    artifact = parse_text(MANIFEST, "thing")
    await ManifestStore(database).keep(KeptManifest("thing", 1, artifact.digest, NOON, MANIFEST))
    matches = MatchStore(database)
    await matches.record("m1", "wish", "thing", "a", NOON)
    await matches.record("m2", "wish", "thing", "a", NOON)
    await matches.report("m1", True, SOMEONE, NOON)
    return database


async def test_a_second_ranker_is_told_who_has_the_database(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    first, second = SqliteDatabase(path), SqliteDatabase(path, locked_seconds=0)
    await first.open()
    with pytest.raises(StoreError, match=r"in use by another ranker \(process \d+\)") as error:
        await second.open()
    assert "ASSAY_RANKER_DATABASE" in str(error.value)
    await first.close()
    await second.open()
    await second.close()


async def test_a_second_ranker_waits_for_the_first_to_end(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    first, second = SqliteDatabase(path), SqliteDatabase(path, locked_seconds=30)
    await first.open()
    opening = asyncio.create_task(second.open())
    await asyncio.sleep(0)
    assert not opening.done()
    await first.close()
    await opening
    await second.close()


async def test_a_database_of_the_first_schema_gets_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    database = await filled(path)
    await database.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in ("report", "outcome", "matched", "manifest"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")
    await database.open()
    assert len((await EvidenceStore(database).about(["A"]))[0]) == 1
    assert await MatchStore(database).counts(["thing"]) == {"thing": {}}
    await database.close()


async def test_outcomes_of_the_second_schema_are_nobodys(tmp_path: Path) -> None:
    path = tmp_path / "e.sqlite"
    database = await filled(path)
    await database.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE report")
        connection.execute("INSERT INTO outcome VALUES ('m1', 1, '2026-11-23'), ('m2', 0, '')")
        connection.execute("PRAGMA user_version = 2")
    await database.open()
    store = MatchStore(database)
    assert await store.counts(["thing"]) == {"thing": {"a": MatchCounts(2, 2, 1, 2)}}
    await store.report("m2", True, SOMEONE, NOON)
    found = (await store.counts(["thing"]))["thing"]["a"]
    assert found == MatchCounts(2, 3, 2, 2, {"someone": (1, 1)})
    await database.close()


def to_schema_3(path: Path) -> None:
    """Make a database what schema 3 was: nobody says who registered a manifest."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE manifest DROP COLUMN registered_by")
        connection.execute("PRAGMA user_version = 3")


async def test_of_what_the_third_schema_keeps_nothing_changes(tmp_path: Path) -> None:
    path, copy = tmp_path / "e.sqlite", tmp_path / "copy.sqlite"
    database = await filled(path)
    (before,) = (await EvidenceStore(database).about(["A"]))[0]
    await database.close()
    to_schema_3(path)
    contents = backup.back_up(path, copy)
    for opened in (path, tmp_path / "restored.sqlite"):
        if opened != path:
            assert backup.restore(copy, opened) == contents
        database = SqliteDatabase(opened)
        await database.open()
        assert (await EvidenceStore(database).about(["A"]))[0] == (before,)
        manifests = ManifestStore(database)
        (kept,) = await manifests.every()
        assert (kept.content, kept.registered_by) == (MANIFEST, "")
        # Append-only still, and what comes now says who.
        later = replace(kept, version=2, digest="sha256:2", registered_by="token:alice")
        assert await manifests.keep(later) == later
        assert await manifests.every() == (kept, later)
        with pytest.raises(Unavailable, match="append-only"):
            await database.write(
                lambda connection: connection.execute("UPDATE manifest SET registered_by = 'me'")
            )
        await database.close()


async def test_a_copy_made_while_it_is_served_restores_everything(tmp_path: Path) -> None:
    path, copy = tmp_path / "e.sqlite", tmp_path / "copy.sqlite"
    database = await filled(path)
    contents = backup.back_up(path, copy)
    assert contents == backup.Contents(evidence=1, manifests=1, matches=2, outcomes=1)
    left = [one.name for one in tmp_path.glob("copy*")]  # noqa: ASYNC240  (a test's own folder)
    assert left == ["copy.sqlite"]
    await MatchStore(database).record("m3", "later", "thing", "a", NOON)
    with pytest.raises(StoreError, match="in use by another ranker"):
        backup.restore(copy, path)
    await database.close()
    assert backup.restore(copy, path) == contents
    await database.open()
    assert await MatchStore(database).counts(["thing"]) == {
        "thing": {"a": MatchCounts(2, 1, 1, 0, {"someone": (1, 1)})}
    }
    assert len((await EvidenceStore(database).about(["A"]))[0]) == 1
    assert [one.artifact for one in await ManifestStore(database).every()] == ["thing"]
    await database.close()


@pytest.mark.parametrize(
    ("table", "statement", "message"),
    [
        ("evidence", "content = replace(content, 'm.f@1', 'm.g@1')", "evidence that is not what"),
        ("evidence", "digest = 'sha256:0'", "evidence that is not what"),
        ("manifest", "content = replace(content, 'Free', 'Dear')", "its content gives"),
        ("manifest", "content = 'x: ['", "cannot be read"),
    ],
)
async def test_a_copy_that_was_changed_is_refused_and_nothing_is_lost(
    tmp_path: Path, table: str, statement: str, message: str
) -> None:
    path, copy = tmp_path / "e.sqlite", tmp_path / "copy.sqlite"
    database = await filled(path)
    await database.close()
    backup.back_up(path, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute(f"DROP TRIGGER {table}_is_never_changed")
        changed = statement.replace("replace(content", "replace(CAST(content AS TEXT)")
        column, _, value = changed.partition(" = ")
        wrapped = f"CAST({value} AS BLOB)" if column == "content" else value
        connection.execute(f"UPDATE {table} SET {column} = {wrapped}")  # noqa: S608
    with pytest.raises(StoreError, match=message):
        backup.restore(copy, path)
    await database.open()
    assert len((await EvidenceStore(database).about(["A"]))[0]) == 1
    await database.close()


def test_what_is_no_copy_is_refused(tmp_path: Path) -> None:
    text, other, later = (tmp_path / name for name in ("text", "other.sqlite", "later.sqlite"))
    text.write_text("no database " * 100)
    for path, version in ((other, 0), (later, 9)):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE t (x)")
            connection.execute(f"PRAGMA user_version = {version}")
    for path, message in (
        (text, "cannot be read as a database"),
        (other, "no evidence table"),
        (later, "schema 9"),
        (tmp_path / "none", "no such file"),
    ):
        with pytest.raises(StoreError, match=message):
            backup.restore(path, tmp_path / "e.sqlite")
    assert not (tmp_path / "e.sqlite").exists()
    with pytest.raises(StoreError, match="no database is there"):
        backup.back_up(tmp_path / "none", tmp_path / "copy")
    with pytest.raises(StoreError, match="already exists"):
        backup.back_up(other, text)
