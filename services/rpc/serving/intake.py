"""Bounds the memory of requests from before they are read until they are answered.

A service counts what it has accepted. What has been sent and is not accepted yet is here: the
transport buffers a message as soon as someone waits for it, and it is in memory several times while
it is parsed. So a few calls at a time may read their message, and what has been read counts until
its call ends.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from services.errors import Overloaded

# Calls that read their message at a time.
_READING = 4
# Seconds after which a call that is still reading, from a slow client, lets another one read too.
_READ_SECONDS = 0.25
# Seconds that a call waits for its turn at most: who begins any number of calls and sends nothing
# takes all turns.
_WAIT_SECONDS = 2.0
# Seconds after which a refused caller may find room.
_RETRY_SECONDS = 0.1


class Intake:
    """Holds up to `max_bytes` of requests, by their size on the wire. Of one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._reading = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.held_bytes = 0
        """Bytes of the requests that were read and are not answered."""

    async def enter(self) -> Claim:
        """Wait until one more call may read its message, or for two seconds."""
        if self._reading >= _READING:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                async with asyncio.timeout(_WAIT_SECONDS):
                    await turn
            except TimeoutError:
                if turn.cancelled():
                    self._forget(turn)
                    self._reading += 1
            except asyncio.CancelledError:
                if turn.cancelled():
                    self._forget(turn)
                else:
                    self._next()  # its turn came before the cancellation
                raise
        else:
            self._reading += 1
        return Claim(self)

    def _forget(self, turn: asyncio.Future[None]) -> None:
        """Take a cancelled turn out of the line; another call's end may have done so before."""
        with suppress(ValueError):
            self._waiting.remove(turn)

    def _next(self) -> None:
        """Let the next one read in the place of a call that has read."""
        while self._waiting and self._reading <= _READING:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._reading -= 1

    def _take(self, size: int) -> bool:
        if self.held_bytes and self.held_bytes + size > self._max_bytes:
            return False
        self.held_bytes += size
        return True


class Claim:
    """What one call may hold."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._size = 0
        self._refused = 0
        self._turn = _Turn(intake)
        # A call whose caller leaves while it reads is dropped without a word.
        weakref.finalize(self, self._turn.end).atexit = False

    def reading(self, deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
        """Return what parses the call's message; one that finds no room is not parsed."""

        def read(message: bytes) -> Any:
            self._turn.end()
            size = len(message)
            if not self._intake._take(size):
                self._refused = size
                return None
            self._size = size
            return message if deserialize is None else deserialize(message)

        return read

    def require_read(self) -> None:
        """Raise Overloaded if the message found no room."""
        if self._refused:
            raise Overloaded(
                f"the server holds {self._intake.held_bytes} bytes of requests, and this one has "
                f"{self._refused}",
                _RETRY_SECONDS,
            )

    def close(self) -> None:
        """The call has ended."""
        self._intake.held_bytes -= self._size
        self._size = 0


class _Turn:
    """A call's turn to read: until it has read, or has taken long enough."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._ended = False
        self._timer = asyncio.get_running_loop().call_later(_READ_SECONDS, self.end)

    def end(self) -> None:
        """Let the next one read."""
        if not self._ended:
            self._ended = True
            self._timer.cancel()
            self._intake._next()
