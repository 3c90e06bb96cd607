"""Protects callers from a cache's store that does not answer, by leaving the store alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from services.ranker.cache.store import CacheStore, StoreRefusedError, StoreUnavailableError

T = TypeVar("T")

_log = structlog.get_logger("services.ranker.cache.cache")

_MAX_CONCURRENT_CALLS = 64
"""Most calls to the store at a time; more would only wait in its connections."""


class Guard:
    """Calls a store, and stops calling while it does not answer. The log says so once.

    Pass coroutines that have not been awaited: those that are not run are closed.
    """

    def __init__(self, store: CacheStore, retry_seconds: float) -> None:
        self._store = store
        self._retry_seconds = retry_seconds
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT_CALLS)
        self._recovery: asyncio.Task[None] | None = None
        self._refused = False

    @property
    def open(self) -> bool:
        """Whether the store is called at present."""
        return self._recovery is None

    async def ask(self, call: Coroutine[Any, Any, T]) -> T | None:
        """The result of a call, or None if the store did not answer."""
        async with self._slots:
            if not self.open:
                call.close()
                return None
            try:
                return await call
            except StoreUnavailableError as error:
                self._leave_alone(error)
            except StoreRefusedError as error:
                self._note_refusal(error)
        return None

    async def do(self, call: Coroutine[Any, Any, None]) -> bool:
        """Whether a call that writes succeeded."""

        async def done() -> bool:
            await call
            return True

        answer = await self.ask(done())
        call.close()  # if it was never awaited
        if answer and self._refused:
            self._refused = False
            _log.info("cache.accepts_again")
        return answer is True

    async def close(self) -> None:
        """Stop testing whether the store answers again."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
            self._recovery = None

    def _leave_alone(self, error: StoreUnavailableError) -> None:
        if self._recovery is None:
            _log.warning("cache.unavailable", problem=str(error), instead="computing")
            self._recovery = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        """Tests the store now and then, without delaying callers, until it answers."""
        while True:
            await asyncio.sleep(self._retry_seconds)
            try:
                await self._store.ping()
            except StoreUnavailableError:
                continue
            except StoreRefusedError as error:
                self._note_refusal(error)
            break
        self._recovery = None
        _log.info("cache.available_again")

    def _note_refusal(self, error: StoreRefusedError) -> None:
        if not self._refused:
            self._refused = True
            _log.warning("cache.refused", problem=str(error), instead="computing")
