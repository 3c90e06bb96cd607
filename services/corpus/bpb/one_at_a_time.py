"""Blocking work in a thread, one piece at a time, followed from the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from services.common import left_behind
from services.errors import Overloaded

UPDATE_SECONDS = 1.0
_RETRY_SECONDS = 5.0

T = TypeVar("T")


class CancelledError(Exception):
    """The caller no longer wants the result."""


class Caller:
    """Whether the caller of blocking work still waits; shared by the work and its caller."""

    def __init__(self) -> None:
        """Make a caller that waits."""
        self._lock = threading.Lock()
        self._left = self._waits = False

    def leave(self) -> bool:
        """Make the work end soon. Return whether it is in a part that cannot be stopped."""
        with self._lock:
            self._left = True
            return self._waits

    def check(self) -> None:
        """Raise CancelledError when the caller has left."""
        with self._lock:
            self._check()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Do work that cannot be stopped, such as loading a model; it goes on without its caller.

        Raises as `check` does, before and after it.
        """
        with self._lock:
            self._check()
            self._waits = True
        try:
            yield
        finally:
            with self._lock:
                self._waits = False
        self.check()

    def _check(self) -> None:
        if self._left:
            raise CancelledError


class OneAtATime:
    """Takes one piece of work at a time and refuses others. Made once; `close` ends it."""

    def __init__(self, what: str) -> None:
        """`what` names the work in refusals: "scoring"."""
        self._what = what
        self._executor = self._thread()
        self._running: asyncio.Future[Any] | None = None
        self._behind: asyncio.Future[Any] | None = None
        self._caller = Caller()

    async def follow(self, work: Callable[[], T], caller: Caller) -> AsyncGenerator[T | None, None]:
        """Do work in the thread: yields None about once a second, and what it returns last.

        Leaving the iterator lets `caller` leave, which is to end the work soon; `close` does so
        too. The next piece is taken once the work has ended. Work that waits for what cannot be
        stopped is left behind, one piece at most, and the next piece is taken at once, in another
        thread. Raises Overloaded while another piece of work runs, and what the work raises.
        """
        if self._running is not None:
            raise Overloaded(
                f"another {self._what} is running, and they run one at a time", _RETRY_SECONDS
            )
        running = asyncio.get_running_loop().run_in_executor(self._executor, work)
        self._running, self._caller = running, caller
        running.add_done_callback(self._release)
        try:
            while not (await asyncio.wait({running}, timeout=UPDATE_SECONDS))[0]:
                yield None
            yield running.result()
        finally:
            # Otherwise callers that leave at once would make loads wait for each other forever.
            if caller.leave() and running is self._running and self._behind is None:
                self._leave_behind(running)

    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._what)

    def _leave_behind(self, running: asyncio.Future[Any]) -> None:
        if not running.done():
            left_behind.add(running)
            self._executor.shutdown(wait=False)
            self._executor, self._running, self._behind = self._thread(), None, running

    def _release(self, work: asyncio.Future[Any]) -> None:
        """Take the next piece: one whose caller left has ended too."""
        left_behind.ended(work)
        if self._running is work:
            self._running = None
        if self._behind is work:
            self._behind = None
        if not work.cancelled():
            work.exception()  # read, so that one without a caller is not logged as unhandled

    async def close(self) -> None:
        """End the work, if any, and the thread."""
        if self._running is not None and self._caller.leave():
            self._leave_behind(self._running)
        await asyncio.to_thread(self._executor.shutdown)
