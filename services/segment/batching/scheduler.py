"""Drives the batcher on asyncio: prepare in a pool, compute in a thread, finish in the pool.

Nothing here polls: an event (an item is ready, a batch is done, a time is reached) advances the
batcher. An item's error affects only that item: a batch that fails is computed again item by item.

The batcher decides when an item is prepared and which batch it joins. While a batch runs, the pool
prepares the next items; which of them the next batch takes is decided when the engine is idle.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures import Future as Job
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from services.errors import AssayError, DeadlineExceeded, Unavailable
from services.segment.batching.batcher import Batcher
from services.segment.batching.cost import SizedCost
from services.segment.batching.fair_queue import MAX_TURNS_PASSED, FairQueue
from services.segment.batching.ticket import Admission, Batch, Priority, Ticket

I = TypeVar("I")  # noqa: E741  # an item's input
O = TypeVar("O")  # noqa: E741  # an item's output
R = TypeVar("R")


@dataclass(frozen=True)
class Trace:
    """Seconds that one item spent, and how many items shared its batch.

    `prepare`, `compute` and `finish` are work; `queue` is all waiting, for a thread and for a
    batch.
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


@dataclass
class _Item(Generic[I]):
    """State of an open ticket.

    `awaited` is what the item's caller waits for now: its turn, a thread's work or its batch. An
    error set there becomes the caller's answer.
    """

    awaited: asyncio.Future[Any]
    units: int = 0
    inputs: list[I] = field(default_factory=list)  # one element, once prepared
    error: AssayError | None = None

    def fail(self, error: AssayError) -> None:
        """Answer with an error, now or when the caller next waits."""
        self.error = error
        if not self.awaited.done():
            self.awaited.set_exception(error)

    def wait(self, awaited: asyncio.Future[R]) -> asyncio.Future[R]:
        """Return what the caller waits for next. Raises an error that came earlier."""
        if self.error is not None:
            raise self.error
        self.awaited = awaited
        return awaited


@dataclass(eq=False)
class _Waiting:
    """A caller that waits until the queue has room and then gets `ticket`."""

    admission: Admission
    admit: Callable[[], Ticket]
    ticket: asyncio.Future[Ticket]
    # How often the caller's turn came and its item did not fit.
    turns_passed: int = 0


def deadline_in(seconds: float | None) -> float:
    """Return the time in `seconds`, on the running loop's clock; None means never."""
    return math.inf if seconds is None else asyncio.get_running_loop().time() + seconds


