"""Uploads that stop before their last byte, or that many streams send at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

_ANY_SIZE = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
_CHUNK_BYTES = 1 << 18


@asynccontextmanager
async def _stopping(port: int, most: int) -> AsyncIterator[int]:
    """A proxy to a port of this machine that passes on up to `most` bytes of each caller."""

    async def pump(
        source: asyncio.StreamReader, to: asyncio.StreamWriter, most: int | None
    ) -> None:
        passed = 0
        while (most is None or passed < most) and (data := await source.read(_CHUNK_BYTES)):
            to.write(data)
            await to.drain()
            passed += len(data)
        if most is not None and passed >= most:
            await asyncio.Event().wait()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner, outer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(reader, outer, most), pump(inner, writer, None))
        except (OSError, asyncio.CancelledError):
            pass  # the attacked service closed it, or the attack is over
        finally:
            writer.close()

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def stalled(port: int, path: str, message: bytes, callers: int, seconds: float) -> list[Any]:
    """Callers on connections of their own, who each stop 1 % before the end of a message.

    Returns what each got after `seconds` at most.
    """
    async with _stopping(port, len(message) * 99 // 100) as way:
        channels = [
            grpc.aio.insecure_channel(
                f"127.0.0.1:{way}", options=(*_ANY_SIZE, ("a.number", number))
            )
            for number in range(callers)
        ]
        calls: list[Any] = [channel.unary_unary(path) for channel in channels]
        ended = await asyncio.gather(
            *(call(message, timeout=seconds) for call in calls), return_exceptions=True
        )
        await asyncio.gather(*(channel.close() for channel in channels))
    return ended


async def streamed(address: str, path: str, items: list[bytes], callers: int) -> list[Any]:
    """Streams that each send all items at once; return the last answer or the error of each."""
    channels = [
        grpc.aio.insecure_channel(address, options=(*_ANY_SIZE, ("a.number", number)))
        for number in range(4)
    ]

    async def one(number: int) -> Any:
        method: Any = channels[number % len(channels)].stream_stream(path)
        return [reply async for reply in method(iter(items), timeout=60)][-1]

    ended = await asyncio.gather(*map(one, range(callers)), return_exceptions=True)
    await asyncio.gather(*(channel.close() for channel in channels))
    return ended
