"""Limits the bytes that pictures in windows hold at once. For one event loop."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.errors import DeadlineExceeded


class Room:
    """A number of bytes; a caller that needs more than are left waits, in order."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self._left = nbytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, nbytes: int, deadline: float) -> AsyncIterator[None]:
        """Hold a number of bytes, at most `self.nbytes`, once they are free.

        Raises DeadlineExceeded if they are not free by the deadline, on the running loop's clock.
        """
        await self._take(nbytes, deadline)
        try:
            yield
        finally:
            self._give_back(nbytes)

    async def _take(self, nbytes: int, deadline: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((nbytes, turn))
        self._let_in()
        try:
            async with asyncio.timeout_at(None if deadline == math.inf else deadline):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if not turn.cancelled():
                self._give_back(nbytes)  # its turn came at this moment
            else:
                self._waiting = deque(one for one in self._waiting if one[1] is not turn)
                self._let_in()
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    "the request waited for other pictures in windows until it was too late"
                ) from None
            raise

    def _give_back(self, nbytes: int) -> None:
        self._left += nbytes
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._left:
            nbytes, turn = self._waiting.popleft()
            if not turn.done():
                self._left -= nbytes
                turn.set_result(None)
