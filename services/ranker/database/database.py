"""The interface of the ranker's databases: `sqlite.py` is one, `postgres.py` another.

A store passes it a function of a connection. The statements are SQLite's; the PostgreSQL database
translates the two that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class StoreError(Exception):
    """The database cannot be used; the message says which one, why and what to do."""


class Cursor(Protocol):
    """The rows that a statement returned."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All remaining rows."""


class Connection(Protocol):
    """Runs the statements of one transaction."""

    def execute(self, statement: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run a statement; `?` marks a parameter."""


class Database(Protocol):
    """Stores evidence, manifests, matches and outcomes.

    Open it before use; close it at the end.
    """

    @property
    def shared(self) -> bool:
        """Whether other rankers write to it too."""

    async def open(self) -> None:
        """Open the database and bring it to the present schema. Raises `StoreError`."""

    async def close(self) -> None:
        """Release the database. May be called twice."""

    def version(self) -> int | None:
        """A number that changes with every change of the database by anyone; None if unknown.

        Takes microseconds and no lock, so it may be called on the event loop.
        """

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Call `changed` on the event loop after another ranker has written."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Wait until no other ranker of this database measures, and keep others from measuring."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return the result of `work`, from one moment. Raises `Unavailable` if that fails."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one transaction: all of it, or none if it raises. One writer at a time.

        `work` may be called again if a connection broke: its statements must be idempotent. Raises
        `Unavailable` if that fails.
        """
