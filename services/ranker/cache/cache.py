"""Comparisons kept for the next caller, as bytes.

A key contains the digests of everything that a comparison depends on, so a cached value is never
wrong; it is dropped after some time only to make room. Each value is stored with a MAC over its
key, its time and its bytes: anyone who can write to the store but lacks the server's secret cannot
change an answer. A value of another schema, or one that is damaged, forged or too old, counts as a
miss.

Callers of the same key at the same time share one computation: within this process by sharing its
task, and across processes that share a store by a lease in the store, for which the others wait.

A store that does not answer is left alone until it answers again, and the log says so once:
meanwhile comparisons are computed (`BYPASS`). The cache raises no error of its own.
"""

from __future__ import annotations

import asyncio
import hmac
import random
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from services.errors import Unavailable
from services.ranker.cache.guard import Guard
from services.ranker.cache.store import CacheStore

KEEP_SECONDS = 2 * 86_400.0
"""How long a value is kept, plus or minus a tenth so that values do not all expire at once."""

_SPREAD = (0.9, 1.1)

LEASE_SECONDS = 10.0
"""How long others wait for a process that computes before they compute themselves."""

_POLL_SECONDS = 0.01
_MAGIC = b"assay-cmp"
_HEADER = struct.Struct(">9sHd")
"""Magic, schema, time of writing in seconds since 1970; then the MAC and the value."""
_MAC_BYTES = 32
_MAX_CLOCK_DIFFERENCE_SECONDS = 300.0


class CacheStatus(StrEnum):
    """What the cache did."""

    HIT = "HIT"
    MISS = "MISS"
    BYPASS = "BYPASS"


@dataclass(frozen=True)
class CacheInfo:
    """What the cache did, and the age of the value in seconds (0 unless it was cached)."""

    status: CacheStatus
    age: float = 0.0


Answer = tuple[bytes, CacheInfo]


class Cache:
    """Bytes by key.

    `schema` numbers the form of the bytes: raise it when older ones could be misread. `secret` is
    shared by all users of the store; an empty one protects values only from damage. `retry_seconds`
    is how often to test a store that does not answer. `observe` gets what the cache did for each
    caller, and the seconds it took.
    """

    def __init__(
        self,
        store: CacheStore,
        *,
        schema: int,
        secret: bytes = b"",
        lease_seconds: float = LEASE_SECONDS,
        retry_seconds: float = 1,
        observe: Callable[[CacheStatus, float], None] = lambda _status, _seconds: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._guard = Guard(store, retry_seconds)
        self._observe = observe
        self._store = store
        self._schema = schema
        self._secret = secret
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._flights: dict[str, asyncio.Task[Answer]] = {}

    async def get(self, key: str, compute: Callable[[], Awaitable[bytes]]) -> Answer:
        """The value of `key`, computed if it is not cached, with what the cache did.

        Errors of `compute` reach every caller that waits for it. Cancelling one caller does not
        stop the computation for the others.
        """
        begun = time.perf_counter()
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._find(key, compute))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        answer = await asyncio.shield(flight)
        self._observe(answer[1].status, time.perf_counter() - begun)
        return answer

    async def invalidate(self, prefix: str, containing: str = "") -> int:
        """Drop values whose key begins with the first text and contains the other; return how many.

        Raises `Unavailable` if the store does not answer or refuses.
        """
        removed = await self._guard.ask(self._store.remove_all(prefix, containing))
        if removed is None:
            raise Unavailable("the cache does not answer or refuses; see the log, and ask again")
        return removed

    async def close(self) -> None:
        """Stop testing the store, and close it."""
        for flight in list(self._flights.values()):
            flight.cancel()
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
        await self._guard.close()
        await self._store.close()

    def _landed(self, key: str, flight: asyncio.Task[Answer]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # mark as retrieved, even if every caller left

    async def _find(self, key: str, compute: Callable[[], Awaitable[bytes]]) -> Answer:
        if not self._guard.open:
            return await compute(), CacheInfo(CacheStatus.BYPASS)
        kept = await self._look_up(key)
        if kept is not None:
            return kept
        # If the store cannot say whether another process computes, each process computes.
        lease = f"lease:{key}"
        added = await self._guard.ask(self._store.add(lease, b"1", self._lease_seconds))
        leased = added is not False
        try:
            # Even with the lease: its previous holder may have stored the value meanwhile.
            kept = await (self._look_up(key) if leased else self._wait(key, lease))
            return kept or await self._compute(key, compute)
        finally:
            if leased:
                await self._guard.ask(self._store.remove(lease))

    async def _look_up(self, key: str) -> Answer | None:
        """The cached value, unless it is of another schema, damaged, forged or too old."""
        raw = await self._guard.ask(self._store.get(key))
        start = _HEADER.size + _MAC_BYTES
        if raw is None or len(raw) < start:
            return None
        header, mac, value = raw[: _HEADER.size], raw[_HEADER.size : start], raw[start:]
        if not hmac.compare_digest(mac, self._mac(key, header, value)):
            return None
        magic, schema, written = _HEADER.unpack(header)
        age = self._clock() - written
        # Another machine's clock may be a little ahead.
        if not -_MAX_CLOCK_DIFFERENCE_SECONDS <= age <= _SPREAD[1] * KEEP_SECONDS:
            return None
        if (magic, schema) != (_MAGIC, self._schema):
            return None
        return value, CacheInfo(CacheStatus.HIT, max(0.0, age))

    def _mac(self, key: str, header: bytes, value: bytes) -> bytes:
        name = key.encode()
        # The key's length comes first, so that no key and value can be read as another pair.
        message = b"".join((len(name).to_bytes(8), name, header, value))
        return hmac.digest(self._secret, message, "sha256")

    async def _compute(self, key: str, compute: Callable[[], Awaitable[bytes]]) -> Answer:
        value = await compute()
        header = _HEADER.pack(_MAGIC, self._schema, self._clock())
        entry = header + self._mac(key, header, value) + value
        seconds = random.uniform(*_SPREAD) * KEEP_SECONDS  # noqa: S311  (spreads load, no secret)
        kept = await self._guard.do(self._store.set(key, entry, seconds))
        return value, CacheInfo(CacheStatus.MISS if kept else CacheStatus.BYPASS)

    async def _wait(self, key: str, lease: str) -> Answer | None:
        """The value that another process computes; None if that fails or takes too long."""
        until = time.monotonic() + self._lease_seconds
        while self._guard.open and time.monotonic() < until:
            await asyncio.sleep(_POLL_SECONDS)
            kept = await self._look_up(key)
            if kept is not None:
                return kept
            if await self._guard.ask(self._store.get(lease)) is None:
                return await self._look_up(key)  # the computation may have ended in between
        return None
