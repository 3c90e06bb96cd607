"""A database that several rankers share: PostgreSQL.

Every ranker reads and writes. A lock of the server allows one write at a time, as SQLite does, so
that what a transaction checks still holds when it commits. A second connection listens for writes
of other rankers. If a connection breaks, it is opened again and the work repeated, as long as the
ranker waits for its database. Every write is idempotent.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar, cast

import psycopg
import structlog

from services.errors import Unavailable
from services.ranker.database.database import Connection, Cursor, StoreError
from services.rpc.tracing.tracing import Tracing

SCHEMA_VERSION = 5
"""Version of the tables, which equal SQLite's schema of that number."""

_CHANNEL = "assay_ranker_changed"
_APPEND_ONLY = ("evidence", "manifest", "matched", "outcome", "report")
TABLES = (*_APPEND_ONLY, "job", "job_verdict")
_JOBS = """
CREATE TABLE IF NOT EXISTS job (
    id TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    created TEXT NOT NULL,
    state TEXT NOT NULL,
    begun INTEGER NOT NULL,
    started TEXT,
    ended TEXT,
    error BYTEA NOT NULL
);
CREATE TABLE IF NOT EXISTS job_verdict (
    job TEXT NOT NULL,
    place INTEGER NOT NULL,
    claim TEXT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (job, place)
);
"""
_SCHEMA = (
    """
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (5);
CREATE TABLE evidence (
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    digest TEXT PRIMARY KEY,
    claim TEXT NOT NULL,
    time TEXT NOT NULL,
    content BYTEA NOT NULL
);
CREATE INDEX evidence_by_claim ON evidence (claim, time);
CREATE TABLE manifest (
    artifact TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    time TEXT NOT NULL,
    content BYTEA NOT NULL,
    registered_by TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (artifact, version)
);
CREATE TABLE matched (
    id TEXT PRIMARY KEY,
    intent TEXT NOT NULL,
    artifact TEXT NOT NULL,
    capability TEXT NOT NULL,
    time TEXT NOT NULL
);
CREATE INDEX matched_by_artifact ON matched (artifact, capability);
CREATE TABLE outcome (
    matched TEXT PRIMARY KEY REFERENCES matched (id),
    succeeded INTEGER NOT NULL,
    time TEXT NOT NULL
);
CREATE TABLE report (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    matched TEXT NOT NULL REFERENCES matched (id),
    reporter TEXT NOT NULL,
    verified INTEGER NOT NULL,
    succeeded INTEGER,
    time TEXT NOT NULL
);
CREATE INDEX report_by_match ON report (matched, reporter);
CREATE FUNCTION assay_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;
CREATE FUNCTION assay_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('assay_ranker_changed', ''); RETURN NULL; END $$;
"""
    + _JOBS
    + "".join(
        f"""
CREATE TRIGGER {table}_is_append_only BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION assay_refuse_change();
CREATE TRIGGER {table}_notifies AFTER INSERT ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION assay_notify();
"""
        for table in _APPEND_ONLY
    )
)

# From schema 3, whose rankers may continue to write: who registers with them is unknown.
_TO_SCHEMA_4 = """
ALTER TABLE manifest ADD COLUMN registered_by TEXT NOT NULL DEFAULT '';
UPDATE schema_version SET version = 4;
"""
_TO_SCHEMA_5 = _JOBS + "UPDATE schema_version SET version = 5;"  # noqa: S608  a constant

# Numbers of the server's advisory locks, which the rankers of one database share.
WRITE_LOCK = 0x4153_5341_5901
_MEASURE_LOCK = 0x4153_5341_5902

_SPANS = {"read": "read", "written": "write"}
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_LISTEN_SECONDS = 1.0
_MEASURE_POLL_SECONDS = 0.5
APPLICATION = "assay-ranker"

T = TypeVar("T")
# Failures that a new connection may solve: the server restarts, fails over or ended it.
_BROKEN = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
)
_log = structlog.get_logger(__name__)


