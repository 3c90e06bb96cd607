from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.corpus.api.background import BackgroundIterator


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Source:
    """A generator that counts what was asked of it, and says when it was closed."""

    def __init__(self, count: int, *, idle: int = 0) -> None:
        self.count = count
        self.idle = idle
        self.made = 0
        self.closed = threading.Event()

    def generate(self) -> Generator[int | None, None, None]:
        try:
            while self.made < self.count:
                for _ in range(self.idle):
                    yield None
                self.made += 1
                yield self.made
        finally:
            self.closed.set()


@pytest.mark.parametrize("idle", [0, 1, 7, 8, 50])
async def test_items_come_in_order(executor: ThreadPoolExecutor, idle: int) -> None:
    source = Source(20, idle=idle)
    async with BackgroundIterator(source.generate(), executor) as items:
        assert [item async for item in items] == list(range(1, 21))
    assert source.closed.wait(10)


async def test_one_item_is_made_ahead_and_no_more(executor: ThreadPoolExecutor) -> None:
    source = Source(1000)
    async with BackgroundIterator(source.generate(), executor) as items:
        assert await items.__anext__() == 1
        # Whatever the threads do now is done once they have taken these two.
        await asyncio.gather(
            *(asyncio.wrap_future(executor.submit(threading.get_ident)) for _ in range(20))
        )
        assert source.made <= 2
    assert source.closed.wait(10)
    assert source.made <= 3


async def test_leaving_early_closes_the_generator(executor: ThreadPoolExecutor) -> None:
    source = Source(1000)
    async with BackgroundIterator(source.generate(), executor) as items:
        async for item in items:
            if item == 3:
                break
    assert await asyncio.to_thread(source.closed.wait, 10)


async def test_errors_pass_through(executor: ThreadPoolExecutor) -> None:
    def fail() -> Generator[int | None, None, None]:
        yield 1
        raise ValueError("broken")

    async with BackgroundIterator(fail(), executor) as items:
        assert await items.__anext__() == 1
        with pytest.raises(ValueError, match="broken"):
            await items.__anext__()


async def test_cancelling_a_fruitless_search_stops_it(executor: ThreadPoolExecutor) -> None:
    closed, looking = threading.Event(), threading.Event()

    def search() -> Generator[int | None, None, None]:
        try:
            while True:
                looking.set()
                yield None
        finally:
            closed.set()

    async def consume() -> None:
        async with BackgroundIterator(search(), executor) as items:
            async for _ in items:
                raise AssertionError("it finds nothing")

    task = asyncio.create_task(consume())
    assert await asyncio.to_thread(looking.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(closed.wait, 10)


async def test_searches_share_one_thread() -> None:
    """A search that finds nothing for long lets another stream have its turn."""
    with ThreadPoolExecutor(1) as single:
        endless, useful = Source(1, idle=10**9), Source(5)
        async with BackgroundIterator(endless.generate(), single) as searching:
            task = asyncio.create_task(searching.__anext__())
            async with BackgroundIterator(useful.generate(), single) as items:
                assert [item async for item in items] == [1, 2, 3, 4, 5]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_an_executor_that_was_shut_down_is_no_obstacle() -> None:
    executor = ThreadPoolExecutor(1)
    source = Source(1000)
    async with BackgroundIterator(source.generate(), executor) as items:
        assert await items.__anext__() == 1
        executor.shutdown(wait=True, cancel_futures=True)
    assert source.closed.is_set()
