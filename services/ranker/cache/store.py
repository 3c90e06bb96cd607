"""Stores of the cache's values: the protocol, its two errors, and a store in this process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol


class StoreUnavailableError(Exception):
    """The store does not answer: leave it alone for a while."""


class StoreRefusedError(Exception):
    """The store answers, but will not do this: it is full, read-only or forbids it."""


class CacheStore(Protocol):
    """Stores values by key.

    Every failure is a StoreUnavailableError or a StoreRefusedError.
    """

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none."""

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value, for `seconds` at most."""

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        """Keep a value unless there is one; return whether it was kept."""

    async def remove(self, key: str) -> None:
        """Remove a value, if there is one."""

    async def remove_all(self, prefix: str, containing: str) -> int:
        """Remove values whose key has this beginning and contains that text; return how many."""

    async def ping(self) -> None:
        """Return when the store answers."""

    async def close(self) -> None:
        """Release what the store holds open."""


class MemoryStore:
    """Values in this process: past `max_bytes`, the least recently used are dropped."""

    def __init__(
        self, max_bytes: int = 64 << 20, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0
        self._clock = clock

    async def get(self, key: str) -> bytes | None:
        """The value; None if there is none or it has expired."""
        entry = self._values.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            self._drop(key)
            return None
        self._values.move_to_end(key)
        return entry[1]

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value, unless it is larger than the whole store."""
        if key in self._values:
            self._drop(key)
        if self._cost(key, value) > self._max_bytes:
            return
        self._values[key] = (self._clock() + seconds, value)
        self._bytes += self._cost(key, value)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._values)))

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        """Keep a value unless there is one; return whether it was kept."""
        if await self.get(key) is not None:
            return False
        await self.set(key, value, seconds)
        return True

    async def remove(self, key: str) -> None:
        """Remove a value, if there is one."""
        if key in self._values:
            self._drop(key)

    async def remove_all(self, prefix: str, containing: str) -> int:
        """Remove values whose key has this beginning and contains that text; return how many."""
        found = [
            key
            for key in self._values
            if key.startswith(prefix) and containing in key.removeprefix(prefix)
        ]
        for key in found:
            self._drop(key)
        return len(found)

    async def ping(self) -> None:
        """Return at once."""

    async def close(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._bytes = 0

    def _drop(self, key: str) -> None:
        self._bytes -= self._cost(key, self._values.pop(key)[1])

    @staticmethod
    def _cost(key: str, value: bytes) -> int:
        return len(key) + len(value)
