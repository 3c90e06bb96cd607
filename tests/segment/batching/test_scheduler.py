"""The scheduler with a hand-written engine: events order the tests, never time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures import Future as Job
from typing import Any

import pytest

from services.errors import BadImage, DeadlineExceeded, Overloaded, Unavailable
from services.segment.batching.batcher import Batcher
from services.segment.batching.cost import SizedCost
from services.segment.batching.fair_queue import MAX_TURNS_PASSED
from services.segment.batching.scheduler import Scheduler, Trace, deadline_in
from services.segment.batching.ticket import Admission, Batch, Limits, Priority


class Numbers(Scheduler[int, int]):
    """Doubles; a number is also the size of what is left to do for it."""

    def __init__(
        self, batcher: Batcher, run: Callable[[list[int]], Sequence[int]], pool: Executor
    ) -> None:
        self.finish_cost = SizedCost()
        super().__init__(
            batcher, run, pool, units=lambda value: max(1, value), finish_cost=self.finish_cost
        )


class Engine:
    """Doubles numbers. Holds each batch until `go` is set; fails on numbers below 0."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = threading.Semaphore(0)
        self.go = threading.Event()
        self.unavailable = False

    def run(self, values: list[int]) -> list[int]:
        self.batches.append(values)
        self.started.release()
        assert self.go.wait(30)
        if self.unavailable:
            raise Unavailable("it has failed")
        if min(values) < 0:
            raise ArithmeticError(f"cannot double {min(values)}")
        return [2 * value for value in values]

    async def until_started(self) -> None:
        assert await asyncio.to_thread(self.started.acquire, timeout=30)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def scheduler(engine: Engine) -> AsyncIterator[Numbers]:
    with ThreadPoolExecutor(2) as pool:
        made = Numbers(Batcher(Limits(max_batch_size=4, max_items=6)), engine.run, pool)
        yield made
        engine.go.set()
        await made.close()
        assert made.load == 0


async def submit(scheduler: Numbers, value: int, seconds: float | None = None) -> tuple[str, Trace]:
    return await scheduler.submit(
        lambda: value, lambda output: f"<{output}>", Admission(1, deadline_in(seconds))
    )


async def queue_behind(
    scheduler: Numbers, engine: Engine, values: list[int]
) -> tuple[asyncio.Task[tuple[str, Trace]], list[asyncio.Task[tuple[str, Trace]]]]:
    """Start a batch of [0], and have `values` queued while it runs."""
    first = asyncio.create_task(submit(scheduler, 0))
    await engine.until_started()
    rest = [asyncio.create_task(submit(scheduler, value)) for value in values]
    while scheduler._batcher.waiting < len(values):  # noqa: ASYNC110
        await asyncio.sleep(0)  # lets them be queued; no time is in it
    return first, rest


async def test_items_that_wait_together_are_computed_together(
    scheduler: Numbers, engine: Engine
) -> None:
    first, rest = await queue_behind(scheduler, engine, [1, 2, 3])
    engine.go.set()
    results = await asyncio.gather(first, *rest)
    assert [result for result, _ in results] == ["<0>", "<2>", "<4>", "<6>"]
    assert [trace.batch_size for _, trace in results] == [1, 3, 3, 3]
    assert all(
        min(trace.prepare, trace.queue, trace.compute, trace.finish) >= 0 for _, trace in results
    )
    assert sorted(map(sorted, engine.batches)) == [[0], [1, 2, 3]]


async def test_one_bad_item_does_not_fail_its_batch(scheduler: Numbers, engine: Engine) -> None:
    first, rest = await queue_behind(scheduler, engine, [1, -2, 3])
    engine.go.set()
    await first
    good, bad, other = await asyncio.gather(*rest, return_exceptions=True)
    assert isinstance(bad, ArithmeticError)
    assert not isinstance(good, BaseException)
    assert not isinstance(other, BaseException)
    assert (good[0], other[0]) == ("<2>", "<6>")


