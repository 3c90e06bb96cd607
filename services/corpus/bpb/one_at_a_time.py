"""Blocking work in a thread, one piece at a time, followed from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from services.errors import Overloaded

UPDATE_SECONDS = 1.0
_RETRY_SECONDS = 5.0

T = TypeVar("T")


class CancelledError(Exception):
    """The caller no longer wants the result."""


class OneAtATime:
    """Takes one piece of work at a time and refuses others. Made once; `close` ends it."""

    def __init__(self, what: str) -> None:
        """`what` names the work in refusals: "scoring"."""
        self._what = what
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=what)
        self._busy = False
        self._cancel: Callable[[], None] | None = None

    async def follow(
        self, work: Callable[[], T], cancel: Callable[[], None]
    ) -> AsyncGenerator[T | None, None]:
        """Do work in the thread: yields None about once a second, and what it returns last.

        Leaving the iterator calls `cancel`, which is to end the work soon; `close` does so too. The
        next piece is taken once the work has ended. Raises Overloaded while another piece of work
        runs, and what the work raises.
        """
        if self._busy:
            raise Overloaded(
                f"another {self._what} is running, and they run one at a time", _RETRY_SECONDS
            )
        self._busy, self._cancel = True, cancel
        running = asyncio.get_running_loop().run_in_executor(self._executor, work)
        running.add_done_callback(self._release)
        try:
            while not (await asyncio.wait({running}, timeout=UPDATE_SECONDS))[0]:
                yield None
            yield running.result()
        finally:
            cancel()

    def _release(self, work: asyncio.Future[Any]) -> None:
        """Take the next piece: one whose caller left has ended too."""
        self._busy, self._cancel = False, None
        if not work.cancelled():
            work.exception()  # read, so that one without a caller is not logged as unhandled

    async def close(self) -> None:
        """End the work, if any, and the thread."""
        if self._cancel is not None:
            self._cancel()
        await asyncio.to_thread(self._executor.shutdown)
