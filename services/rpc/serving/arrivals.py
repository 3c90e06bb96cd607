"""Ends calls whose message has not arrived if the process comes close to its memory limit.

The transport buffers what has arrived of a message, and does not say how much. Forty callers that
each stop before the last byte of 63 MB would hold 2.5 GB. So while calls wait for messages, the
process's memory is looked at. If it is short, and returning freed memory to the system does not
help, half of those calls are ended: first calls of a single request, the oldest first, because a
stream may wait for its next message and hold nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from services.common import memory
from services.errors import Overloaded
from services.rpc.serving.memory import return_memory

# Memory is short when the process holds this share of its limit.
_SHORT_SHARE = 0.7
# Seconds between two looks at the memory.
_LOOK_SECONDS = 0.05
# Calls that may go on waiting for their message while memory is short.
_SPARED = 2
# Seconds after which a call that was ended may be tried again.
_RETRY_SECONDS = 1.0


def memory_is_short() -> Callable[[], bool]:
    """Return a function that says whether the process is close to its memory limit.

    The limit is that of its control group or of the machine; without one, memory is never short.
    """
    limit = memory.total()
    most = None if limit is None else limit * _SHORT_SHARE
    return lambda: most is not None and (memory.held() or 0) > most


class Arrivals:
    """Calls that wait for a message. Belongs to one event loop."""

    def __init__(self, is_short: Callable[[], bool] | None = None) -> None:
        self._is_short = is_short or memory_is_short()
        # Tasks that wait, in the order in which they began to, and whether each is a stream.
        self._expected: dict[asyncio.Task[object], bool] = {}
        self._ended: set[asyncio.Task[object]] = set()
        self._look: asyncio.TimerHandle | None = None
        self._relief: asyncio.Task[None] | None = None

    @contextmanager
    def expected(self, *, stream: bool = False) -> Iterator[None]:
        """Surround the wait for a message; raises Overloaded in it if memory is short."""
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._expected[task] = stream
        self._look_soon()
        try:
            yield
        except asyncio.CancelledError:
            if task in self._ended and task.uncancel() == 0:
                raise Overloaded(
                    "the server is short of memory, and the request had not arrived yet",
                    _RETRY_SECONDS,
                ) from None
            raise
        finally:
            self._expected.pop(task, None)
            self._ended.discard(task)

    def _look_soon(self) -> None:
        if self._look is None and self._relief is None:
            self._look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        if len(self._expected) > _SPARED and self._is_short():
            self._relief = asyncio.create_task(self._relieve())
        elif self._expected:
            self._look_soon()

    async def _relieve(self) -> None:
        try:
            await return_memory()
            if self._is_short():
                self._end_half()
        finally:
            self._relief = None
            if self._expected:
                self._look_soon()

    def _end_half(self) -> None:
        waiting = sorted(self._expected, key=self._expected.__getitem__)  # keeps their order
        for task in waiting[: min(len(waiting) - _SPARED, (len(waiting) + 1) // 2)]:
            del self._expected[task]
            self._ended.add(task)
            task.cancel()
