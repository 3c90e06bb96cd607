"""The embedded database: SQLite, one writer.

All work with it runs on its own thread, so that writes are serial, nothing blocks the event loop,
and the connection is used only where it was made. A lock on a file next to the database keeps a
second ranker out: two would each rely on their own counts and caches.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from services.errors import Unavailable
from services.ranker.database.database import Connection, StoreError

SCHEMA_VERSION = 5
_APPEND_ONLY = """
CREATE TRIGGER IF NOT EXISTS {table}_is_never_changed BEFORE UPDATE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;
CREATE TRIGGER IF NOT EXISTS {table}_is_never_taken_back BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;
"""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS evidence (
    digest TEXT PRIMARY KEY,
    claim TEXT NOT NULL,
    time TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS evidence_by_claim ON evidence (claim, time);
CREATE TABLE IF NOT EXISTS manifest (
    artifact TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    time TEXT NOT NULL,
    content BLOB NOT NULL,
    registered_by TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (artifact, version)
) STRICT;
CREATE TABLE IF NOT EXISTS matched (
    id TEXT PRIMARY KEY,
    intent TEXT NOT NULL,
    artifact TEXT NOT NULL,
    capability TEXT NOT NULL,
    time TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS matched_by_artifact ON matched (artifact, capability);
CREATE TABLE IF NOT EXISTS outcome (
    matched TEXT PRIMARY KEY REFERENCES matched (id),
    succeeded INTEGER NOT NULL,
    time TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS report (
    number INTEGER PRIMARY KEY,
    matched TEXT NOT NULL REFERENCES matched (id),
    reporter TEXT NOT NULL,
    verified INTEGER NOT NULL,
    succeeded INTEGER,
    time TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS report_by_match ON report (matched, reporter);
CREATE TABLE IF NOT EXISTS job (
    id TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    created TEXT NOT NULL,
    state TEXT NOT NULL,
    begun INTEGER NOT NULL,
    started TEXT,
    ended TEXT,
    error BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS job_verdict (
    job TEXT NOT NULL,
    place INTEGER NOT NULL,
    claim TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (job, place)
) STRICT;
""" + "".join(
    _APPEND_ONLY.format(table=table)
    for table in ("evidence", "manifest", "matched", "outcome", "report")
)
"""Of schema 5. Schema 1 had `evidence` alone, in this form, schema 2 all but `report`, schema 3 all
but `manifest.registered_by`, and schema 4 all but jobs: opening one adds the rest, and changes no
row. `outcome` is read and no longer written; its reports are nobody's. In `report` the last row of
a reporter on a match stands, and withdraws the outcome if it has none. Jobs alone change."""

_POLL_SECONDS = 0.05

T = TypeVar("T")


