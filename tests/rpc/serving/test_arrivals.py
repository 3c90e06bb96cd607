"""Calls whose request has not arrived are ended if memory is short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from assay_rpc.channel import connect_async

from services.errors import Overloaded
from services.rpc.serving import arrivals
from services.rpc.serving.arrivals import Arrivals
from services.rpc.serving.server import build_server
from services.rpc.settings import ServerSettings
from tests.rpc.conftest import EchoClient
from tests.rpc.echo_server import Echo, echo_service, method


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "_LOOK_SECONDS", 0.001)


async def waits(expected: Arrivals, *, stream: bool = False) -> None:
    with expected.expected(stream=stream):
        await asyncio.Event().wait()


async def ended(tasks: list[asyncio.Task[None]], count: int) -> list[int]:
    """Wait until `count` tasks have ended; return which."""
    async with asyncio.timeout(30):
        while sum(task.done() for task in tasks) < count:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    return [number for number, task in enumerate(tasks) if task.done()]


async def cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_single_requests_are_ended_first_the_oldest_of_them_and_two_are_spared() -> None:
    short = [True]
    expected = Arrivals(lambda: short[0])
    kinds = [True, False, False, True, False]
    tasks = [asyncio.create_task(waits(expected, stream=one)) for one in kinds]
    found = await ended(tasks, 3)
    assert found == [1, 2, 4]
    for number in found:
        with pytest.raises(Overloaded, match="short of memory, and the request had not arrived"):
            tasks[number].result()
    await cancelled(tasks)


async def test_none_is_ended_where_returning_memory_helped() -> None:
    looks: list[bool] = []

    def short() -> bool:
        looks.append(not looks)
        return looks[-1]

    expected = Arrivals(short)
    tasks = [asyncio.create_task(waits(expected)) for _ in range(9)]
    async with asyncio.timeout(30):
        while len(looks) < 3:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.001)
    assert not any(task.done() for task in tasks)
    await cancelled(tasks)


async def test_a_call_that_is_cancelled_is_not_called_refused() -> None:
    expected = Arrivals(lambda: False)
    task = asyncio.create_task(waits(expected))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not expected._expected


@pytest.fixture
async def echo(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EchoClient]:
    """An echo service whose memory is short."""
    monkeypatch.setattr(arrivals, "memory_is_short", lambda: lambda: True)
    service = Echo()
    server = build_server(ServerSettings(), replace(echo_service(service), max_held_bytes=1 << 20))
    await server.start()
    async with connect_async(f"127.0.0.1:{server.port}") as channel:
        yield EchoClient(service, server, channel)
    await server.stop(0)


async def test_callers_that_send_nothing_are_told_and_the_rest_are_answered(
    echo: EchoClient,
) -> None:
    path = method(echo.channel, "UnaryUnary")._method.decode()
    silent: list[Any] = [echo.channel.stream_unary(path)(timeout=60) for _ in range(8)]
    codes: list[grpc.StatusCode] = []
    async with asyncio.timeout(30):
        while len(codes) < 6:
            codes = [await one.code() for one in silent if one.done()]
            await asyncio.sleep(0.01)
    assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert await method(echo.channel, "UnaryUnary")(b"small", timeout=30) == b"small"
    for one in silent:
        one.cancel()


async def test_a_call_without_its_request_is_refused_with_the_reason(echo: EchoClient) -> None:
    path = method(echo.channel, "UnaryUnary")._method.decode()
    call: Any = echo.channel.stream_unary(path)(timeout=30)
    await call.done_writing()
    with pytest.raises(grpc.aio.AioRpcError, match="the call ended without one") as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
