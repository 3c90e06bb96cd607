"""What requests may hold before a service counts them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from assay_rpc.channel import connect_async

from services.errors import Overloaded
from services.rpc.serving import intake
from services.rpc.serving.intake import Claim, Intake
from services.rpc.serving.server import build_server
from services.rpc.settings import ServerSettings
from tests.rpc.conftest import EchoClient
from tests.rpc.echo_server import Echo, echo_service, method


def read(claim: Claim, size: int) -> Any:
    return claim.reading(None)(bytes(size))


async def test_what_finds_no_room_is_not_parsed() -> None:
    held = Intake(100)
    first, second = await held.enter(), await held.enter()
    assert read(first, 60) == bytes(60)
    assert second.reading(lambda _: pytest.fail("it was parsed"))(bytes(50)) is None
    with pytest.raises(Overloaded, match="holds 60 bytes of requests, and this one has 50"):
        second.require_read()
    first.require_read()
    second.close()
    assert held.held_bytes == 60
    first.close()
    first.close()
    assert held.held_bytes == 0


async def test_one_request_is_always_read() -> None:
    """How large it may be is another limit's to say."""
    held = Intake(100)
    claim = await held.enter()
    assert read(claim, 1000) == bytes(1000)
    claim.require_read()


async def entered(held: Intake, count: int) -> list[Claim]:
    return [await held.enter() for _ in range(count)]


@pytest.mark.parametrize("ends", ["reads", "leaves", "is slow"])
async def test_so_many_read_at_a_time(monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    monkeypatch.setattr(intake, "_READ_SECONDS", 0.0 if ends == "is slow" else 3600.0)
    held = Intake(1 << 20)
    claims = await entered(held, intake._READING)
    later = asyncio.create_task(held.enter())
    await asyncio.sleep(0)
    assert not later.done()
    if ends == "reads":
        read(claims[0], 1)
    elif ends == "leaves":
        claims.pop()
        gc.collect()
    async with asyncio.timeout(30):
        read(await later, 1)


async def test_a_call_waits_so_long_for_those_that_send_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "_READ_SECONDS", 3600.0)
    monkeypatch.setattr(intake, "_WAIT_SECONDS", 0.01)
    held = Intake(1 << 20)
    claims = await entered(held, intake._READING)
    async with asyncio.timeout(30):
        claims += await entered(held, 20)
    assert not held._waiting
    # Those beyond the number give their turns to nobody, and it is the number again.
    monkeypatch.setattr(intake, "_WAIT_SECONDS", 3600.0)
    later = asyncio.create_task(held.enter())
    await asyncio.sleep(0)
    for claim in claims[:20]:
        read(claim, 1)
    assert held._reading == intake._READING
    read(claims[20], 1)
    async with asyncio.timeout(30):
        claims.append(await later)
    for claim in claims[21:]:
        read(claim, 1)
    assert held._reading == 0


async def test_a_call_has_waited_long_enough_in_the_moment_in_which_another_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "_READ_SECONDS", 3600.0)
    monkeypatch.setattr(intake, "_WAIT_SECONDS", 0.0)
    held = Intake(1 << 20)
    claims = await entered(held, intake._READING)
    later = asyncio.create_task(held.enter())
    await asyncio.sleep(0)  # the end of its wait is the loop's next step
    asyncio.get_running_loop().call_soon(read, claims[0], 1)  # and this the one after it
    async with asyncio.timeout(30):
        claims[0] = await later
    assert not held._waiting
    for claim in claims:
        read(claim, 1)
    assert held._reading == 0


async def test_a_caller_that_leaves_while_it_waits_takes_no_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "_READ_SECONDS", 3600.0)
    held = Intake(1 << 20)
    claims = await entered(held, intake._READING)
    gone, in_time, next_one = (asyncio.create_task(held.enter()) for _ in range(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    read(claims[0], 1)
    in_time.cancel()  # it was given its turn in this very moment
    async with asyncio.timeout(30):
        await next_one
    assert not held._waiting
    for claim in claims:
        claim.reading(None)(b"")


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