async def test_an_item_that_cannot_be_prepared_is_never_queued(
    scheduler: Numbers, engine: Engine
) -> None:
    def prepare() -> int:
        raise BadImage("image", "not one")

    with pytest.raises(BadImage):
        await scheduler.submit(prepare, str, Admission(1))
    assert engine.batches == []


async def test_a_result_that_cannot_be_finished_fails_alone(
    scheduler: Numbers, engine: Engine
) -> None:
    engine.go.set()
    with pytest.raises(ZeroDivisionError):
        await scheduler.submit(lambda: 0, lambda output: 1 / output, Admission(1))
    assert (await submit(scheduler, 1))[0] == "<2>"


async def test_a_caller_who_leaves_the_queue_is_not_computed(
    scheduler: Numbers, engine: Engine
) -> None:
    first, (gone, stays) = await queue_behind(scheduler, engine, [1, 2])
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    engine.go.set()
    await asyncio.gather(first, stays)
    assert engine.batches == [[0], [2]]


async def test_a_caller_who_leaves_a_running_batch_leaks_nothing(
    scheduler: Numbers, engine: Engine
) -> None:
    first, (stays,) = await queue_behind(scheduler, engine, [1])
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert scheduler.load == 1
    engine.go.set()
    assert (await stays)[0] == "<2>"
    assert scheduler.load == 0
    assert not scheduler._items