class SqliteDatabase:
    """One SQLite file, and the right to write it; a `Database`.

    `locked_seconds` is how long to wait while another process holds the database: for a statement,
    and at the start for another ranker to end.
    """

    shared = False

    def __init__(self, path: Path, locked_seconds: float = 3.0) -> None:
        self._path = path
        self._locked_seconds = locked_seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._connection: sqlite3.Connection | None = None
        self._watch: sqlite3.Connection | None = None
        self._lock: IO[str] | None = None

    async def open(self) -> None:
        """See `Database`; the file and its folder are created if missing."""
        await self._on_thread(self._open)

    async def close(self) -> None:
        """See `Database`; another ranker can then open it."""
        await self._on_thread(self._close)

    def version(self) -> int | None:
        """See `Database`."""
        if self._watch is None:
            return None
        try:
            (number,) = self._watch.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None
        return int(number)

    def subscribe(self, changed: Callable[[], None]) -> None:
        """See `Database`: no other ranker writes to this one."""

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """See `Database`: no other ranker has this one."""
        yield

    async def read(self, work: Callable[[Connection], T]) -> T:
        """See `Database`."""
        return await self._on_thread(lambda: self._run(work, "read"))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """See `Database`."""

        def transaction(connection: sqlite3.Connection) -> T:
            with connection:
                return work(connection)

        return await self._on_thread(lambda: self._run(transaction, "written"))

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _run(self, work: Callable[[sqlite3.Connection], T], what: str) -> T:
        if self._connection is None:
            raise StoreError(f"{self._path} is not open")
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            # Without the path, which only the operator should know.
            raise Unavailable(
                f"the evidence database cannot be {what}: {error}; end what else holds it, or "
                "make room on its disk, and ask again"
            ) from error

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self._path, self._locked_seconds)
            self._path.touch(mode=0o600)
            self._connection = connect(self._path, self._locked_seconds)
            # A connection's own writes do not change its data_version.
            self._watch = sqlite3.connect(self._path, timeout=0, check_same_thread=False)
        except sqlite3.DatabaseError as error:
            self._close()
            if not isinstance(error, sqlite3.OperationalError):
                raise _damaged(self._path, str(error)) from error
            raise self._unusable(error) from error
        except OSError as error:
            self._close()
            raise self._unusable(error) from error
        except StoreError:
            self._close()
            raise

    def _unusable(self, error: Exception) -> StoreError:
        return StoreError(
            f"{self._path} cannot be used as the evidence database: {error}; "
            "set ASSAY_RANKER_DATABASE to a file that can be written"
        )

    def _close(self) -> None:
        for connection in (self._watch, self._connection):
            if connection is not None:
                connection.close()
        self._watch = self._connection = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def connect(path: Path, locked_seconds: float) -> sqlite3.Connection:
    """Open a database and bring it to the present schema. Raises `StoreError` for a later one."""
    connection = sqlite3.connect(path, timeout=locked_seconds)
    try:
        # Readers continue while the writer writes, and a crash loses nothing that was committed.
        connection.execute("PRAGMA journal_mode = WAL")
        check_schema(connection, path)
        _check_whole(connection, path)
        connection.executescript(_SCHEMA)
        _add_registered_by(connection)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _add_registered_by(connection: sqlite3.Connection) -> None:
    """Who registered a manifest; unknown for manifests stored by an earlier version."""
    columns = {row[1] for row in connection.execute("PRAGMA table_info(manifest)")}
    if "registered_by" not in columns:
        connection.execute("ALTER TABLE manifest ADD COLUMN registered_by TEXT NOT NULL DEFAULT ''")


def _check_whole(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `StoreError` for damaged pages, which would otherwise surface at a later read."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _damaged(path, str(found))


def _damaged(path: Path, problem: str) -> StoreError:
    return StoreError(
        f"{path} is damaged, or never was an evidence database: {' '.join(problem.split())}; keep "
        "it, and put a copy in its place (assay restore FILE, with what `assay backup` wrote), or "
        "set ASSAY_RANKER_DATABASE to another file"
    )


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `StoreError` if this ranker does not know the database's schema."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version not in range(SCHEMA_VERSION + 1):
        raise StoreError(
            f"{path} has schema {version}; this ranker knows {SCHEMA_VERSION}: "
            "give it another file, or run the version that made this one"
        )


def lock(path: Path, seconds: float) -> IO[str]:
    """Take the right to write to a database; closing the result releases it.

    Waits up to `seconds` for another ranker to end. Raises `StoreError` naming that ranker if it
    does not end.
    """
    beside = path.with_name(path.name + ".lock")
    file = beside.open("a+", encoding="utf-8")
    until = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() >= until:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                file.close()
                raise StoreError(
                    f"{path} is in use by another ranker (process {holder}): one at a time writes "
                    "a database; stop that one, or give this one another file with "
                    "ASSAY_RANKER_DATABASE"
                ) from error
            time.sleep(_POLL_SECONDS)
    with suppress(OSError):  # the number is only information; the lock counts
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
    return file