class PostgresDatabase:
    """A `Database` on a PostgreSQL server, given as "postgresql://USER@HOST/NAME".

    The password may be in the address, in PGPASSWORD or in the file that PGPASSFILE names.
    `wait_seconds` is how long a call waits for a server that does not answer.
    """

    shared = True

    def __init__(
        self, address: str, wait_seconds: float = 3.0, tracing: Tracing | None = None
    ) -> None:
        self._address = address
        self._tracing = tracing or Tracing()
        self._wait_seconds = wait_seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._closing = threading.Event()
        self._listener: threading.Thread | None = None
        self._listening = False
        self._tried_to_listen = threading.Event()
        self._changes = 0
        self._subscribers: list[Callable[[], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """See `Database`."""
        self._loop = asyncio.get_running_loop()
        await self._loop.run_in_executor(self._thread, self._open)
        self._listener = threading.Thread(target=self._listen, name="database-changes", daemon=True)
        self._listener.start()
        await asyncio.to_thread(self._tried_to_listen.wait)

    async def close(self) -> None:
        """See `Database`."""
        self._closing.set()
        if self._listener is not None:
            await asyncio.to_thread(self._listener.join)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)

    def version(self) -> int | None:
        """See `Database`; None while other rankers' writes are not received."""
        return self._changes if self._listening else None

    def subscribe(self, changed: Callable[[], None]) -> None:
        """See `Database`."""
        self._subscribers.append(changed)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """See `Database`. A separate connection holds the lock, so it ends with the ranker."""
        connection = None
        try:
            connection = await asyncio.to_thread(self._connect)
            # Polled: a wait in the server could not be cancelled with the job.
            while not await asyncio.to_thread(_try_lock, connection):  # noqa: ASYNC110
                await asyncio.sleep(_MEASURE_POLL_SECONDS)
        except psycopg.Error as error:
            raise self._unavailable("reached", error) from error
        else:
            yield
        finally:
            if connection is not None:
                connection.close()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """See `Database`."""
        return await self._on_thread(
            work, "read", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )

    async def write(self, work: Callable[[Connection], T]) -> T:
        """See `Database`."""
        result = await self._on_thread(
            work, "written", f"SELECT pg_advisory_xact_lock({WRITE_LOCK})"
        )
        self._changes += 1  # the notice of this write has not arrived yet
        return result

    async def _on_thread(self, work: Callable[[Connection], T], what: str, first: str) -> T:
        if self._loop is None:
            raise StoreError("the evidence database is not open")
        with self._tracing.request(f"database {_SPANS[what]}", {"db.system": "postgresql"}):
            running = self._loop.run_in_executor(self._thread, self._run, work, what, first)
            # A stopped server neither answers nor closes connections.
            done, _ = await asyncio.wait([running], timeout=2 * self._wait_seconds + 1)
            if not done:
                self._interrupt()
            return await running

    def _interrupt(self) -> None:
        """End the connection from outside: a caller that waits for it gets an error."""
        connection = self._connection
        if connection is None:
            return
        with (
            suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(connection.fileno())) as duplicate,
        ):
            duplicate.shutdown(socket.SHUT_RDWR)

    def _run(self, work: Callable[[Connection], T], what: str, first: str) -> T:
        until = time.monotonic() + self._wait_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                with self._connection.transaction():
                    self._connection.execute(first.encode())
                    return work(_Translated(self._connection))
            except _BROKEN as error:
                self._disconnect()
                if self._closing.is_set() or time.monotonic() >= until:
                    raise self._unavailable(what, error) from error
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            except psycopg.Error as error:
                raise self._unavailable(what, error) from error

    @staticmethod
    def _unavailable(what: str, error: psycopg.Error) -> Unavailable:
        # The server's address is for the operator only.
        _log.error("database", problem=str(error))
        return Unavailable(f"the evidence database cannot be {what} now; try again in a moment")

    def _open(self) -> None:
        try:
            self._connection = self._connect()
            with self._connection.transaction():
                self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (WRITE_LOCK,))
                prepare(self._connection)
        except psycopg.Error as error:
            self._disconnect()
            raise StoreError(
                f"the PostgreSQL server of ASSAY_RANKER_DATABASE_URL cannot be used: "
                f"{str(error).strip()}"
            ) from error
        except StoreError:
            self._disconnect()
            raise

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return connect(self._address, self._wait_seconds)

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None

    def _listen(self) -> None:
        """Count writes, and notify the subscribers, until the database is closed."""
        while not self._closing.is_set():
            try:
                with connect(self._address, self._wait_seconds) as connection:
                    connection.execute(f"LISTEN {_CHANNEL}".encode())
                    self._tell()  # writes may have been missed while nobody listened
                    self._listening = True
                    self._tried_to_listen.set()
                    while not self._closing.is_set():
                        for _ in connection.notifies(timeout=_LISTEN_SECONDS, stop_after=1):
                            self._tell()
            except psycopg.Error as error:
                if self._listening:
                    _log.warning("database", problem=f"no notice of changes: {error}")
                self._listening = False
                self._tried_to_listen.set()
                self._closing.wait(_LONGEST_PAUSE_SECONDS)
        self._listening = False

    def _tell(self) -> None:
        self._changes += 1
        for changed in self._subscribers:
            with suppress(RuntimeError):  # the loop has ended
                cast("asyncio.AbstractEventLoop", self._loop).call_soon_threadsafe(changed)


class _Translated:
    """Runs SQLite's statements."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """See `Connection`."""
        theirs = (
            statement.replace("%", "%%")
            .replace("SELECT value FROM json_each(?)", "SELECT json_array_elements_text(?::json)")
            .replace("?", "%s")
        )
        return self._connection.execute(
            theirs.encode(), [int(one) if isinstance(one, bool) else one for one in parameters]
        )


def connect(address: str, wait_seconds: float) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect to a server in autocommit mode. Raises `psycopg.Error`."""
    return psycopg.connect(
        address,
        autocommit=True,
        connect_timeout=max(2, round(wait_seconds)),
        application_name=APPLICATION,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
    )


def prepare(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Create the tables, or bring older ones to the present schema.

    Raises `StoreError` for those of a later version.
    """
    there = connection.execute("SELECT to_regclass('schema_version')").fetchone()
    if there is None or there[0] is None:
        connection.execute(_SCHEMA.encode())
        return
    row = connection.execute("SELECT version FROM schema_version").fetchone()
    version = row[0] if row else None
    if version == 3:
        connection.execute((_TO_SCHEMA_4 + _TO_SCHEMA_5).encode())
    elif version == 4:
        connection.execute(_TO_SCHEMA_5.encode())
    elif version != SCHEMA_VERSION:
        raise StoreError(
            f"the database of ASSAY_RANKER_DATABASE_URL has schema {version}; this ranker knows "
            f"{SCHEMA_VERSION}: give it another database, or run the version that made this one"
        )


def _try_lock(connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_MEASURE_LOCK,)).fetchone()
    return bool(row and row[0])
