"""Copies of a PostgreSQL database, as the SQLite files that `backup.py` makes and checks.

So a copy can be restored into either kind, which also allows moving from one to the other.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from services.ranker.database import sqlite
from services.ranker.database.backup import Contents, check
from services.ranker.database.database import StoreError
from services.ranker.database.postgres import APPLICATION, TABLES, WRITE_LOCK, connect, prepare

_WAIT_SECONDS = 10.0


def back_up(address: str, target: Path) -> Contents:
    """Copy a database, in use or not, to a new file; return its contents.

    The copy is of one moment, complete, and checked. Raises `StoreError`.
    """
    if target.exists():
        raise StoreError(f"{target} already exists; name a new file")
    part = target.with_name(f"{target.name}.part")
    try:
        with (
            connect(address, _WAIT_SECONDS) as server,
            closing(sqlite.connect(part, _WAIT_SECONDS)) as copy,
        ):
            with server.transaction():
                server.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                for table in TABLES:
                    _fill(copy, table, server)
            copy.commit()
            copy.execute("PRAGMA journal_mode = DELETE")  # so that the copy is one file
        found = check(part)
        part.replace(target)
    except (psycopg.Error, sqlite3.Error, OSError) as error:
        raise StoreError(f"the database cannot be copied to {target}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return found


def restore(backup: Path, address: str) -> Contents:
    """Replace a database's contents with a copy, as a whole; return the new contents.

    Refused, with the database unchanged, while a ranker uses it, and if anything in the copy does
    not match its digest. Raises `StoreError`.
    """
    found = check(backup)
    try:
        with tempfile.TemporaryDirectory() as folder:
            present = Path(shutil.copy(backup, folder))
            with (
                closing(sqlite.connect(present, _WAIT_SECONDS)) as copy,  # of the present schema
                connect(address, _WAIT_SECONDS) as server,
                server.transaction(),
            ):
                server.execute("SELECT pg_advisory_xact_lock(%s)", (WRITE_LOCK,))
                prepare(server)
                _refuse_in_use(server)
                server.execute(f"TRUNCATE {', '.join(TABLES)}".encode())
                for table in TABLES:
                    _put(server, table, copy)
    except (psycopg.Error, sqlite3.Error, OSError) as error:
        raise StoreError(f"{backup} cannot be restored: {error}") from error
    return found


def _fill(
    copy: sqlite3.Connection, table: str, server: psycopg.Connection[tuple[Any, ...]]
) -> None:
    columns = [one for one in _columns(copy, table) if one in _there(server, table)]
    if not columns:
        return
    select = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {_order(table)}"  # noqa: S608
    rows = server.execute(select.encode())
    places = ", ".join("?" for _ in columns)
    copy.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)  # noqa: S608


def _put(server: psycopg.Connection[tuple[Any, ...]], table: str, copy: sqlite3.Connection) -> None:
    columns = _columns(copy, table)
    places = ", ".join("%s" for _ in columns)
    insert = f"INSERT INTO {table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE VALUES ({places})"  # noqa: S608
    rows = copy.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {_order(table)}")  # noqa: S608
    with server.cursor() as cursor:
        cursor.executemany(insert.encode(), rows)
        if "number" in columns:  # new rows are numbered after the last
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'number'), "  # noqa: S608
                f"(SELECT coalesce(max(number), 0) + 1 FROM {table}), false)".encode()
            )


def _columns(copy: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in copy.execute(f"PRAGMA table_info({table})")]


def _there(server: psycopg.Connection[tuple[Any, ...]], table: str) -> set[str]:
    """The columns of a table; fewer, or none, if no ranker of this version has opened it."""
    rows = server.execute(
        "SELECT attname FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        (table,),
    )
    return {str(row[0]) for row in rows}


def _order(table: str) -> str:
    """The order in which rows were stored, so that it can be restored."""
    return {
        "evidence": "evidence.rowid",
        "manifest": "artifact, version",
        "matched": "id",
        "outcome": "matched",
        "report": "number",
        "job": "id",
        "job_verdict": "job, place",
    }[table]


def _refuse_in_use(server: psycopg.Connection[tuple[Any, ...]]) -> None:
    row = server.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s "
        "AND datname = current_database() AND pid <> pg_backend_pid()",
        (APPLICATION,),
    ).fetchone()
    if row and row[0]:
        raise StoreError(
            f"{row[0]} connections of rankers use the database; stop the rankers, then restore"
        )