async def test_a_caller_who_leaves_as_the_batch_is_formed_blocks_no_one(
    scheduler: Numbers, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, (gone,) = await queue_behind(scheduler, engine, [1])
    complete = Batcher.complete

    def leave(batcher: Batcher, batch: Batch, now: float, *, learn: bool = True) -> None:
        gone.cancel()  # in the turn in which the first batch ends and the next one is formed
        complete(batcher, batch, now, learn=learn)

    with monkeypatch.context() as patch:
        patch.setattr(Batcher, "complete", leave)
        engine.go.set()
        await first
    with pytest.raises(asyncio.CancelledError):
        await gone
    async with asyncio.timeout(30):
        assert (await submit(scheduler, 2))[0] == "<4>"
    assert engine.batches == [[0], [2]]


async def test_an_engine_that_is_unavailable_is_not_tried_item_by_item(
    scheduler: Numbers, engine: Engine
) -> None:
    first, rest = await queue_behind(scheduler, engine, [1, 2, 3])
    engine.unavailable = True
    engine.go.set()
    await asyncio.gather(first, return_exceptions=True)
    for task in rest:
        with pytest.raises(Unavailable):
            await task
    assert sorted(map(sorted, engine.batches)) == [[0], [1, 2, 3]]


async def test_an_engine_whose_thread_is_gone_answers_with_an_error(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        scheduler = Numbers(Batcher(Limits()), engine.run, pool)
        scheduler._engine.shutdown()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="shutdown"):
                await submit(scheduler, 1)
        await scheduler.close()


async def test_a_deadline_fires_while_another_batch_runs(
    scheduler: Numbers, engine: Engine
) -> None:
    first = asyncio.create_task(submit(scheduler, 0))
    await engine.until_started()
    with pytest.raises(DeadlineExceeded, match="waited in the queue"):
        await submit(scheduler, 1, seconds=0.05)
    engine.go.set()
    assert (await first)[0] == "<0>"
    assert engine.batches == [[0]]


async def test_slow_large_answers_refuse_no_small_ones(scheduler: Numbers, engine: Engine) -> None:
    engine.go.set()
    scheduler.finish_cost.observe(1, 1e-6)
    for _ in range(3):
        scheduler.finish_cost.observe(1_000_000, 3600.0)  # an hour each
    assert (await submit(scheduler, 1, seconds=30))[0] == "<2>"
    with pytest.raises(DeadlineExceeded, match=r"takes about 3.6e\+03 s .* smaller answer"):
        await submit(scheduler, 1_000_000, seconds=30)
    assert engine.batches == [[1]]


async def test_an_estimate_that_refuses_everything_is_given_up(
    scheduler: Numbers, engine: Engine
) -> None:
    engine.go.set()
    scheduler.finish_cost.observe(1, 60.0)
    for _ in range(7):
        with pytest.raises(DeadlineExceeded, match="smaller answer"):
            await submit(scheduler, 1, seconds=30)
    assert (await submit(scheduler, 1, seconds=30))[0] == "<2>"


async def test_waiting_for_a_thread_is_queueing_and_not_work(engine: Engine) -> None:
    engine.go.set()
    with ThreadPoolExecutor(1) as pool:
        scheduler = Numbers(Batcher(Limits()), engine.run, pool)
        loop = asyncio.get_running_loop()
        start = loop.time()
        blocked = threading.Event()
        pool.submit(blocked.wait, 30)
        call = asyncio.create_task(submit(scheduler, 1))
        await asyncio.sleep(0)
        held = loop.time()
        while loop.time() - held < 0.05:  # noqa: ASYNC110  # the pool's only thread is taken
            await asyncio.sleep(0)
        waited = loop.time() - held
        blocked.set()
        _, trace = await call
        whole = loop.time() - start
        await scheduler.close()
    assert trace.queue >= waited
    assert trace.prepare + trace.queue + trace.compute + trace.finish <= whole


async def test_more_than_fits_is_refused_at_once(scheduler: Numbers, engine: Engine) -> None:
    first, rest = await queue_behind(scheduler, engine, [1, 2, 3, 4])
    with pytest.raises(Overloaded, match="queue is full"):
        await submit(scheduler, 5)
    engine.go.set()
    await asyncio.gather(first, *rest)
    assert (await submit(scheduler, 6))[0] == "<12>"


async def test_an_engine_that_loses_items_is_found_out(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        scheduler = Numbers(Batcher(Limits()), lambda values: [], pool)
        with pytest.raises(ValueError, match="0 outputs for 1 inputs"):
            await submit(scheduler, 1)
        await scheduler.close()


async def test_a_full_queue_is_waited_for_by_who_asks_to(
    scheduler: Numbers, engine: Engine
) -> None:
    first, rest = await queue_behind(scheduler, engine, [1, 2, 3, 4])
    admitted = [asyncio.Event() for _ in range(3)]
    patient = [
        asyncio.create_task(scheduler.submit(lambda: 7, str, Admission(1), admitted=event))
        for event in admitted
    ]
    await asyncio.sleep(0)
    assert not any(event.is_set() for event in admitted)
    patient[0].cancel()
    engine.go.set()
    await asyncio.gather(first, *rest)
    assert [result for result, _ in await asyncio.gather(*patient[1:])] == ["14", "14"]
    assert [event.is_set() for event in admitted] == [False, True, True]
    assert not scheduler._waiting


async def test_a_large_item_of_a_low_priority_is_not_refused_when_its_turn_comes(
    engine: Engine,
) -> None:
    engine.go.set()
    with ThreadPoolExecutor(1) as pool:
        scheduler = Numbers(Batcher(Limits(max_items=99, max_bytes=30)), engine.run, pool)

        def send(size: int, priority: Priority) -> asyncio.Task[tuple[str, Trace]]:
            call = scheduler.submit(
                lambda: 1, str, Admission(size, priority=priority), admitted=asyncio.Event()
            )
            return asyncio.create_task(call)

        first, large = send(2, Priority.HIGH), send(29, Priority.LOW)
        small = [send(1, Priority.HIGH) for _ in range(MAX_TURNS_PASSED + 2)]
        results = await asyncio.gather(first, large, *small)
        await scheduler.close()
    assert {result for result, _ in results} == {"2"}


async def test_who_stops_waiting_for_much_lets_the_next_one_in(engine: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        scheduler = Numbers(Batcher(Limits(max_items=99, max_bytes=30)), engine.run, pool)

        def send(size: int, admitted: asyncio.Event) -> asyncio.Task[tuple[str, Trace]]:
            call = scheduler.submit(lambda: 1, str, Admission(size), admitted=admitted)
            return asyncio.create_task(call)

        first = send(5, asyncio.Event())
        await engine.until_started()
        room = asyncio.Event()
        large, small = send(29, asyncio.Event()), send(1, room)
        await asyncio.sleep(0)
        assert not room.is_set()
        large.cancel()
        async with asyncio.timeout(10):
            await room.wait()
        engine.go.set()
        await asyncio.gather(first, small)
        await scheduler.close()


async def test_the_wait_for_room_ends_with_the_deadline(scheduler: Numbers, engine: Engine) -> None:
    first, rest = await queue_behind(scheduler, engine, [1, 2, 3, 4])
    with pytest.raises(DeadlineExceeded, match="waited for a place"):
        await scheduler.submit(
            lambda: 7, str, Admission(1, deadline_in(0.001)), admitted=asyncio.Event()
        )
    assert scheduler.load == 5  # the queue is as full as it was
    assert not scheduler._waiting
    engine.go.set()
    await asyncio.gather(first, *rest)


async def test_room_given_to_who_has_just_gone_is_given_back(
    scheduler: Numbers, engine: Engine
) -> None:
    first, rest = await queue_behind(scheduler, engine, [1, 2, 3, 4])
    patient = asyncio.create_task(
        scheduler.submit(lambda: 7, str, Admission(1), admitted=asyncio.Event())
    )
    await asyncio.sleep(0)
    rest[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await rest[0]  # its room is the other's now
    patient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await patient
    engine.go.set()
    await asyncio.gather(first, *rest[1:])
    assert scheduler.load == 0


async def test_what_is_cancelled_or_expired_before_its_turn_is_not_prepared(
    engine: Engine,
) -> None:
    engine.go.set()
    prepared: list[int] = []
    blocked, begun = threading.Event(), threading.Event()

    def prepare(value: int) -> int:
        prepared.append(value)
        begun.set()
        assert blocked.wait(30)
        return value

    with ThreadPoolExecutor(1) as pool:
        scheduler = Numbers(Batcher(Limits(workers=1)), engine.run, pool)
        tasks = [
            asyncio.create_task(
                scheduler.submit(lambda v=v: prepare(v), str, Admission(1, deadline_in(seconds)))  # type: ignore[misc]
            )
            for v, seconds in enumerate((None, None, 0.02, None))
        ]
        assert await asyncio.to_thread(begun.wait, 30)
        tasks[1].cancel()
        with pytest.raises(DeadlineExceeded, match="waited in the queue"):
            await tasks[2]
        blocked.set()
        await asyncio.gather(tasks[0], tasks[3])
        await scheduler.close()
    assert prepared == [0, 3]


class Held(Executor):
    """Does nothing until it is told to, and then in the caller's thread."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Job[Any]:
        job: Job[Any] = Job()
        self.jobs.append((job, lambda: fn(*args, **kwargs)))
        return job

    def work(self) -> None:
        for job, call in self.jobs:
            if job.set_running_or_notify_cancel():
                job.set_result(call())
        self.jobs.clear()


@pytest.mark.parametrize("prepared", [False, True])
async def test_what_expires_between_two_steps_is_answered(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, prepared: bool
) -> None:
    """The next step has come and the caller has not seen it yet, as in one turn of a busy loop."""
    loop, pool = asyncio.get_running_loop(), Held()
    scheduler = Numbers(Batcher(Limits(workers=1)), engine.run, pool)
    ahead = asyncio.create_task(submit(scheduler, 0))
    late = asyncio.create_task(submit(scheduler, 1, seconds=60))
    while not pool.jobs:  # noqa: ASYNC110
        await asyncio.sleep(0)
    ahead.cancel()
    await asyncio.sleep(0)  # it is the other's turn now
    if prepared:
        while len(pool.jobs) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        pool.work()
        loop.call_soon(scheduler._advance)
    begun = len(pool.jobs)
    clock = loop.time
    monkeypatch.setattr(loop, "time", lambda: clock() + 100)
    if not prepared:
        scheduler._advance()
    with pytest.raises(DeadlineExceeded, match="waited in the queue"):
        async with asyncio.timeout(10):
            await late
    assert scheduler.load == len(engine.batches) == 0
    assert len(pool.jobs) == begun  # nothing was begun in vain
    await scheduler.close()
