"""What requests may hold before a service counts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest
from assay_rpc.channel import connect_async

from services.rpc.serving import intake
from services.rpc.serving.intake import Intake, Turn
from services.rpc.serving.server import build_server
from services.rpc.settings import ServerSettings
from tests.rpc.conftest import EchoClient
from tests.rpc.echo_server import Echo, echo_service, method


def test_what_finds_no_room_is_not_held() -> None:
    held = Intake(100)
    assert held.take(60)
    assert not held.take(50)
    assert held.take(40)
    held.release(60)
    assert held.held_bytes == 40


def test_one_request_is_always_held() -> None:
    """How large it may be is another limit's to say."""
    assert Intake(100).take(1000)


async def turns(held: Intake, count: int) -> list[Turn]:
    return [await held.turn() for _ in range(count)]


@pytest.mark.parametrize("is_slow", [False, True])
async def test_so_many_read_at_a_time(monkeypatch: pytest.MonkeyPatch, is_slow: bool) -> None:
    monkeypatch.setattr(intake, "_READ_SECONDS", 0.0 if is_slow else 3600.0)
    held = Intake(1 << 20)
    reading = await turns(held, intake._READING)
    later = asyncio.create_task(held.turn())
    await asyncio.sleep(0)
    assert not later.done()
    if not is_slow:
        reading[0].end()
    async with asyncio.timeout(30):
        (await later).end()


async def test_a_call_waits_so_long_for_those_that_send_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "_READ_SECONDS", 3600.0)
    monkeypatch.setattr(intake, "_WAIT_SECONDS", 0.01)
    held = Intake(1 << 20)
    reading = await turns(held, intake._READING)
    async with asyncio.timeout(30):
        reading += await turns(held, 20)
    assert not held._waiting
    # Those beyond the number give their turns to nobody, and it is the number again.
    monkeypatch.setattr(intake, "_WAIT_SECONDS", 3600.0)
    later = asyncio.create_task(held.turn())
    await asyncio.sleep(0)
    for turn in reading[:20]:
        turn.end()
    assert held._reading == intake._READING
    reading[20].end()
    async with asyncio.timeout(30):
        reading.append(await later)
    for turn in reading[21:]:
        turn.end()
    assert held._reading == 0


async def test_a_call_has_waited_long_enough_in_the_moment_in_which_another_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "_READ_SECONDS", 3600.0)
    monkeypatch.setattr(intake, "_WAIT_SECONDS", 0.0)
    held = Intake(1 << 20)
    reading = await turns(held, intake._READING)
    later = asyncio.create_task(held.turn())
    await asyncio.sleep(0)  # the end of its wait is the loop's next step
    asyncio.get_running_loop().call_soon(reading[0].end)  # and this the one after it
    async with asyncio.timeout(30):
        reading[0] = await later
    assert not held._waiting
    for turn in reading:
        turn.end()
    assert held._reading == 0


async def test_a_caller_that_leaves_while_it_waits_takes_no_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "_READ_SECONDS", 3600.0)
    held = Intake(1 << 20)
    reading = await turns(held, intake._READING)
    gone, in_time, next_one = (asyncio.create_task(held.turn()) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    reading[0].end()
    in_time.cancel()  # it was given its turn in this very moment
    async with asyncio.timeout(30):
        await next_one
    assert not held._waiting


@pytest.fixture
async def small() -> AsyncIterator[EchoClient]:
    """An echo service that holds a kilobyte of requests."""
    echo = Echo()
    service = replace(echo_service(echo), max_held_bytes=1024)
    server = build_server(ServerSettings(), service)
    await server.start()
    async with connect_async(f"127.0.0.1:{server.port}") as channel:
        yield EchoClient(echo, server, channel)
    await server.stop(0)


@pytest.mark.parametrize("name", ["UnaryUnary", "UnaryStream"])
async def test_calls_are_refused_while_others_hold_the_room(small: EchoClient, name: str) -> None:
    hanging = method(small.channel, "UnaryUnary")(b"hang")
    await small.echo.entered.wait()
    large = bytes(1022)
    call = method(small.channel, name)(large, timeout=30)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [one async for one in call] if name == "UnaryStream" else await call
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(caught.value.trailing_metadata() or ())
    assert trailers["grpc-retry-pushback-ms"] == "100"
    assert await method(small.channel, "UnaryUnary")(b"small", timeout=30) == b"small"
    hanging.cancel()
    await small.echo.cancelled.wait()
    assert await method(small.channel, "UnaryUnary")(large, timeout=30) == large


async def test_many_calls_at_once_are_all_read(small: EchoClient) -> None:
    calls = [method(small.channel, "UnaryUnary")(b"%d" % n, timeout=30) for n in range(100)]
    assert await asyncio.gather(*calls) == [b"%d" % n for n in range(100)]
