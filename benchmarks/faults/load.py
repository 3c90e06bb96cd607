"""Calls in a loop while something happens to the services, and the outcome of each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import grpc
from assay_rpc.errors import AssayError


class WrongAnswer(Exception):
    """An answer is wrong."""


@dataclass
class Calls:
    """The outcomes of the calls: seconds of each, failures and wrong answers."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def worst(self) -> float:
        """The longest that an answered call took, in seconds."""
        return max(self.seconds, default=0.0)

    @property
    def failed_share(self) -> float:
        """The share of calls that failed, in [0, 1]."""
        return len(self.failed) / max(1, len(self.failed) + len(self.seconds))

    def add(self, other: Calls) -> None:
        """Add the calls of `other`."""
        self.seconds += other.seconds
        self.failed += other.failed
        self.wrong += other.wrong


class Load:
    """Clients that call in a loop, on their own event loop, while the context is entered.

    `rate` is the largest number of calls a second over all clients.
    """

    def __init__(
        self,
        call: Callable[[int], Awaitable[None]],
        *,
        clients: int,
        rate: float | None = None,
    ) -> None:
        """`call` gets a number that no other call has; it raises where the answer is wrong."""
        self._call = call
        self._clients = clients
        self._pause = clients / rate if rate else 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._number = 0
        self.calls = Calls()

    async def _run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))

    async def _client(self, first: int) -> None:
        await asyncio.sleep(self._pause * first / self._clients)
        while not self._over.is_set():
            self._number += 1
            begun = time.monotonic()
            try:
                await self._call(self._number)
            except WrongAnswer as error:
                self.calls.wrong.append(str(error))
            except (grpc.RpcError, AssayError, OSError) as error:
                self.calls.failed.append(str(error)[:300])
            else:
                self.calls.seconds.append(time.monotonic() - begun)
            await asyncio.sleep(max(0.0, self._pause - (time.monotonic() - begun)))

    def answered(self, more: int, seconds: float = 60.0) -> None:
        """Return after `count` further answers, or when the time is over."""
        wanted = len(self.calls.seconds) + more
        until = time.monotonic() + seconds
        while len(self.calls.seconds) < wanted and time.monotonic() < until:
            time.sleep(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
