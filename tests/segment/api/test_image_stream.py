"""SegmentImages: its flow without a server, then over a real socket."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import grpc
import numpy as np
import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc
from google.protobuf.duration_pb2 import Duration

from services.errors import Unavailable
from services.segment.api.image_stream import answered
from services.segment.engines.onnxruntime import OnnxEngine
from tests.segment.api.test_segment import SECONDS, detailed, png, refused, request
from tests.segment.conftest import Client, Start

Code = grpc.StatusCode
PNG = png()


class Source:
    """Requests 0, 1, 2, ...; knows how many were read."""

    def __init__(self, count: int) -> None:
        self.count, self.read = count, 0

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in range(self.count):
            self.read += 1
            yield number


def flow(
    source: Any, answer: Callable[[int, asyncio.Event], Awaitable[int]], limit: int = 3
) -> Any:
    return answered(aiter(source), answer, limit=limit, draining=asyncio.Event())


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_answers_come_as_they_are_finished() -> None:
    gates = [asyncio.Event() for _ in range(3)]

    async def answer(number: int, placed: asyncio.Event) -> int:
        placed.set()
        await gates[number].wait()
        return number

    answers = flow(Source(3), answer)
    order = []
    for number in (1, 2, 0):
        gates[number].set()
        order.append(await anext(answers))
    assert order == [1, 2, 0]
    assert await anext(answers, None) is None


async def test_a_reader_who_does_not_read_holds_a_bounded_number() -> None:
    source = Source(1000)

    async def answer(number: int, placed: asyncio.Event) -> int:
        return number

    answers = flow(source, answer, limit=5)
    async with aclosing(answers):
        assert await anext(answers) == 0
        await settle()
        assert source.read == 5
        assert await anext(answers) == 1
        await settle()
        assert source.read == 6


async def test_nothing_is_read_while_an_item_waits_for_its_place() -> None:
    source, places = Source(10), asyncio.Semaphore(1)

    async def answer(number: int, placed: asyncio.Event) -> int:
        await places.acquire()
        placed.set()
        await asyncio.Event().wait()
        return number

    answers = flow(source, answer, limit=8)
    first = asyncio.create_task(anext(answers))
    await settle()
    assert source.read == 2  # one has its place, one waits
    places.release()
    await settle()
    assert source.read == 3
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_closing_cancels_what_is_in_flight() -> None:
    cancelled = []

    async def answer(number: int, placed: asyncio.Event) -> int:
        placed.set()
        if number == 0:
            return number
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(number)
        return number

    answers = flow(Source(10), answer)
    assert await anext(answers) == 0
    await settle()
    await answers.aclose()
    assert sorted(cancelled) == [1, 2]


async def test_items_of_a_closed_flow_are_freed_without_the_collector() -> None:
    """A client that leaves again and again would fill the memory between two collections."""

    class Item:
        pass

    alive: weakref.WeakSet[Item] = weakref.WeakSet()

    async def items() -> AsyncIterator[Item]:
        while True:
            item = Item()
            alive.add(item)
            yield item

    async def never(_: Item, admitted: asyncio.Event) -> int:
        admitted.set()
        await asyncio.Event().wait()
        return 0

    gc.collect()
    gc.disable()
    try:
        working = answered(items(), never, limit=3, draining=asyncio.Event())
        first = asyncio.ensure_future(anext(working))
        await settle()
        assert len(alive) == 3
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await working.aclose()
        del working, first
        await settle()
        assert not alive
    finally:
        gc.enable()


async def test_a_source_that_fails_ends_it() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 0
        raise ConnectionError("gone")

    async def answer(number: int, placed: asyncio.Event) -> int:
        return number

    answers = flow(broken(), answer)
    assert await anext(answers) == 0
    with pytest.raises(ConnectionError):
        await anext(answers)


async def test_a_drain_answers_what_was_read_and_says_that_more_may_be_left() -> None:
    draining, gate = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        yield 0
        yield 1
        await asyncio.Event().wait()

    async def answer(number: int, placed: asyncio.Event) -> int:
        placed.set()
        await gate.wait()
        return number

    answers = answered(endless(), answer, limit=3, draining=draining)
    first = asyncio.create_task(anext(answers))
    await settle()
    draining.set()
    await settle()
    gate.set()
    assert {await first, await anext(answers)} == {0, 1}
    with pytest.raises(Unavailable, match="send the items"):
        await anext(answers)


class Gate:
    """Holds every batch of the servers in this process until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.started = threading.Semaphore(0)
        run = OnnxEngine.run

        def held(engine: OnnxEngine, batch: list[Any]) -> list[Any]:
            self.started.release()
            assert self.open.wait(30)
            return run(engine, batch)

        self._patch, self._held = monkeypatch, held

    def close(self) -> None:
        self._patch.setattr(OnnxEngine, "run", self._held)

    async def until_started(self) -> None:
        assert await asyncio.to_thread(self.started.acquire, timeout=30)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate(monkeypatch)
    yield made
    made.open.set()


