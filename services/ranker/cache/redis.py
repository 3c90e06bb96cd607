"""The cache's values in Redis, shared by every replica: one server, behind Sentinels, or a cluster.

No call waits long: a server that is gone, hung or loading raises StoreUnavailableError within
`TIMEOUT_SECONDS`; one that is full, read-only or forbids a command raises StoreRefusedError.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import (
    MovedError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from services.errors import InvalidArgument
from services.ranker.cache.store import (
    CacheStore,
    MemoryStore,
    StoreRefusedError,
    StoreUnavailableError,
)

TIMEOUT_SECONDS = 0.1
"""Time limit of one command, in seconds."""
MAX_VALUE_BYTES = 8 << 20
"""Largest value that is stored; a comparison has tens of thousands of bytes."""
_KEYS_A_SCAN = 1000

T = TypeVar("T")
Client = Redis | RedisCluster


@dataclass(frozen=True)
class RedisOptions:
    """Where Redis is, and the credentials.

    `url` is redis://, rediss:// or unix://. With `sentinels` ("host:port"), it gives only the
    database and scheme of the server, and `service` names the master that they watch; with
    `cluster` it names any node of a Redis Cluster. `username` and `password` are those of an ACL
    user; files are PEM.
    """

    url: str
    sentinels: tuple[str, ...] = ()
    service: str = "mymaster"
    cluster: bool = False
    username: str = ""
    password: str = ""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


class RedisStore:
    """A `CacheStore` in Redis. Connects on first use.

    Raises InvalidArgument if the options contradict each other.
    """

    def __init__(
        self, options: RedisOptions, watch: Callable[[Client], None] | None = None
    ) -> None:
        """`watch` is called with the client, to observe its commands."""
        try:
            self._redis, self._sentinel = _clients(options)
        except ValueError as error:
            raise InvalidArgument("REDIS_URL", str(error)) from error
        if watch is not None:
            watch(self._redis)

    async def get(self, key: str) -> bytes | None:
        """The value; None if there is none, or if it is larger than this store ever writes."""
        # Not GET: a foreign value of 100 MB would block every reader until it has arrived.
        value = await _answer(self._redis.getrange(key, 0, MAX_VALUE_BYTES))
        return value if isinstance(value, bytes) and 0 < len(value) <= MAX_VALUE_BYTES else None

    async def set(self, key: str, value: bytes, seconds: float) -> None:
        """Keep a value, for `seconds` at most; one that is too large is refused."""
        if len(value) > MAX_VALUE_BYTES:
            raise StoreRefusedError(f"{len(value):,} bytes are over {MAX_VALUE_BYTES:,}")
        await _answer(self._redis.set(key, value, px=_milliseconds(seconds)))

    async def add(self, key: str, value: bytes, seconds: float) -> bool:
        """Keep a value unless there is one; return whether it was kept."""
        return bool(await _answer(self._redis.set(key, value, px=_milliseconds(seconds), nx=True)))

    async def remove(self, key: str) -> None:
        """Remove a value, if there is one."""
        await _answer(self._redis.delete(key))

    async def remove_all(self, prefix: str, containing: str) -> int:
        """Remove values whose key has this beginning and contains that text; return how many."""
        removed, keys = 0, []
        found = self._redis.scan_iter(match=f"{prefix}*{containing}*", count=_KEYS_A_SCAN)
        while (key := await _answer(anext(found, None))) is not None:
            keys.append(key)
            if len(keys) == _KEYS_A_SCAN:
                removed += await _answer(self._redis.unlink(*keys))
                keys = []
        return removed + (await _answer(self._redis.unlink(*keys)) if keys else 0)

    async def ping(self) -> None:
        """Return when Redis answers."""
        await _answer(self._redis.ping())

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
        for one in self._sentinel.sentinels if self._sentinel else ():
            await one.aclose()


def store_at(options: RedisOptions, watch: Callable[[Client], None] | None = None) -> CacheStore:
    """The store that the options name, or one in this process if they name none.

    `watch` is called with the Redis client, to observe its commands.
    """
    if options.url or options.sentinels:
        return RedisStore(options, watch)
    return MemoryStore()


def _clients(options: RedisOptions) -> tuple[Client, Sentinel | None]:
    # One retry, for a pooled connection that the server has closed meanwhile; none after a
    # time-out, which would double the wait for a hung server.
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    common: dict[str, Any] = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": retry,
        "decode_responses": False,
    }
    if options.username:
        common["username"] = options.username
    if options.password:
        common["password"] = options.password
    files = {
        "ssl_ca_certs": options.tls_ca,
        "ssl_certfile": options.tls_cert,
        "ssl_keyfile": options.tls_key,
    }
    tls: dict[str, Any] = {name: str(path) for name, path in files.items() if path is not None}
    if tls and not options.sentinels and not options.url.startswith("rediss://"):
        raise ValueError("TLS files are given, and the URL is not rediss://")
    if options.cluster:
        _check_cluster(options)
        return RedisCluster.from_url(options.url, **common, **tls), None
    if options.sentinels:
        if tls or options.url.startswith("rediss://"):
            common |= {"ssl": True, **tls}
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            [_address(one) for one in options.sentinels],
            sentinel_kwargs={**common, "username": None, "password": None},
            **common,
        )
        return sentinel.master_for(options.service), sentinel
    return Redis.from_url(options.url, **common, **tls), None


def _check_cluster(options: RedisOptions) -> None:
    url = urlsplit(options.url)
    if options.sentinels:
        raise ValueError("a Redis Cluster has no Sentinels: name either")
    if url.scheme not in {"redis", "rediss"} or url.path not in {"", "/", "/0"}:
        raise ValueError(
            "a Redis Cluster is at redis:// or rediss://, and has the database 0 alone"
        )


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise ValueError(f"{text!r} is not the host:port of a Sentinel")
    return host, int(port)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


async def _answer(command: Awaitable[T]) -> T:
    """The reply to a command; every failure becomes one of the store's two errors."""
    try:
        async with asyncio.timeout(
            1.5 * TIMEOUT_SECONDS
        ):  # name look-up has no time-out of its own
            return await command
    except MovedError as error:
        raise StoreRefusedError(
            "the server is a node of a Redis Cluster, and ASSAY_RANKER_REDIS_CLUSTER is not true"
        ) from error
    except (ResponseError, ReadOnlyError) as error:
        raise StoreRefusedError(str(error)) from error
    except (RedisError, RedisClusterException, OSError) as error:  # TimeoutError is an OSError
        raise StoreUnavailableError(str(error) or type(error).__name__) from error
    except (AttributeError, ValueError, TypeError, LookupError, RecursionError) as error:
        # AttributeError: a cluster's client closes a lost node's connections while others write to
        # them. The rest: a reply that is not from Redis, such as ":x", a table of slots without a
        # node, or endlessly nested arrays.
        raise StoreUnavailableError(repr(error)) from error
