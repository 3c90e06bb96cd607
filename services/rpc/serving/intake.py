"""Limits the memory of requests from before they are read until they are answered.

A service counts requests that it has accepted; this module counts those before. The transport
buffers a message as soon as anyone waits for it, and parsing holds several copies in memory. So
only a few calls at a time may read their message, and a message counts until its call ends. For
messages that arrive slowly, see `arrivals`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from services.rpc.serving.arrivals import Arrivals

# Calls that may read their message at the same time.
_READING = 4
# Seconds after which a call that is still reading (a slow client) lets another call read too.
_READ_SECONDS = 0.25
# Longest wait for a turn, in seconds: a client that starts many calls and sends nothing takes all
# turns.
_WAIT_SECONDS = 2.0


class Intake:
    """Holds up to `max_bytes` of requests, by size on the wire. Belongs to one event loop."""

    def __init__(self, max_bytes: int, arrivals: Arrivals | None = None) -> None:
        self._max_bytes = max_bytes
        self._reading = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.arrivals = arrivals or Arrivals()
        """Calls whose message has not arrived yet."""
        self.held_bytes = 0
        """Bytes of requests that were read and are not answered yet."""

    async def turn(self) -> Turn:
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
        return Turn(self)

    def take(self, size: int) -> bool:
        """Hold a message of so many bytes, if it fits; a single one always does."""
        if self.held_bytes and self.held_bytes + size > self._max_bytes:
            return False
        self.held_bytes += size
        return True

    def release(self, size: int) -> None:
        """Hold so many bytes no longer."""
        self.held_bytes -= size

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


class Turn:
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
