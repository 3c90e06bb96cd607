"""Comparisons kept for the next caller.

A key holds the digests of all that a comparison depends on, so a kept value is never out of date;
it ends only to make room. What is kept is bytes behind a header (schema, time, checksum); a value
of another schema, damaged or undecodable, counts as a miss. Callers who ask for the same key at the
same time share one look-up and one computation.

A store that does not answer is left alone until it does again, and the log says so once: meanwhile
comparisons are computed (`BYPASS`). The cache raises no error of its own.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

import structlog

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_MAGIC = b"assay-cmp"
_HEADER = struct.Struct(">9sHdI")
"""Magic, schema, seconds since 1970, CRC-32 of the payload that follows."""

_SLOTS = 64
"""Questions to the store at a time; more would wait in its connections instead."""


class CacheStatus(StrEnum):
    """What the cache did."""

    HIT = "HIT"
    MISS = "MISS"
    BYPASS = "BYPASS"


@dataclass(frozen=True)
class CacheInfo:
    """What the cache did, and the age of the value in seconds (0 unless it was a hit)."""

    status: CacheStatus
    age: float = 0.0


class StoreUnavailableError(Exception):
    """The store does not answer: leave it alone for a while."""


class StoreRefusedError(Exception):
    """The store answers, but will not do this: it is full, read-only or forbids it."""


class Store(Protocol):
    """Where values are kept, by key.

    Whatever goes wrong is a StoreUnavailableError or a StoreRefusedError.
    """

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none."""

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value, for `seconds` at most."""

    async def ping(self) -> None:
        """Return when the store answers."""

    async def close(self) -> None:
        """Let go of what the store holds open."""


class MemoryStore:
    """Values in this process: the least recently used go when they take more than `max_bytes`."""

    def __init__(
        self, max_bytes: int = 64 << 20, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0
        self._clock = clock

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none or its time is over."""
        entry = self._values.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            self._drop(key)
            return None
        self._values.move_to_end(key)
        return entry[1]

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value; one that is larger than the whole store is not kept."""
        if key in self._values:
            self._drop(key)
        if self._cost(key, value) > self._max_bytes:
            return
        self._values[key] = (self._clock() + seconds, value)
        self._bytes += self._cost(key, value)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._values)))

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


@dataclass(frozen=True)
class _Found(Generic[T]):
    """What one flight brought back. `payload` lets every caller have a value of its own."""

    payload: bytes
    value: T
    info: CacheInfo


class Cache(Generic[T]):
    """Values of one kind, by key.

    `schema` numbers the form of `encode`'s bytes: raise it when `decode` could misread older ones.
    `seconds` is how long a value is kept, give or take a tenth so that values do not all end at
    once; `retry_seconds` is how often a store that does not answer is asked whether it does again.
    """

    def __init__(
        self,
        store: Store,
        *,
        schema: int,
        encode: Callable[[T], bytes],
        decode: Callable[[bytes], T],
        seconds: float = 86_400,
        retry_seconds: float = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._schema = schema
        self._encode = encode
        self._decode = decode
        self._seconds = seconds
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._slots = asyncio.Semaphore(_SLOTS)
        self._flights: dict[str, asyncio.Task[_Found[T]]] = {}
        self._recovery: asyncio.Task[None] | None = None
        self._refused = False

    async def get(self, key: str, compute: Callable[[], Awaitable[T]]) -> tuple[T, CacheInfo]:
        """The value of `key`, computed when it is not kept, with what the cache did.

        Errors of `compute` reach every caller that waits for it and are not kept. A caller that is
        cancelled does not stop the others' computation.
        """
        flight = self._flights.get(key)
        if flight is not None:
            found = await asyncio.shield(flight)
            return self._decode(found.payload), found.info
        flight = asyncio.create_task(self._find(key, compute))
        self._flights[key] = flight
        flight.add_done_callback(lambda done: self._landed(key, done))
        found = await asyncio.shield(flight)
        return found.value, found.info

    async def close(self) -> None:
        """Stop asking the store, and close it."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
            self._recovery = None
        await self._store.close()

    def _landed(self, key: str, flight: asyncio.Task[_Found[T]]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even when every caller has gone

    async def _find(self, key: str, compute: Callable[[], Awaitable[T]]) -> _Found[T]:
        asked, kept = await self._ask(key)
        if kept is not None:
            return kept
        value = await compute()
        payload = self._encode(value)
        stored = asked and await self._keep(key, payload)
        status = CacheStatus.MISS if stored else CacheStatus.BYPASS
        return _Found(payload, value, CacheInfo(status))

    async def _ask(self, key: str) -> tuple[bool, _Found[T] | None]:
        """Whether the store answered, and what it has kept."""
        async with self._slots:
            if self._recovery is not None:
                return False, None
            try:
                raw = await self._store.get(key)
            except StoreUnavailableError as error:
                self._leave_alone(error)
                return False, None
            except StoreRefusedError as error:
                self._note_refusal(error)
                return False, None
        return True, self._unpack(raw)

    async def _keep(self, key: str, payload: bytes) -> bool:
        """Whether the store has kept the value."""
        header = _HEADER.pack(_MAGIC, self._schema, self._clock(), zlib.crc32(payload))
        seconds = self._seconds * random.uniform(0.9, 1.1)  # noqa: S311  (spreads load, no secret)
        async with self._slots:
            if self._recovery is not None:
                return False
            try:
                await self._store.set(key, header + payload, seconds)
            except StoreUnavailableError as error:
                self._leave_alone(error)
                return False
            except StoreRefusedError as error:
                self._note_refusal(error)
                return False
        if self._refused:
            self._refused = False
            _log.info("cache.accepts_again")
        return True

    def _unpack(self, raw: bytes | None) -> _Found[T] | None:
        """The kept value, or None when it is not one that this cache wrote."""
        if raw is None or len(raw) < _HEADER.size:
            return None
        magic, schema, written, checksum = _HEADER.unpack_from(raw)
        payload = raw[_HEADER.size :]
        if magic != _MAGIC or schema != self._schema or checksum != zlib.crc32(payload):
            return None
        try:
            value = self._decode(payload)
        except Exception as error:  # noqa: BLE001  (whatever a decoder raises, it is a miss)
            _log.warning("cache.undecodable", problem=str(error))
            return None
        age = max(0.0, self._clock() - written)  # another machine's clock may be ahead
        return _Found(payload, value, CacheInfo(CacheStatus.HIT, age))

    def _leave_alone(self, error: StoreUnavailableError) -> None:
        if self._recovery is None:
            _log.warning("cache.unavailable", problem=str(error), instead="computing")
            self._recovery = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        """Asks the store now and then, in nobody's way, until it answers."""
        while True:
            await asyncio.sleep(self._retry_seconds)
            try:
                await self._store.ping()
            except StoreUnavailableError:
                continue
            except StoreRefusedError as error:
                self._note_refusal(error)
            break
        self._recovery = None
        _log.info("cache.available_again")

    def _note_refusal(self, error: StoreRefusedError) -> None:
        if not self._refused:
            self._refused = True
            _log.warning("cache.refused", problem=str(error), instead="computing")
