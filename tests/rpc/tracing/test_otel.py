"""Spans of calls of all shapes and ends, from a server in this process to a real receiver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import grpc
import pytest
import redis.asyncio as redis
import structlog
from assay_rpc.channel import connect_async

from services.errors import AssayError
from services.rpc.serving.http import HttpService
from services.rpc.serving.http_request import Message, Receive, Send
from services.rpc.serving.server import build_server
from services.rpc.settings import ServerSettings
from services.rpc.tracing.configured import tracing_of
from tests.collector import Collector, Received
from tests.ports import require_ipv6
from tests.rpc.conftest import EchoClient
from tests.rpc.echo_server import ECHO, Echo, echo_service, method


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as made:
        for name, value in made.variables.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
async def traced(collector: Collector) -> AsyncIterator[EchoClient]:
    echo = Echo()
    tracing = tracing_of(True, "echo")
    server = build_server(ServerSettings(), replace(echo_service(echo), tracing=tracing))
    await server.start()
    to = f"127.0.0.1:{server.port}"
    async with connect_async(to, interceptors=tracing.client_interceptors()) as channel:
        await channel.channel_ready()  # a call that found no connection would have no span there
        yield EchoClient(echo, server, channel)
    await server.stop(0)


async def _span(collector: Collector, name: str) -> Received:
    def found(received: list[Received]) -> list[Received]:
        return [one for one in received if one.span.name == f"{ECHO}/{name}"]

    received = await asyncio.to_thread(collector.until, lambda seen: bool(found(seen)))
    (span,) = found(received)
    return span


@pytest.mark.parametrize("name", ["UnaryStream", "Writes"])
async def test_streams_of_answers(traced: EchoClient, collector: Collector, name: str) -> None:
    answers = [one async for one in method(traced.channel, name)(b"again")]
    assert answers == [b"first", b"again"]
    assert (await _span(collector, name)).attributes["rpc.grpc.status_code"] == 0


async def test_what_a_call_waited_for_is_below_it_and_nothing_without_a_call(
    collector: Collector,
) -> None:
    tracing = tracing_of(True, "echo")
    parts = (("queue", 2.0), ("inference", 1.0))

    def works() -> None:
        with tracing.request("database read", {"db.system": "postgresql"}):
            pass
        tracing.worked(parts, {"assay.model": "m"})

    works()  # below nothing
    with tracing.span("call", {}):
        works()
    await tracing.close()
    seen = collector.until(lambda received: len(received) >= 4)
    spans = {one.span.name: one for one in seen}
    assert len(spans) == len(seen) == 4
    call = spans.pop("call").span
    assert {bytes(one.span.parent_span_id) for one in spans.values()} == {bytes(call.span_id)}
    assert spans["database read"].attributes == {"db.system": "postgresql"}
    queue, inference = spans["queue"].span, spans["inference"].span
    assert queue.end_time_unix_nano - queue.start_time_unix_nano == 2_000_000_000
    assert inference.end_time_unix_nano - inference.start_time_unix_nano == 1_000_000_000
    assert queue.end_time_unix_nano == inference.start_time_unix_nano
    assert spans["queue"].attributes == {"assay.model": "m"}


async def test_streams_of_requests(traced: EchoClient, collector: Collector) -> None:
    call = method(traced.channel, "StreamStream")(iter([b"one", b"two"]))
    assert [one async for one in call] == [b"one", b"two"]
    assert await method(traced.channel, "StreamUnary")(iter([b"a", b"b"])) == b"ab"
    for name in ("StreamStream", "StreamUnary"):
        assert (await _span(collector, name)).attributes["rpc.grpc.status_code"] == 0


@pytest.mark.parametrize(
    ("request_", "code", "is_fault"),
    [
        (b"NotFound", grpc.StatusCode.NOT_FOUND, False),
        (b"Overloaded", grpc.StatusCode.RESOURCE_EXHAUSTED, False),
        (b"Unavailable", grpc.StatusCode.UNAVAILABLE, True),
        (b"crash", grpc.StatusCode.INTERNAL, True),
    ],
)
async def test_a_refused_call_has_its_code(
    traced: EchoClient,
    collector: Collector,
    request_: bytes,
    code: grpc.StatusCode,
    is_fault: bool,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await traced.unary(request_, wait_for_ready=False, timeout=30)
    received = await _span(collector, "UnaryUnary")
    assert received.attributes["rpc.grpc.status_code"] == code.value[0]
    # OTLP's STATUS_CODE_ERROR, which by convention a caller's own mistake is not.
    assert (received.span.status.code == 2) == is_fault
    assert "secret" not in received.span.status.message


async def test_a_cancelled_call_is_not_said_to_be_ok(
    traced: EchoClient, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = method(traced.channel, "UnaryStream")(b"hang")
    await hanging.read()
    await traced.echo.entered.wait()
    hanging.cancel()
    received = await _span(collector, "UnaryStream")
    assert received.attributes["rpc.grpc.status_code"] == grpc.StatusCode.CANCELLED.value[0]
    assert not [one for one in caplog.records if one.name.startswith("opentelemetry")]


async def test_a_stream_that_its_caller_leaves_is_ended_and_says_nothing(
    traced: EchoClient, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    call = method(traced.channel, "StreamStream")()
    await call.write(b"one")
    assert await call.read() == b"one"
    call.cancel()
    assert await _span(collector, "StreamStream")
    assert not [one for one in caplog.records if one.name.startswith("opentelemetry")]


async def test_a_span_of_a_server_is_below_that_of_its_client(
    traced: EchoClient, collector: Collector
) -> None:
    await traced.unary(b"x")
    received = await _span(collector, "UnaryUnary")
    clients = await asyncio.to_thread(
        collector.until, lambda seen: any(one.span.kind == 3 for one in seen)
    )
    above = next(one for one in clients if one.span.kind == 3)
    assert received.span.parent_span_id == above.span.span_id


async def test_an_address_of_ipv6_has_no_brackets(collector: Collector) -> None:
    require_ipv6()
    service = replace(echo_service(Echo()), tracing=tracing_of(True, "echo"))
    server = build_server(ServerSettings(host="::1"), service)
    await server.start()
    async with connect_async(f"[::1]:{server.port}") as channel:
        await method(channel, "UnaryUnary")(b"x")
    assert (await _span(collector, "UnaryUnary")).attributes["client.address"] == "::1"
    await server.stop(0)


async def test_probes_are_no_spans(traced: EchoClient, collector: Collector) -> None:
    check: Any = traced.channel.unary_unary("/grpc.health.v1.Health/Check")
    await check(b"")
    await traced.unary(b"x")
    await _span(collector, "UnaryUnary")
    spans = collector.until(lambda _: True)
    assert not [one for one in spans if one.span.kind == 2 and "Health" in one.span.name]


class Page:
    """A WebApp that answers every request."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"."})

    def method_of(self, path: str) -> str | None:
        return None

    def refused(self, path: str, error: AssayError, request_id: str) -> tuple[str, bytes]:
        return "text/plain", str(error).encode()

    def drain(self) -> None:
        pass