class Scheduler(Generic[I, O]):
    """Runs items of one engine in batches.

    `run` computes a batch: a list of inputs to as many outputs, in order; the scheduler calls it in
    its own thread. `pool` does the items' own work; the owner shares and closes it. `units` is the
    size, at least 1, of the work that an item needs after its batch, and `finish_cost` the cost of
    such work.
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
        self._items: dict[Ticket, _Item[I]] = {}
        # Callers waiting for room, each client in its own bucket.
        self._waiting: FairQueue[_Waiting] = FairQueue(len(Priority))
        self._batches: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._units = units
        self._prepare_cost = SizedCost()
        self._finish_cost = finish_cost

    @property
    def load(self) -> int:
        """Number of items admitted and not answered yet."""
        return len(self._batcher)

    async def submit(
        self,
        prepare: Callable[[], I],
        finish: Callable[[O], R],
        admission: Admission,
        *,
        admitted: asyncio.Event | None = None,
    ) -> tuple[R, Trace]:
        """Prepare, compute and finish one item by its deadline, on the loop's clock.

        With `admitted` the call waits while the queue is full, and the event is set once the item
        is admitted; without, a full queue refuses the item.

        `prepare` and `finish` run in the pool. Cancelling the call frees the item's room; steps
        that have not begun by then are not done.
        Raises what `Batcher.admit` raises, DeadlineExceeded if the item could not be computed in
        time, and what `prepare`, `run` and `finish` raise for this item.
        """
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        size = admission.size
        item = _Item[I](loop.create_future())

        def admit() -> Ticket:
            prepare_seconds = self._prepare_cost.typical(size)
            ticket = self._batcher.admit(loop.time(), admission, prepare_seconds)
            self._items[ticket] = item
            return ticket

        if admitted is None:
            ticket = admit()
        else:
            ticket = await self._wait_for_room(_Waiting(admission, admit, loop.create_future()))
            admitted.set()
        try:
            self._advance()
            await item.awaited  # until the item's turn comes
            prepared = await self._in_pool(item, prepare)
            self._prepare_cost.observe(size, prepared.seconds)
            item.inputs.append(prepared.value)
            item.units = self._units(prepared.value)
            prepare_seconds = prepared.seconds
            del prepared
            batch = item.wait(loop.create_future())
            self._batcher.ready(ticket, loop.time(), self._finish_cost.typical(item.units))
            self._advance()
            done: _Computed[O] = await batch
            item.inputs.clear()
            finished = await self._in_pool(item, partial(finish, done.output))
        finally:
            self._close(ticket)
        self._finish_cost.observe(item.units, finished.seconds)
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

    async def _wait_for_room(self, waiting: _Waiting) -> Ticket:
        """Return the ticket of a caller that waits while the queue is full."""
        self._batcher.require_fits(waiting.admission.size)
        self._waiting.add(waiting, waiting.admission.client)
        self._admit_waiting()
        deadline = waiting.admission.deadline
        try:
            async with asyncio.timeout_at(None if deadline == math.inf else deadline):
                return await waiting.ticket
        except (TimeoutError, asyncio.CancelledError) as error:
            if waiting.ticket.cancelled():
                self._waiting.remove(waiting, waiting.admission.client)
                self._admit_waiting()  # later callers may need less room
            elif waiting.ticket.exception() is None:
                self._close(waiting.ticket.result())  # given in this same turn of the loop
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    "the request waited for a place in the queue until it was too late"
                ) from None
            raise

    def _close(self, ticket: Ticket) -> None:
        """Free an item's room for waiting callers."""
        del self._items[ticket]
        self._batcher.close(ticket)
        if self._waiting:
            self._admit_waiting()
        self._advance()

    def _admit_waiting(self) -> None:
        """Admit waiting callers, in turn, while any of them fits."""
        while (waiting := self._next_waiting()) is not None:
            if waiting.ticket.done():
                continue  # its caller left
            try:
                waiting.ticket.set_result(waiting.admit())
            except AssayError as error:
                waiting.ticket.set_exception(error)

    def _next_waiting(self) -> _Waiting | None:
        """Take out the caller to admit next, if any fits.

        Takes turns among those whose item fits. If an item was often too large on its turn, room
        freed from then on is kept for it.
        """
        self._batcher.keep_free(0)
        queue = self._waiting
        if not queue:
            return None
        (first,) = queue.preview(queue.buckets, 1)
        if self._batcher.has_room(first.admission):
            return queue.take(queue.buckets, 1)[0]
        first.turns_passed += 1
        if first.turns_passed > MAX_TURNS_PASSED:
            self._batcher.keep_free(first.admission.size)
        has_room = self._batcher.has_room
        able = [client for client in queue.buckets if has_room(queue.next(client).admission)]
        while able:
            (waiting,) = queue.preview(able, 1)
            if self._batcher.has_room(waiting.admission):
                return queue.take(able, 1)[0]
            # If a lower priority's turn has the larger item, that item and its client wait.
            able.remove(waiting.admission.client)
        return None

    async def _in_pool(self, item: _Item[I], work: Callable[[], R]) -> _Timed[R]:
        """Do work in the pool, unless the caller leaves or the item expires before it begins."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Timed[R]] = item.wait(loop.create_future())
        job = self._pool.submit(_timed, work)
        job.add_done_callback(lambda done: loop.call_soon_threadsafe(_settle, future, done))
        try:
            return await future
        finally:
            job.cancel()

    def _advance(self) -> None:
        """Do what the batcher says, and come back when it says."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        poll = self._batcher.poll(now)
        for ticket in poll.expired:
            self._expire(ticket, now)
        for ticket in poll.prepare:
            turn = self._items[ticket].awaited
            if not turn.done():
                turn.set_result(None)
        if poll.batch is not None:
            # Looked up now: a caller may leave before the task's first step.
            items = [self._items[ticket] for ticket in poll.batch.tickets]
            task = loop.create_task(self._run_batch(poll.batch, items))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)
        if self._timer is not None and self._timer.when() != poll.wake:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and poll.wake is not None:
            self._timer = loop.call_at(poll.wake, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._advance()

    def _expire(self, ticket: Ticket, now: float) -> None:
        """Answer an item that can no longer be in time."""
        item = self._items[ticket]
        left = ticket.admission.deadline - now
        compute = self._batcher.cost.typical(1, ticket.admission.bucket)
        problem = "the request waited in the queue until it was too late"
        if compute < left <= compute + ticket.reserve:
            problem = (
                f"computing and encoding the answer takes about {compute + ticket.reserve:.3g} s "
                f"and the deadline leaves {left:.3g} s: allow more time or request a smaller answer"
            )
            if ticket.admission.deadline - ticket.queued_at <= compute + ticket.reserve:
                self._finish_cost.relax(item.units)
        item.fail(DeadlineExceeded(problem))

    async def _run_batch(self, batch: Batch, items: list[_Item[I]]) -> None:
        """Compute the items that callers still wait for. Always completes the batch."""
        loop = asyncio.get_running_loop()
        wanted = [item for item in items if not item.awaited.done()]
        awaited = [item.awaited for item in wanted]
        outcomes: Sequence[O | Exception] = []
        whole = False
        try:
            if wanted:
                inputs = [item.inputs[0] for item in wanted]
                outcomes, whole = await loop.run_in_executor(
                    self._engine, partial(_each, self._run, inputs)
                )
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the callers' answer
            outcomes = [error] * len(wanted)
        finally:
            now = loop.time()
            self._batcher.complete(batch, now, learn=whole and len(wanted) == len(items))
            self._advance()
        for future, outcome in zip(awaited, outcomes, strict=True):
            if future.done():
                continue  # its caller left
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(
                    _Computed(outcome, batch.started_at, now - batch.started_at, len(wanted))
                )


def _settle(future: asyncio.Future[R], job: Job[R]) -> None:
    """Pass a thread's result on, unless no one waits for it."""
    if future.done() or job.cancelled():
        return
    error = job.exception()
    if error is None:
        future.set_result(job.result())
    else:
        future.set_exception(error)


def _timed(work: Callable[..., R], *args: object) -> _Timed[R]:
    """Return the work's result, and its seconds without the wait for a thread."""
    start = time.monotonic()
    value = work(*args)
    return _Timed(value, time.monotonic() - start)


def _each(
    run: Callable[[list[I]], Sequence[O]], values: list[I]
) -> tuple[Sequence[O | Exception], bool]:
    """Return an output or an error for each value, and whether the batch ran as a whole.

    If the batch fails, each value is run alone, until one makes `run` raise Unavailable.
    """
    try:
        outputs = run(values)
        if len(outputs) != len(values):
            raise ValueError(f"{len(outputs)} outputs for {len(values)} inputs")  # noqa: TRY301
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the caller's answer
        if len(values) == 1:
            return [error], False
        if isinstance(error, Unavailable):
            return [error] * len(values), False
        outcomes: list[O | Exception] = []
        for value in values:
            outcomes.append(_each(run, [value])[0][0])
            if isinstance(outcomes[-1], Unavailable):
                outcomes += [outcomes[-1]] * (len(values) - len(outcomes))
                break
        return outcomes, False
    return outputs, True