def item(number: int, encoded: bytes = PNG, **fields: Any) -> segment_pb2.SegmentImagesRequest:
    return segment_pb2.SegmentImagesRequest(id=number, item=request(encoded), **fields)


def gauge(client: Client, name: str) -> float | None:
    labels = {"model": "tiny", "version": "1"}
    return client.server.registry.get_sample_value(f"assay_segment_{name}", labels)


async def until_held(client: Client, requests: int) -> None:
    """Return once so many requests are held: the server needs a moment to see who has come."""
    for _ in range(1000):
        if gauge(client, "requests") == requests:
            return
        await client.segment.ListModels(segment_pb2.ListModelsRequest(), timeout=SECONDS)
    raise AssertionError(f"{gauge(client, 'requests')} requests are held, not {requests}")


async def until_free(client: Client) -> None:
    await until_held(client, 0)
    assert [gauge(client, name) for name in ("requests", "waiting", "held_bytes")] == [0, 0, 0]


async def test_a_broken_item_gets_a_status_and_stops_nothing(start: Start) -> None:
    client = await start(max_batch=2)
    items = [item(7), item(8), item(9, b"junk"), item(6), item(10)]
    replies = [r async for r in client.segment.SegmentImages(iter(items), timeout=SECONDS)]
    assert sorted(reply.id for reply in replies) == [6, 7, 8, 9, 10]
    (bad,) = [reply for reply in replies if reply.WhichOneof("outcome") == "error"]
    assert bad.id == 9
    assert (bad.error.code, bad.error.reason) == (
        Code.INVALID_ARGUMENT.value[0],
        common_pb2.ERROR_REASON_BAD_IMAGE,
    )
    assert [one.field for one in bad.error.violations] == ["image.encoded"]
    single = await client.segment.SegmentImage(request(PNG), timeout=SECONDS)
    good = [reply.result for reply in replies if reply.WhichOneof("outcome") == "result"]
    assert [reply.labels for reply in good] == [single.labels] * 4
    await until_free(client)


async def test_many_more_items_than_places(start: Start) -> None:
    client = await start(queue_items=2, max_batch=2)
    items = (item(number) for number in range(60))
    replies = [r async for r in client.segment.SegmentImages(items, timeout=SECONDS)]
    assert sorted(reply.id for reply in replies) == list(range(60))
    assert {reply.WhichOneof("outcome") for reply in replies} == {"result"}
    await until_free(client)


@pytest.mark.parametrize(
    ("bad", "reason", "says"),
    [
        (item(1, timeout=Duration(seconds=0)), "DEADLINE_EXCEEDED", "passed"),
        (item(1, timeout=Duration(seconds=-5)), "DEADLINE_EXCEEDED", "passed"),
        (segment_pb2.SegmentImagesRequest(id=1), "INVALID_ARGUMENT", "encoded"),
        (
            segment_pb2.SegmentImagesRequest(id=1, item=request(PNG, priority=9)),
            "INVALID_ARGUMENT",
            "priority",
        ),
        (
            segment_pb2.SegmentImagesRequest(id=1, item=request(PNG, model={"name": "b7"})),
            "NOT_FOUND",
            "known: tiny",
        ),
        (item(1, b"x" * 1_500_000), "TOO_LARGE", "1,048,576"),
    ],
)
async def test_bad_items(start: Start, bad: Any, reason: str, says: str) -> None:
    client = await start(max_message_bytes=1 << 20)
    calls = client.segment.SegmentImages(iter([bad, item(2)]), timeout=SECONDS)
    replies = {reply.id: reply async for reply in calls}
    error = replies[1].error
    assert common_pb2.ErrorReason.Name(error.reason) == f"ERROR_REASON_{reason}"
    assert says in error.message
    assert replies[2].HasField("result")


async def test_an_items_time_is_over_while_its_batch_runs(start: Start, gate: Gate) -> None:
    client = await start()
    gate.close()
    # The first one, which has forever, starts the engine; the second has no time to wait for it.
    items = [item(1), item(2, timeout=Duration(nanos=200_000_000))]
    call = client.segment.SegmentImages(iter(items), timeout=SECONDS)
    replies = aiter(call)
    late = await anext(replies)
    assert (late.id, late.error.reason) == (2, common_pb2.ERROR_REASON_DEADLINE_EXCEEDED)
    gate.open.set()
    assert [reply.id async for reply in replies] == [1]


