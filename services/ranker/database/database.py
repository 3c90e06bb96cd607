"""What every database of the ranker can do: `sqlite.py` is one, `postgres.py` another.

A store hands it a function of a connection. The statements are SQLite's; PostgreSQL translates
the two things that it writes differently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class StoreError(Exception):
    """The database cannot be used; the message says which one, why and what to do."""


class Cursor(Protocol):
    """The rows that a statement gave."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""


class Connection(Protocol):
    """What runs the statements of one transaction."""

    def execute(self, statement: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run a statement; `?` stands for a parameter."""


class Database(Protocol):
    """Where evidence, manifests, matches and outcomes are kept.

    Open it before use; close it at the end.
    """

    @property
    def shared(self) -> bool:
        """Whether other rankers write it too."""

    async def open(self) -> None:
        """Open the database and bring it to the present schema. Raises `StoreError`."""

    async def close(self) -> None:
        """Release the database. Closing twice is closing once."""

    def version(self) -> int | None:
        """A number that changes with every change of the database, by whomever; None if unknown.

        Takes microseconds and no lock, so it may be called on the event loop.
        """

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Call `changed` on the event loop after another ranker has written."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Wait until no other ranker of this database measures, and keep them from it."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Return what `work` reads, of one moment. Raises `Unavailable` when that fails."""

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one transaction: all of it, or none when it raises. One writes at a time.

        `work` may be called again where a connection broke: its statements must be such that
        doing them twice is doing them once. Raises `Unavailable` when that fails.
        """
