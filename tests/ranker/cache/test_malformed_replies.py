"""What is at Redis' address does not speak as Redis does: the cache is left alone, no caller is."""

from __future__ import annotations

import asyncio

import pytest

from services.ranker.cache.redis import RedisOptions, RedisStore
from services.ranker.cache.store import StoreUnavailableError


@pytest.mark.parametrize("cluster", [False, True], ids=["server", "cluster"])
@pytest.mark.parametrize(
    "reply",
    [
        b":x\r\n",
        b",1x\r\n",
        b"*x\r\n",
        b"$-5\r\n",
        b"%1\r\n%1\r\n:1\r\n:1\r\n:1\r\n",
        b"*1\r\n" * 5000,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["number", "double", "length", "size", "key", "depth", "http"],
)
async def test_a_reply_that_is_not_redis_is_an_unavailable_store(
    reply: bytes, cluster: bool
) -> None:
    await _is_unavailable(reply, cluster=cluster)


@pytest.mark.parametrize(
    "reply",
    [b"*1\r\n*3\r\n:0\r\n:16383\r\n*0\r\n", b"~1\r\n*1\r\n:1\r\n"],
    ids=["no node", "no slots"],
)
async def test_slots_that_are_not_a_cluster_s_are_an_unavailable_store(reply: bytes) -> None:
    await _is_unavailable(reply, cluster=True)


async def _is_unavailable(reply: bytes, *, cluster: bool) -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        store = RedisStore(RedisOptions(f"redis://127.0.0.1:{port}", cluster=cluster))
        for command in (store.get("key"), store.set("key", b"value", 1), store.ping()):
            with pytest.raises(StoreUnavailableError):
                await command
        await store.close()
