"""Where evidence is kept: SQLite, append-only, one writer.

All work with the database happens on one thread of its own, so that writes are serial, nothing
blocks the event loop, and the connection is used only where it was made. Another database means
another class with these four methods.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from services.errors import Unavailable
from services.ranker.evidence import EvidenceError, canonical, digest_of, restore
from services.ranker.model import Evidence

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS evidence (
    digest TEXT PRIMARY KEY,
    claim TEXT NOT NULL,
    time TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS evidence_by_claim ON evidence (claim, time);
CREATE TRIGGER IF NOT EXISTS evidence_is_never_changed BEFORE UPDATE ON evidence
BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER IF NOT EXISTS evidence_is_never_taken_back BEFORE DELETE ON evidence
BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
"""
_LOCKED_SECONDS = 3.0
"""How long to wait for a database that another process has locked."""

T = TypeVar("T")


class StoreError(Exception):
    """The database cannot be used; the message says which one, why and what to do."""


@dataclass(frozen=True)
class Refusal:
    """A stored piece of evidence on `claim` that is not used, and why, in words."""

    claim: str
    problem: str


class Store:
    """Evidence by claim. Open it before use; close it at the end.

    `locked_seconds` is how long to wait while another process holds the database.
    """

    def __init__(self, path: Path, locked_seconds: float = _LOCKED_SECONDS) -> None:
        self._path = path
        self._locked_seconds = locked_seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="evidence")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the database, made with its folder when it is not there. Raises `StoreError`."""
        await self._run(self._open)

    async def close(self) -> None:
        """Close the database. Closing twice is closing once."""
        await self._run(self._close)

    async def append(self, evidence: Evidence) -> None:
        """Keep a piece of evidence. Keeping the same twice is keeping it once.

        Raises `EvidenceError` when its digest is not that of its content, `Unavailable` when the
        database cannot be written now.
        """
        content = canonical(evidence)
        if digest_of(content) != evidence.digest:
            raise EvidenceError(
                f"evidence {evidence.digest}: its content gives {digest_of(content)}; it is refused"
            )
        row = (evidence.digest, evidence.claim, evidence.time.isoformat(), content)
        await self._run(lambda: self._append(row))

    async def about(
        self, claims: Iterable[str]
    ) -> tuple[tuple[Evidence, ...], tuple[Refusal, ...]]:
        """Return all evidence on the claims, oldest first, and what was refused.

        A piece whose content no longer gives its digest is refused and not returned. Raises
        `Unavailable` when the database cannot be read now.
        """
        names = tuple(claims)
        rows = await self._run(lambda: self._select(names))
        kept: list[Evidence] = []
        refused: list[Refusal] = []
        for claim, digest, content in rows:
            try:
                kept.append(restore(content, digest))
            except EvidenceError as error:
                refused.append(Refusal(claim, str(error)))
        return tuple(kept), tuple(refused)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, timeout=self._locked_seconds)
            # Readers go on while the writer writes, and a crash loses nothing that was committed.
            connection.execute("PRAGMA journal_mode = WAL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, _SCHEMA_VERSION):
                connection.close()
                raise StoreError(
                    f"{self._path} has schema {version}; this ranker knows {_SCHEMA_VERSION}: "
                    "give it another file, or run the version that made this one"
                )
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            connection.commit()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"{self._path} cannot be used as the evidence database: {error}; "
                "set ASSAY_RANKER_DATABASE to a file that can be written"
            ) from error
        self._connection = connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self._path} is not open")
        return self._connection

    def _append(self, row: tuple[str, str, str, bytes]) -> None:
        try:
            with self._opened() as connection:
                connection.execute(
                    "INSERT INTO evidence (digest, claim, time, content) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (digest) DO NOTHING",
                    row,
                )
        except sqlite3.Error as error:
            raise _unavailable("written", error) from error

    def _select(self, claims: tuple[str, ...]) -> list[tuple[str, str, bytes]]:
        marks = ", ".join("?" * len(claims))
        query = (
            f"SELECT claim, digest, content FROM evidence WHERE claim IN ({marks}) "  # noqa: S608
            "ORDER BY time, digest"
        )
        try:
            return self._opened().execute(query, claims).fetchall()
        except sqlite3.Error as error:
            raise _unavailable("read", error) from error


def _unavailable(what: str, error: sqlite3.Error) -> Unavailable:
    """Say it without the path, which is the operator's to know."""
    return Unavailable(
        f"the evidence database cannot be {what}: {error}; end what else holds it, or make room "
        "on its disk, and ask again"
    )
