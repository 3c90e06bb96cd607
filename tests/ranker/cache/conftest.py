"""The stores that a cache may be over."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import redis

from services.ranker.cache import redis as redis_store
from services.ranker.cache.redis import RedisOptions, RedisStore
from services.ranker.cache.store import CacheStore, MemoryStore


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.process)])
async def store(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[CacheStore]:
    """Both stores: whatever follows holds for either, however busy the machine is."""
    monkeypatch.setattr(redis_store, "TIMEOUT_SECONDS", 10.0)
    if request.param == "memory":
        yield MemoryStore()
        return
    url = request.getfixturevalue("redis_url")
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        client.flushall()
    shared = RedisStore(RedisOptions(url))
    yield shared
    await shared.close()
