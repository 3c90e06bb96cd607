"""SegmentImages: many items of one call at once, each answered when it is finished.

`answered` controls the flow and knows no message; `answer_item` turns one item into its answer.

A slot is taken before an item is read and returned after the transport has taken its answer. The
next item is read once the previous one is admitted to the queue. So a call never holds more than
`limit` items or answers, even if the queue is full, the client reads nothing, or it sends without
end.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import structlog
from assay_rpc.segment.v1 import segment_pb2
from google.protobuf.duration_pb2 import Duration

from services.errors import (
    AssayError,
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    Unavailable,
)
from services.rpc.call import left_of_call, require_fits
from services.rpc.status import item_error

Q = TypeVar("Q")
A = TypeVar("A")
_log = structlog.get_logger(__name__)


async def answered(
    requests: AsyncIterator[Q],
    answer: Callable[[Q, asyncio.Event], Awaitable[A]],
    *,
    limit: int,
    draining: asyncio.Event,
) -> AsyncGenerator[A]:
    """Yield the answer to each request as it is finished; hold at most `limit` of them.

    `answer` gets an event, which it may set as soon as the next request should be read; by default
    the next is read when `answer` returns. Once `draining` is set, nothing more is read, and
    requests already read are answered. An error of `requests` or of `answer` ends the whole stream,
    and so does closing the generator.

    Raises Unavailable after the last answer if unread requests may remain.
    """
    slots = asyncio.Semaphore(limit)
    working: set[asyncio.Task[A]] = set()
    # Finished work, then None.
    finished: asyncio.Queue[asyncio.Task[A] | None] = asyncio.Queue()
    all_read = asyncio.Event()

    async def work(request: Q, admitted: asyncio.Event) -> A:
        try:
            return await answer(request, admitted)
        finally:
            admitted.set()

    async def read() -> None:
        while True:
            await slots.acquire()
            request = await anext(requests, None)
            if request is None:
                return
            admitted = asyncio.Event()
            task = asyncio.create_task(work(request, admitted))
            working.add(task)
            task.add_done_callback(done)
            await admitted.wait()

    async def stop(reader: asyncio.Task[None]) -> None:
        await draining.wait()
        reader.cancel()

    def done(task: asyncio.Task[Any]) -> None:
        working.discard(task)
        finished.put_nowait(task)
        end()

    def end() -> None:
        if all_read.is_set() and not working:
            finished.put_nowait(None)

    def read_all(_: asyncio.Task[None]) -> None:
        all_read.set()
        end()

    # No function above refers to the reader: otherwise its frame would refer to itself through the
    # error of a cancelled task, and its item would stay in memory until cycles are collected.
    reader = asyncio.create_task(read())
    reader.add_done_callback(read_all)
    stopper = asyncio.create_task(stop(reader))
    try:
        while (task := await finished.get()) is not None:
            yield task.result()
            slots.release()
        if reader.cancelled():
            raise Unavailable("the service is stopping: send the items without an answer again")
        reader.result()
    finally:
        left = [reader, stopper, *working]
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def with_own_ids(
    requests: AsyncIterator[segment_pb2.SegmentImagesRequest],
) -> AsyncGenerator[segment_pb2.SegmentImagesRequest]:
    """Pass items on. Raises InvalidArgument for an id that an earlier item of the call has."""
    ids = _Ids()
    async for request in requests:
        if not ids.use(request.id):
            raise InvalidArgument("id", f"{request.id} was used in this call; use each once")
        yield request


class _Ids:
    """Ids that a call has used, stored as ranges, so that consecutive ids take no memory."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # exclusive

    def use(self, number: int) -> bool:
        """Use an id; return False if it was used before."""
        at = bisect_right(self._starts, number)
        if at and number < self._ends[at - 1]:
            return False
        before = at > 0 and self._ends[at - 1] == number
        behind = at < len(self._starts) and self._starts[at] == number + 1
        if before and behind:
            self._ends[at - 1] = self._ends.pop(at)
            self._starts.pop(at)
        elif before:
            self._ends[at - 1] = number + 1
        elif behind:
            self._starts[at] = number
        else:
            self._starts.insert(at, number)
            self._ends.insert(at, number + 1)
        return True


async def answer_item(
    request: segment_pb2.SegmentImagesRequest,
    segment: Callable[[float | None], Awaitable[segment_pb2.SegmentImageResponse]],
    size: int,
    max_bytes: int,
) -> segment_pb2.SegmentImagesResponse:
    """Answer an item with the result of `segment` within its time limit, or with an error.

    The item has `size` bytes; more than `max_bytes` is an error.
    """
    reply = segment_pb2.SegmentImagesResponse(id=request.id)
    try:
        require_fits("the item", request, max_bytes, size)
        seconds = _seconds(request)
        async with asyncio.timeout(seconds):
            result = await segment(seconds)
        reply.result.CopyFrom(result)
    except TimeoutError:
        late = DeadlineExceeded("the item's time was over before its answer was made")
        reply.error.CopyFrom(item_error(late))
    except AssayError as error:
        reply.error.CopyFrom(item_error(error))
    except Exception as error:  # noqa: BLE001  # whatever it is, it is this item's alone
        _log.exception("unexpected error of an item", exc_info=error)
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        told = InternalError(
            f"internal error; the server's log has it under request id {request_id}"
        )
        reply.error.CopyFrom(item_error(told))
    return reply


def _seconds(request: segment_pb2.SegmentImagesRequest) -> float | None:
    """Return the item's time limit in seconds: its own, within what the call has left."""
    left = left_of_call()
    if not request.HasField("timeout"):
        return left
    timeout: Duration = request.timeout
    own = timeout.seconds + timeout.nanos / 1e9
    return own if left is None else min(own, left)
