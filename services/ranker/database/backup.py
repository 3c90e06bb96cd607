"""Copies of the database: made while it is in use, and restored only if every digest agrees."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from services.errors import InvalidArgument
from services.ranker.claims.evidence import EvidenceError
from services.ranker.claims.evidence import restore as read_evidence
from services.ranker.claims.registry import parse_text
from services.ranker.database.database import StoreError
from services.ranker.database.sqlite import check_schema, connect, lock

_LOCKED_SECONDS = 3.0


@dataclass(frozen=True)
class Contents:
    """Counts of a database's contents."""

    evidence: int
    manifests: int
    matches: int
    outcomes: int
    """Records of how a match ended, including those that withdraw one."""


def back_up(database: Path, target: Path) -> Contents:
    """Copy a database, in use or not, to a new file; return its contents.

    The copy is of one moment, complete, and checked. Raises `StoreError`.
    """
    if not database.is_file():
        raise StoreError(f"{database}: no database is there; nothing was verified or recorded yet")
    if target.exists():
        raise StoreError(f"{target} already exists; name a new file")
    part = target.with_name(f"{target.name}.part")
    try:
        # Read-only, and with SQLite's own backup, so that writers continue meanwhile.
        with (
            closing(_reader(database)) as source,
            closing(sqlite3.connect(part)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # so that the copy is one file
        found = check(part)
        part.replace(target)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{database} cannot be copied to {target}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return found


def restore(backup: Path, database: Path) -> Contents:
    """Replace a database with a copy, as a whole; return its contents.

    Refused, with the database unchanged, while a ranker uses it, and if anything in the copy does
    not match its digest. Raises `StoreError`.
    """
    found = check(backup)
    part = database.with_name(f"{database.name}.part")
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with lock(database, _LOCKED_SECONDS):
            with (
                closing(
                    sqlite3.connect(f"{backup.absolute().as_uri()}?mode=ro", uri=True)
                ) as source,
                closing(sqlite3.connect(part)) as copy,
            ):
                source.backup(copy)
            connect(part, _LOCKED_SECONDS).close()  # brings an older copy to the present schema
            with part.open("rb") as written:
                os.fsync(written.fileno())
            # The old database's log must not be applied to the new one.
            for ending in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    database.with_name(database.name + ending).unlink()
            part.replace(database)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{backup} cannot be restored to {database}: {error}") from error
    finally:
        for ending in ("", "-wal", "-shm"):
            part.with_name(part.name + ending).unlink(missing_ok=True)
    return found


def check(path: Path) -> Contents:
    """Read all of a database and return its contents.

    Raises `StoreError` if it is not a ranker's database, is damaged, or contains evidence or a
    manifest that does not match its digest.
    """
    if not path.is_file():
        raise StoreError(f"{path}: no such file")
    try:
        with closing(_reader(path)) as database:
            check_schema(database, path)
            (state,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            if state != "ok":
                raise StoreError(f"{path} is damaged: {state}")
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
            if "evidence" not in tables:
                raise StoreError(f"{path} is not a ranker's database: it has no evidence table")
            for digest, content in database.execute("SELECT digest, content FROM evidence"):
                read_evidence(content, digest)
            if "manifest" in tables:
                _check_manifests(database, path)
            evidence, manifests, matches, *outcomes = (
                _count(database, table) if table in tables else 0
                for table in ("evidence", "manifest", "matched", "outcome", "report")
            )
            return Contents(evidence, manifests, matches, sum(outcomes))
    except EvidenceError as error:
        raise StoreError(f"{path} holds evidence that is not what it was: {error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read as a database: {error}") from error


def _reader(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _check_manifests(database: sqlite3.Connection, path: Path) -> None:
    rows = database.execute("SELECT artifact, version, digest, content FROM manifest")
    for artifact, version, digest, content in rows:
        where = f"{path}, manifest of {artifact} version {version}"
        try:
            actual = parse_text(content, artifact).digest
        except InvalidArgument as error:
            raise StoreError(f"{where}: cannot be read: {error}") from error
        if actual != digest:
            raise StoreError(f"{where}: its content gives {actual}, not {digest}")


def _count(database: sqlite3.Connection, table: str) -> int:
    (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(count)
