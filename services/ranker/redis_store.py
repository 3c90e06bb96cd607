"""The cache's values in Redis, shared by every replica.

Nothing here waits for long: a server that is gone, hung or loading is StoreUnavailableError within
`TIMEOUT`; one that is full, read-only or forbids a command is StoreRefusedError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from services.errors import InvalidArgument
from services.ranker.cache import MemoryStore, Store, StoreRefusedError, StoreUnavailableError

TIMEOUT = 0.1
"""Seconds that one question to Redis may take."""

T = TypeVar("T")


class RedisStore:
    """A `Store` in the Redis at `url` (redis://, rediss:// or unix://). Connects when first asked.

    Raises InvalidArgument when `url` is none of these.
    """

    def __init__(self, url: str) -> None:
        # One retry, for a pooled connection that the server has closed since; none after a
        # time-out, which would double the wait for a hung server.
        retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                retry=retry,
                decode_responses=False,
            )
        except ValueError as error:
            raise InvalidArgument("REDIS_URL", str(error)) from error

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none."""
        value = await _answer(self._redis.get(key))
        return value if isinstance(value, bytes) else None

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value, for `seconds` at most."""
        await _answer(self._redis.set(key, value, px=max(1, round(seconds * 1000))))

    async def ping(self) -> None:
        """Return when Redis answers."""
        await _answer(self._redis.ping())

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def store_at(url: str) -> Store:
    """The store at `url`, or one in this process when `url` is empty."""
    return RedisStore(url) if url else MemoryStore()


async def _answer(command: Awaitable[T]) -> T:
    """The reply to a command; whatever goes wrong is one of the store's two errors."""
    try:
        async with asyncio.timeout(1.5 * TIMEOUT):  # name look-up has no time-out of its own
            return await command
    except ResponseError as error:
        raise StoreRefusedError(str(error)) from error
    except (RedisError, OSError) as error:  # TimeoutError is an OSError
        raise StoreUnavailableError(str(error) or type(error).__name__) from error
