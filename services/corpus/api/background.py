"""Pulls a blocking iterator from a thread, no further ahead than one item."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Generic, Self, TypeVar

from services.corpus.stream.waiting import Waiting

T = TypeVar("T")

# Steps without an item after which the thread serves other streams, so that a search that finds
# little can be stopped. A step reads about a megabyte.
_MAX_IDLE_STEPS = 8


class BackgroundIterator(Generic[T]):
    """Iterates a blocking generator in `executor`, for `async for` in the event loop.

    A step runs in a thread while `waiting` says that it may wait for a disk, otherwise in the event
    loop. Threads read one item ahead: a consumer that stops reading holds two items and no thread.
    The generator's None means "still looking" and is not passed on. Use as an async context
    manager: leaving it, also by cancellation, closes the generator in a thread once its step has
    ended.
    """

    def __init__(
        self,
        generator: Generator[T | None, None, None],
        executor: Executor,
        waiting: Waiting | None = None,
    ) -> None:
        self._generator = generator
        self._executor = executor
        self._waiting = waiting or Waiting()
        self._next: Future[T | None] | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended = True
        pending, self._next = self._next, None
        if pending is not None and not pending.cancel():
            pending.add_done_callback(lambda _: self._generator.close())
            return
        try:
            self._executor.submit(self._generator.close)
        except RuntimeError:  # the executor was shut down, so nothing runs in it any more
            self._generator.close()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            if self._next is None and not self._waiting.allowed and not self._ended:
                item = self._step(wait=False)
                if item is not None:
                    return item
                if self._ended:
                    raise StopAsyncIteration
            pending = self._next or self._executor.submit(self._step)
            self._next = pending
            # Awaiting an item that is ready costs more than taking it.
            ready = pending.done() and not pending.cancelled()
            item = pending.result() if ready else await asyncio.wrap_future(pending)
            self._next = None
            if item is not None:
                if self._waiting.allowed:
                    self._next = self._executor.submit(self._step)
                return item
            if self._ended:
                raise StopAsyncIteration

    def _step(self, *, wait: bool = True) -> T | None:
        for _ in range(_MAX_IDLE_STEPS):
            if self._ended:
                return None
            try:
                item = next(self._generator)
            except StopIteration:
                self._ended = True
                return None
            if item is not None:
                return item
            if not wait and self._waiting.allowed:
                return None
        return None
