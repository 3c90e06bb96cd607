"""Limits the memory of requests from before they are read until they are answered.

A service counts requests that it has accepted; this module counts those before. The transport
buffers a message as soon as anyone waits for it, and parsing holds several copies in memory. So
only a few calls at a time may read their message, and a message counts until its call ends.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from services.errors import Overloaded

# Calls that may read their message at the same time.
_READING = 4
# Seconds after which a call that is still reading (a slow client) lets another call read too.
_READ_SECONDS = 0.25
# Longest wait for a turn, in seconds: a client that starts many calls and sends nothing takes all
# turns.
_WAIT_SECONDS = 2.0
# Seconds after which a refused caller may try again.
_RETRY_SECONDS = 0.1


class Intake:
    """Holds up to `max_bytes` of requests, by size on the wire. Belongs to one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._reading = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.held_bytes = 0
        """Bytes of requests that were read and are not answered yet."""

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
                    self._next()  # the turn came before the cancellation
                raise
        else:
            self._reading += 1
        return Claim(self)

    def _forget(self, turn: asyncio.Future[None]) -> None:
        """Remove a cancelled turn from the queue, unless another call's end has already done so."""
        with suppress(ValueError):
            self._waiting.remove(turn)

    def _next(self) -> None:
        """Let the next waiting call read after a call has read."""
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
    """The memory that one call holds."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._size = 0
        self._refused = 0
        self._turn = _Turn(intake)
        # A call whose caller leaves while it reads is dropped without notice.
        weakref.finalize(self, self._turn.end).atexit = False

    def reading(self, deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
        """Return the parser of the call's message; a message that does not fit is not parsed."""

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
        """Raise Overloaded if the message did not fit."""
        if self._refused:
            raise Overloaded(
                f"the server holds {self._intake.held_bytes} bytes of requests, and this one has "
                f"{self._refused}",
                _RETRY_SECONDS,
            )

    def close(self) -> None:
        """End the call and release its memory."""
        self._intake.held_bytes -= self._size
        self._size = 0


class _Turn:
    """A call's turn to read, which ends when it has read or has taken too long."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._ended = False
        self._timer = asyncio.get_running_loop().call_later(_READ_SECONDS, self.end)

    def end(self) -> None:
        """Let the next call read."""
        if not self._ended:
            self._ended = True
            self._timer.cancel()
            self._intake._next()
