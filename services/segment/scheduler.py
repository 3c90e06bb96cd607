"""Drives the batcher on asyncio: prepare in a pool, compute in a thread, finish in the pool.

Nothing here waits by polling: an event (an item is ready, a batch is done, a time is reached)
advances the batcher. An error of one item is that item's alone: a batch that fails is computed
again item by item.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from services.errors import DeadlineExceeded
from services.segment.batcher import Batch, Batcher, Priority, Ticket
from services.segment.cost import SizedCost

I = TypeVar("I")  # noqa: E741  # an item's input
O = TypeVar("O")  # noqa: E741  # an item's output
R = TypeVar("R")


@dataclass(frozen=True)
class Trace:
    """Seconds that one item spent, and how many items shared its batch.

    `prepare`, `compute` and `finish` are work; all waiting, for a thread and for a batch, is
    `queue`.
    """

    prepare: float
    queue: float
    compute: float
    finish: float
    batch_size: int


@dataclass(frozen=True)
class _Timed(Generic[R]):
    value: R
    seconds: float


@dataclass(frozen=True)
class _Computed(Generic[O]):
    output: O
    started_at: float
    seconds: float
    batch_size: int


@dataclass(frozen=True)
class _Waiting(Generic[I, O]):
    value: I
    units: int
    future: asyncio.Future[_Computed[O]]


class Scheduler(Generic[I, O]):
    """Runs items of one engine in batches.

    `run` computes a batch: a list of inputs to as many outputs, in order; it is called in a thread
    of the scheduler's own. `pool` does the items' own work and is shared and closed by the owner.
    `units` is the size, at least 1, of what is left to do for an item after its batch, and
    `finish_cost` what such work costs.
    """

    def __init__(
        self,
        batcher: Batcher,
        run: Callable[[list[I]], Sequence[O]],
        pool: Executor,
        *,
        units: Callable[[I], int],
        finish_cost: SizedCost,
    ) -> None:
        self._batcher = batcher
        self._run = run
        self._pool = pool
        self._engine = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._waiting: dict[Ticket, _Waiting[I, O]] = {}
        self._batches: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._units = units
        self._finish_cost = finish_cost

    @property
    def load(self) -> int:
        """Items that were admitted and are not answered yet."""
        return len(self._batcher)

    async def submit(
        self,
        prepare: Callable[[], I],
        finish: Callable[[O], R],
        *,
        size: int,
        timeout: float | None,  # noqa: ASYNC109  # it decides admission, it is no cancellation
        priority: Priority = Priority.NORMAL,
        client: str = "",
        bucket: Hashable = None,
    ) -> tuple[R, Trace]:
        """Prepare, compute and finish one item of `size` bytes within `timeout` seconds.

        Items of one `bucket` may share a batch. Where items wait, priorities come first, and
        within a priority clients take turns.

        `prepare` and `finish` run in the pool. Cancelling the call gives the item's place back;
        if it has not been put into a batch by then, it never is.
        Raises what `Batcher.admit` raises, DeadlineExceeded if it could not be computed in time,
        and what `prepare`, `run` and `finish` raise for this item.
        """
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        deadline = math.inf if timeout is None else arrived + timeout
        ticket = self._batcher.admit(arrived, deadline, size)
        try:
            prepared = await loop.run_in_executor(self._pool, partial(_timed, prepare))
            units = self._units(prepared.value)
            prepare_seconds = prepared.seconds
            done = await self._compute(ticket, prepared.value, units)
            del prepared
            finished = await loop.run_in_executor(self._pool, partial(_timed, finish, done.output))
        finally:
            self._waiting.pop(ticket, None)
            self._batcher.close(ticket)
            self._advance()
        self._finish_cost.observe(units, finished.seconds)
        working = prepare_seconds + done.seconds + finished.seconds
        return finished.value, Trace(
            prepare=prepare_seconds,
            queue=max(0.0, loop.time() - arrived - working),
            compute=done.seconds,
            finish=finished.seconds,
            batch_size=done.batch_size,
        )

    async def close(self) -> None:
        """Wait for the running batch and end the engine's thread. No item may be open."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._batches)
        await asyncio.get_running_loop().run_in_executor(None, self._engine.shutdown)

    async def _compute(self, ticket: Ticket, value: I, units: int) -> _Computed[O]:
        loop = asyncio.get_running_loop()
        waiting = _Waiting[I, O](value, units, loop.create_future())
        self._waiting[ticket] = waiting
        self._batcher.ready(ticket, loop.time(), self._finish_cost.typical(units))
        self._advance()
        return await waiting.future

    def _advance(self) -> None:
        """Do what the batcher says, and come back when it says."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        poll = self._batcher.poll(now)
        for ticket in poll.expired:
            self._expire(ticket, now)
        if poll.batch is not None:
            # Looked up now: a caller may leave before the task's first step.
            items = [self._waiting[ticket] for ticket in poll.batch.tickets]
            task = loop.create_task(self._run_batch(poll.batch, items))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if poll.wake is not None:
            self._timer = loop.call_at(poll.wake, self._advance)

    def _expire(self, ticket: Ticket, now: float) -> None:
        """Answer an item that can no longer be in time."""
        waiting = self._waiting[ticket]
        left = ticket.deadline - now
        compute = self._batcher.cost.typical(1)
        problem = "the request waited in the queue until it was too late"
        if compute < left <= compute + ticket.reserve:
            problem = (
                f"computing and encoding the answer takes about {compute + ticket.reserve:.3g} s "
                f"and the deadline leaves {left:.3g} s: allow more time or ask for a smaller answer"
            )
            if ticket.deadline - ticket.queued_at <= compute + ticket.reserve:
                self._finish_cost.doubt(waiting.units)
        if not waiting.future.done():
            waiting.future.set_exception(DeadlineExceeded(problem))

    async def _run_batch(self, batch: Batch, items: list[_Waiting[I, O]]) -> None:
        """Compute what callers still wait for. The batch is completed whatever happens."""
        loop = asyncio.get_running_loop()
        wanted = [item for item in items if not item.future.done()]
        outcomes: Sequence[O | Exception] = []
        whole = False
        try:
            if wanted:
                values = [item.value for item in wanted]
                outcomes, whole = await loop.run_in_executor(
                    self._engine, partial(_each, self._run, values)
                )
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the callers' answer
            outcomes = [error] * len(wanted)
        finally:
            now = loop.time()
            self._batcher.complete(batch, now, learn=whole and len(wanted) == len(items))
            self._advance()
        for item, outcome in zip(wanted, outcomes, strict=True):
            if item.future.done():
                continue  # its caller has gone
            if isinstance(outcome, Exception):
                item.future.set_exception(outcome)
            else:
                item.future.set_result(
                    _Computed(outcome, batch.started_at, now - batch.started_at, len(wanted))
                )


def _timed(work: Callable[..., R], *args: object) -> _Timed[R]:
    """Return what the work returns, and its seconds without the wait for a thread."""
    start = time.monotonic()
    value = work(*args)
    return _Timed(value, time.monotonic() - start)


def _each(
    run: Callable[[list[I]], Sequence[O]], values: list[I]
) -> tuple[Sequence[O | Exception], bool]:
    """Return an output or an error for each value, and whether they were computed as a whole."""
    try:
        outputs = run(values)
        if len(outputs) != len(values):
            raise ValueError(f"{len(outputs)} outputs for {len(values)} inputs")  # noqa: TRY301
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the caller's answer
        if len(values) == 1:
            return [error], False
        return [_each(run, [value])[0][0] for value in values], False
    return outputs, True