async def test_no_name_of_a_span_is_of_a_callers_making(collector: Collector) -> None:
    pytest.importorskip("uvicorn", reason="the extra `page` is not installed")
    service = replace(
        echo_service(Echo()),
        tracing=tracing_of(True, "echo"),
        http=HttpService(0, "http_port", (), "http_hosts", Page),
    )
    server = build_server(ServerSettings(), service)
    await server.start()
    address = f"http://127.0.0.1:{server.http_port}"
    async with aiohttp.ClientSession(address) as client:
        for method_ in ("EVIL-4711", "GET"):
            async with client.request(method_, "/evil") as reply:
                assert reply.status == 200
    await server.stop(0)
    spans = [one for one in collector.until(lambda seen: len(seen) > 1) if one.span.kind == 2]
    names = sorted((one.span.name, one.attributes["http.request.method"]) for one in spans)
    assert names == [("GET", "GET"), ("HTTP", "_OTHER")]


def test_a_detached_context_has_the_span_alone(collector: Collector) -> None:
    tracing = tracing_of(True, "echo")
    (add,) = tracing.log_processors()

    def line() -> Any:
        return add(None, "", structlog.contextvars.get_contextvars())

    with structlog.contextvars.bound_contextvars(request_id="a"), tracing.span("work", {}):
        here, there = line(), tracing.detached().run(line)
    assert there == {key: here[key] for key in ("trace_id", "span_id")}
    assert here["request_id"] == "a"
    assert "trace_id" not in line()
    asyncio.run(tracing.close())


async def test_redis_commands_are_spans_of_recorded_calls_alone(
    collector: Collector, redis_url: str
) -> None:
    tracing = tracing_of(True, "echo")
    async with redis.from_url(redis_url) as client:
        tracing.watch_redis(client)
        assert await client.set("alone", "1")
        with tracing.span("work", {}):
            assert await client.set("below", "2")
            assert await client.mget("alone", "below") == [b"1", b"2"]
        assert await client.delete("alone", "below") == 2
    await tracing.close()
    spans = await asyncio.to_thread(collector.until, lambda seen: len(seen) >= 3)
    assert [one.span.name for one in spans] == ["SET", "MGET", "work"]
