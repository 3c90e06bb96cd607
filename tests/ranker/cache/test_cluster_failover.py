"""A Redis Cluster loses a master while many ask it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.faults.redis_cluster import Cluster
from services.ranker.cache.redis import RedisOptions, RedisStore
from services.ranker.cache.store import StoreRefusedError, StoreUnavailableError
from tests.ranker.cache.test_cache_shared import program

_KEYS = 60


@pytest.mark.process
async def test_a_lost_master_is_one_of_the_two_errors_and_its_replica_is_used(
    tmp_path: Path,
) -> None:
    with Cluster(program(), tmp_path) as cluster:
        store = RedisStore(RedisOptions(cluster.url, cluster=True))
        over = asyncio.Event()

        async def asks(number: int) -> None:
            while not over.is_set():
                for key in range(_KEYS):
                    with suppress(StoreRefusedError, StoreUnavailableError):
                        await store.set(f"cmp:{number}:{key}", b"x" * 20_000, 60)
                        assert await store.get(f"cmp:{number}:{key}") in {b"x" * 20_000, None}

        async def kept(key: str) -> bool:
            with suppress(StoreRefusedError, StoreUnavailableError):
                await store.set(key, key.encode(), 60)
                return await store.get(key) == key.encode()
            return False

        tasks = [asyncio.create_task(asks(number)) for number in range(40)]
        await asyncio.sleep(0.5)
        cluster.nodes[0].kill()
        for _ in range(600):
            await asyncio.sleep(0.1)
            if cluster.nodes[3].client.info("replication")["role"] == "master":
                break
        over.set()
        await asyncio.gather(*tasks)
        for number in range(_KEYS):
            for _ in range(600):
                if await kept(f"after:{number}"):
                    break
                await asyncio.sleep(0.1)
            else:
                pytest.fail(f"after:{number} is not kept")
        assert cluster.nodes[3].client.dbsize()
        await store.close()
