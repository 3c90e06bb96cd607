"""Runs a long piece of blocking work once for all callers that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import Executor


class SingleFlight:
    """Runs at most one piece of work for each key at a time, in `executor`.

    The work continues when its callers leave, so later callers wait for less of it.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._running: dict[Hashable, asyncio.Future[None]] = {}

    async def run(self, key: Hashable, work: Callable[[], object]) -> None:
        """Return once `work` is done, whichever caller started it. Raises what the work raises."""
        running = self._running.get(key)
        if running is None:
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._executor, lambda: (work(), None)[1])
            self._running[key] = running
            running.add_done_callback(lambda done: self._forget(key, done))
        await asyncio.shield(running)

    def _forget(self, key: Hashable, done: asyncio.Future[None]) -> None:
        del self._running[key]
        if not done.cancelled():
            done.exception()  # callers that wait get it; others need no log line