@pytest.mark.slow
async def test_an_unforeseen_fault_is_one_items_alone(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await start()
    run = OnnxEngine.run
    left = [True]

    def faulty(engine: OnnxEngine, batch: list[Any]) -> list[Any]:
        if left and left.pop():
            raise ArithmeticError("secret")
        return run(engine, batch)

    monkeypatch.setattr(OnnxEngine, "run", faulty)
    call = client.segment.SegmentImages(iter([item(1), item(2)]), timeout=SECONDS)
    replies = [reply async for reply in call]
    (bad,) = [reply.error for reply in replies if reply.HasField("error")]
    assert bad.reason == common_pb2.ERROR_REASON_INTERNAL
    assert "request id" in bad.message
    assert "secret" not in bad.message


async def endless() -> AsyncIterator[segment_pb2.SegmentImagesRequest]:
    number = 0
    while True:
        yield item(number)
        number += 1


async def test_a_client_that_cancels_frees_everything(start: Start, gate: Gate) -> None:
    client = await start(max_batch=2)
    gate.close()
    call = client.segment.SegmentImages(endless(), timeout=SECONDS)
    await gate.until_started()
    call.cancel()
    gate.open.set()
    await until_free(client)
    await client.segment.SegmentImage(request(PNG), timeout=SECONDS)


async def test_a_client_that_never_reads_costs_a_bounded_amount(start: Start) -> None:
    """Raw maps of 1.2 MB fill what the transport buffers; the stream stops there."""
    client = await start(queue_items=100, workers=2, max_batch=1)
    big = png(np.zeros((1200, 1000, 3), dtype=np.uint8))
    sent = 0

    async def items() -> AsyncIterator[segment_pb2.SegmentImagesRequest]:
        nonlocal sent
        for number in range(200):
            sent = number
            raw = request(big, encoding=images_pb2.LABEL_ENCODING_RAW)
            yield segment_pb2.SegmentImagesRequest(id=number, item=raw)

    call = client.segment.SegmentImages(items(), timeout=SECONDS)
    for number in range(30):  # others are served meanwhile
        await client.segment.SegmentImage(request(PNG), timeout=SECONDS)
        held = gauge(client, "requests")
        assert held is not None
        assert held <= 4, number
    call.cancel()
    await until_free(client)


async def test_a_server_that_stops_finishes_what_it_has_read(start: Start, gate: Gate) -> None:
    client = await start(max_batch=2, workers=2)
    gate.close()

    async def unfinished() -> AsyncIterator[segment_pb2.SegmentImagesRequest]:
        for number in range(3):
            yield item(number)
        # A write that meets the end of the call would hide its status: grpc.aio reports the write.
        await asyncio.Event().wait()

    call = client.segment.SegmentImages(unfinished(), timeout=SECONDS)
    await until_held(client, 3)
    stopping = asyncio.create_task(client.server.stop(SECONDS))
    await asyncio.sleep(0)
    gate.open.set()
    replies: list[segment_pb2.SegmentImagesResponse] = []

    async def read() -> None:
        async for reply in call:
            replies.append(reply)  # noqa: PERF401  # what comes before the error counts

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read()
    assert detailed(caught.value)[:2] == (Code.UNAVAILABLE, "UNAVAILABLE")
    assert sorted(reply.id for reply in replies) == [0, 1, 2]
    assert all(reply.HasField("result") for reply in replies)
    await stopping


async def test_a_call_that_cancels_in_a_batch_leaves_its_neighbours(
    start: Start, gate: Gate
) -> None:
    client = await start(max_batch=4)
    gate.close()
    first = client.segment.SegmentImage(request(PNG), timeout=SECONDS)
    await gate.until_started()
    calls = [client.segment.SegmentImage(request(PNG), timeout=SECONDS) for _ in range(3)]
    await until_held(client, 4)
    calls[1].cancel()  # in the queue
    first.cancel()  # in the batch
    await until_held(client, 2)
    gate.open.set()
    replies = await asyncio.gather(calls[0], calls[2])
    assert replies[0].labels == replies[1].labels
    await until_free(client)


@pytest.mark.slow
async def test_a_thousand_requests_at_once(start: Start) -> None:
    client = await start(max_batch=8, queue_items=64)
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{client.server.port}") for _ in range(4)]
    stubs = [segment_pb2_grpc.SegmentServiceStub(channel) for channel in channels]
    calls = [
        stubs[number % 4].SegmentImage(
            request(PNG, priority=number % 4),
            timeout=SECONDS,
            metadata=(("assay-client-id", str(number % 7)),),
        )
        for number in range(1000)
    ]
    replies = await asyncio.gather(*calls, return_exceptions=True)
    good = [reply for reply in replies if isinstance(reply, segment_pb2.SegmentImageResponse)]
    errors = [reply for reply in replies if isinstance(reply, grpc.aio.AioRpcError)]
    assert len(good) + len(errors) == 1000
    assert good
    assert {detailed(error)[:2] for error in errors} <= {(Code.RESOURCE_EXHAUSTED, "OVERLOADED")}
    await until_free(client)
    await client.segment.SegmentImage(request(PNG), timeout=SECONDS)
    for channel in channels:
        await channel.close()


async def test_one_client_leaves_a_place_to_another(start: Start, gate: Gate) -> None:
    client = await start(queue_items=5)
    gate.close()

    def send(name: str) -> Any:
        metadata = (("assay-client-id", name),)
        return client.segment.SegmentImage(request(PNG), timeout=SECONDS, metadata=metadata)

    calls = [send("many") for _ in range(4)]
    await until_held(client, 4)
    code, _, says = await refused(send("many"))
    assert code is Code.RESOURCE_EXHAUSTED
    assert "for others" in says
    last = send("one")
    await until_held(client, 5)
    gate.open.set()
    await asyncio.gather(last, *calls)
