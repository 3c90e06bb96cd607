"""Comparisons kept for the next caller.

A key holds the digests of all that a comparison depends on, so a kept value is never wrong; past
its time it is still given (`STALE`) while one caller computes it anew. What is kept is bytes
behind a header; a value of another schema, damaged or undecodable, counts as a miss. Errors that
the input alone decides are kept too, for a few seconds.

Callers who ask for the same key at the same time share one computation: in this process by sharing
its task, and across processes that share a store by a lease in it, which the others wait for.

A store that does not answer is left alone until it does again, and the log says so once: meanwhile
comparisons are computed (`BYPASS`). The cache raises no error of its own.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import structlog

from services.errors import Unavailable
from services.ranker.cache import refusals
from services.ranker.cache.envelope import Envelope, Kind, pack, unpack
from services.ranker.cache.guard import Guard
from services.ranker.cache.store import Store

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.01
_STALE = 2.0
"""A value is kept for so many times the seconds that it is fresh for."""


class CacheStatus(StrEnum):
    """What the cache did."""

    HIT = "HIT"
    STALE = "STALE"
    MISS = "MISS"
    BYPASS = "BYPASS"


@dataclass(frozen=True)
class CacheInfo:
    """What the cache did, and the age of the value in seconds (0 unless it was kept)."""

    status: CacheStatus
    age: float = 0.0


@dataclass(frozen=True)
class Lifetimes:
    """How long things are kept, in seconds, give or take a tenth so that they do not end at once.

    `value` is how long a value is fresh, `refusal` how long an error is kept, `lease` how long
    others wait for one that computes before they compute themselves.
    """

    value: float = 86_400
    refusal: float = 3
    lease: float = 10


@dataclass(frozen=True)
class _Found(Generic[T]):
    """What one flight brought back. `payload` lets every caller have a value of its own."""

    payload: bytes
    value: T
    info: CacheInfo


class Cache(Generic[T]):
    """Values of one kind, by key.

    `schema` numbers the form of `encode`'s bytes: raise it when `decode` could misread older ones.
    `retry_seconds` is how often a store that does not answer is asked whether it does again.
    """

    def __init__(
        self,
        store: Store,
        *,
        schema: int,
        encode: Callable[[T], bytes],
        decode: Callable[[bytes], T],
        lifetimes: Lifetimes | None = None,
        retry_seconds: float = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._guard = Guard(store, retry_seconds)
        self._store = store
        self._schema = schema
        self._encode = encode
        self._decode = decode
        self._lifetimes = lifetimes or Lifetimes()
        self._clock = clock
        self._flights: dict[str, asyncio.Task[_Found[T]]] = {}

    async def get(self, key: str, compute: Callable[[], Awaitable[T]]) -> tuple[T, CacheInfo]:
        """The value of `key`, computed when it is not kept, with what the cache did.

        Errors of `compute` reach every caller that waits for it. A caller that is cancelled does
        not stop the others' computation.
        """
        flight = self._flights.get(key)
        if flight is not None:
            found = await asyncio.shield(flight)
            return self._decode(found.payload), found.info
        found = await asyncio.shield(self._start(key, self._find(key, compute)))
        return found.value, found.info

    async def invalidate(self, prefix: str, containing: str = "") -> int:
        """Let go of the values whose key starts so and then contains; return how many.

        Raises `Unavailable` when the store does not answer or refuses.
        """
        removed = await self._guard.ask(self._store.remove_all(prefix, containing))
        if removed is None:
            raise Unavailable("the cache does not answer or refuses; see the log, and ask again")
        return removed

    async def close(self) -> None:
        """Stop asking the store, and close it."""
        for flight in list(self._flights.values()):
            flight.cancel()
        await asyncio.gather(*self._flights.values(), return_exceptions=True)
        await self._guard.close()
        await self._store.close()

    def _start(self, key: str, work: Awaitable[_Found[T]]) -> asyncio.Task[_Found[T]]:
        flight = asyncio.ensure_future(work)
        assert isinstance(flight, asyncio.Task)  # noqa: S101  (it is given coroutines)
        self._flights[key] = flight
        flight.add_done_callback(lambda done: self._landed(key, done))
        return flight

    def _landed(self, key: str, flight: asyncio.Task[_Found[T]]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen, even when every caller has gone

    async def _find(self, key: str, compute: Callable[[], Awaitable[T]]) -> _Found[T]:
        if not self._guard.open:
            return await self._compute(key, compute, leased=False)
        kept = await self._look_up(key)
        if kept is not None:
            if kept.info.status is CacheStatus.STALE:
                self._refresh(key, compute)
            return kept
        leased = await self._lease(key)
        # With the lease too: whoever had it before may have kept the value since it was looked up.
        kept = await (self._look_up(key) if leased else self._wait(key))
        if kept is not None:
            if leased:
                await self._guard.ask(self._store.remove(_lease(key)))
            return kept
        return await self._compute(key, compute, leased=leased)

    def _refresh(self, key: str, compute: Callable[[], Awaitable[T]]) -> None:
        """Compute a value anew beside those who are given the old one: one replica does."""

        async def refresh() -> _Found[T]:
            if not await self._lease(key):
                raise asyncio.CancelledError  # another replica does it
            kept = await self._look_up(key)
            if kept is not None and kept.info.status is CacheStatus.HIT:
                await self._guard.ask(self._store.remove(_lease(key)))
                return kept  # another replica has done it
            return await self._compute(key, compute, leased=True)

        name = f"{key} refresh"
        if name not in self._flights:
            self._start(name, refresh())

    async def _look_up(self, key: str) -> _Found[T] | None:
        """What is kept: a value, or a refusal, which is raised."""
        kept = unpack(await self._guard.ask(self._store.get(key)), self._schema)
        if kept is None:
            return None
        age = max(0.0, self._clock() - kept.written)  # another machine's clock may be ahead
        try:
            refusal = refusals.decode(kept.payload) if kept.kind is Kind.REFUSAL else None
            value = self._decode(kept.payload) if refusal is None else None
        except Exception as error:  # noqa: BLE001  (whatever a decoder raises, it is a miss)
            _log.warning("cache.undecodable", problem=str(error))
            return None
        if refusal is not None:
            raise refusal
        assert value is not None  # noqa: S101  (decoders return values)
        stale = age > self._lifetimes.value
        status = CacheStatus.STALE if stale else CacheStatus.HIT
        return _Found(kept.payload, value, CacheInfo(status, age))

    async def _compute(
        self, key: str, compute: Callable[[], Awaitable[T]], *, leased: bool
    ) -> _Found[T]:
        try:
            value = await compute()
        except Exception as error:
            if (payload := refusals.encode(error)) is not None:
                await self._keep(key, Kind.REFUSAL, payload, self._lifetimes.refusal)
            if leased:
                await self._guard.ask(self._store.remove(_lease(key)))
            raise
        payload = self._encode(value)
        kept = await self._keep(key, Kind.VALUE, payload, _STALE * self._lifetimes.value)
        if leased:
            await self._guard.ask(self._store.remove(_lease(key)))
        status = CacheStatus.MISS if kept else CacheStatus.BYPASS
        return _Found(payload, value, CacheInfo(status))

    async def _keep(self, key: str, kind: Kind, payload: bytes, seconds: float) -> bool:
        """Whether the store has kept it."""
        raw = pack(Envelope(kind, self._clock(), payload), self._schema)
        spread = random.uniform(0.9, 1.1)  # noqa: S311  (spreads load, no secret)
        return await self._guard.do(self._store.set(key, raw, spread * seconds))

    async def _lease(self, key: str) -> bool:
        """Whether this process is to compute; a store that cannot say leaves it to each."""
        held = await self._guard.ask(self._store.add(_lease(key), b"1", self._lifetimes.lease))
        return held is not False

    async def _wait(self, key: str) -> _Found[T] | None:
        """What another process computes; None when it gives up or takes too long."""
        until = time.monotonic() + self._lifetimes.lease
        while self._guard.open and time.monotonic() < until:
            await asyncio.sleep(_POLL_SECONDS)
            kept = await self._look_up(key)
            if kept is not None:
                return kept
            if await self._guard.ask(self._store.get(_lease(key))) is None:
                return await self._look_up(key)  # it may have ended in between
        return None


def _lease(key: str) -> str:
    return f"lease:{key}"
