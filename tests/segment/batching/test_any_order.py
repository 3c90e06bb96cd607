"""The scheduler with callers who come, leave and fail in any order, on a clock that jumps.

Nothing hangs, nothing is left behind, and no caller gets an answer that is another's.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from concurrent.futures import Future as Job
from functools import partial
from typing import Any

import pytest

from services.errors import AssayError, BadImage, Overloaded
from services.segment.batching.admission import LearnedAdmission
from services.segment.batching.batcher import Batcher
from services.segment.batching.cost import SizedCost
from services.segment.batching.scheduler import Scheduler, deadline_in
from services.segment.batching.ticket import Admission, Limits, Priority

CALLERS = 250
BROKEN, POISON = -1, -2  # can't be prepared; fails its batch


class JumpingLoop(asyncio.SelectorEventLoop):
    """Does not wait for a time: it is that time at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        wait = selector.select

        def jump(timeout: float | None = None) -> Any:
            # Without a time only a real thread can be waited for: the one that ends the scheduler.
            events = wait(10 if timeout is None else 0)
            if timeout is None and not events:
                raise AssertionError("everyone waits and nothing will happen")
            self.now += timeout or 0.0
            return events

        selector.select = jump

    def time(self) -> float:
        return self.now


class Threads(Executor):
    """So many workers, whose every job takes a time of `seconds`, on the loop's clock."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, count: int, seconds: Callable[[], float]
    ) -> None:
        self.loop, self.free, self.seconds = loop, count, seconds
        self.waiting: list[tuple[Job[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Job[Any]:
        job: Job[Any] = Job()
        self.waiting.append((job, partial(fn, *args, **kwargs)))
        self.loop.call_soon(self.begin)
        return job

    def begin(self) -> None:
        while self.waiting and self.free:
            job, work = self.waiting.pop(0)
            if job.set_running_or_notify_cancel():
                self.free -= 1
                self.loop.call_later(self.seconds(), self.end, job, work)

    def end(self, job: Job[Any], work: Callable[[], Any]) -> None:
        self.free += 1
        try:
            job.set_result(work())
        except Exception as error:  # noqa: BLE001  # as a real pool hands it on
            job.set_exception(error)
        self.begin()


class Trial:
    """One random choice of limits, callers and times."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.outcomes: Counter[str] = Counter()

    async def run(self) -> None:
        loop, rng = asyncio.get_running_loop(), self.rng
        limits = Limits(
            max_batch_size=rng.choice([1, 2, 4, 8]),
            batch_wait=rng.choice([0.0, 0.0, 0.3, 2.0]),
            max_items=rng.choice([2, 5, 20]),
            max_bytes=rng.choice([10, 40, 1000]),
            workers=rng.choice([1, 2, 4]),
        )
        policy = LearnedAdmission(limits)
        pool = Threads(loop, limits.workers, lambda: rng.choice([0.0, 0.001, 0.01, 0.1, 0.5]))
        self.scheduler: Scheduler[int, int] = Scheduler(
            Batcher(limits, policy),
            self.compute,
            pool,
            units=lambda _: rng.choice([1, 100, 1_000_000]),
            finish_cost=SizedCost(),
        )
        self.scheduler._engine.shutdown()
        engine: Any = Threads(loop, 1, lambda: rng.choice([0.01, 0.05, 0.05, 0.3]))
        self.scheduler._engine = engine
        callers = [asyncio.create_task(self.call(number)) for number in range(CALLERS)]
        for caller in rng.sample(callers, CALLERS // 3):
            loop.call_later(rng.uniform(0, 22), caller.cancel)
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        await self.scheduler.close()
        batcher = self.scheduler._batcher
        assert self.scheduler.load == batcher.held_bytes == batcher.waiting == 0
        assert not self.scheduler._items
        assert not self.scheduler._waiting
        assert len(batcher._start_by) == len(policy._commitments) == len(policy._pending) == 0
        assert engine.free == 1

    def compute(self, values: list[int]) -> list[int]:
        if POISON in values or self.rng.random() < 0.03:
            raise ArithmeticError("the engine fails")
        return [2 * value for value in values]

    async def call(self, number: int) -> None:
        rng = self.rng
        value = rng.choice([BROKEN, POISON, *[number] * 8])

        def prepare() -> int:
            if value == BROKEN:
                raise BadImage("image", "broken")
            return value

        await asyncio.sleep(rng.uniform(0, 20))
        try:
            answer, _ = await self.scheduler.submit(
                prepare,
                str,
                Admission(
                    rng.choice([1, 2, 8]),
                    deadline_in(rng.choice([None, 0.05, 0.2, 0.5, 1.0, 3.0, 10.0])),
                    rng.choice(list(Priority)),
                    rng.choice("abc"),
                    rng.choice([None, "x"]),
                ),
                admitted=rng.choice([None, asyncio.Event()]),
            )
        except (AssayError, ArithmeticError) as error:
            self.outcomes[type(error).__name__] += 1
        else:
            assert answer == str(2 * number)
            self.outcomes["answered"] += 1


@pytest.mark.parametrize("seed", range(25))
def test_nothing_hangs_or_is_left_behind(seed: int) -> None:
    loop, trial = JumpingLoop(), Trial(seed)
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    try:
        loop.run_until_complete(trial.run())
    finally:
        loop.close()
    assert not faults
    assert trial.outcomes["answered"]


@pytest.mark.slow
@pytest.mark.parametrize("waits", [True, False])
def test_a_large_item_gets_room_among_small_ones(waits: bool) -> None:
    """Others take each byte that is given back, whether they wait for it or come again."""
    loop, done = JumpingLoop(), asyncio.Event()
    computed: list[int] = []

    async def run() -> None:
        pool = Threads(loop, 2, lambda: 0.01)
        scheduler: Scheduler[int, int] = Scheduler(
            Batcher(Limits(max_items=99, max_bytes=100)),
            lambda values: computed.extend(values) or values,  # type: ignore[func-returns-value]
            pool,
            units=lambda _: 1,
            finish_cost=SizedCost(),
        )
        scheduler._engine.shutdown()
        engine: Any = Threads(loop, 1, lambda: 0.1)
        scheduler._engine = engine

        async def send(size: int, client: str, *, wait: bool) -> None:
            admitted = asyncio.Event() if wait else None
            await scheduler.submit(
                lambda: size, str, Admission(size, client=client), admitted=admitted
            )

        async def keep_sending(client: str) -> None:
            while not done.is_set() and len(computed) < 1000:
                try:
                    await send(5, client, wait=waits)
                except Overloaded:
                    await asyncio.sleep(0.01)

        small = [asyncio.create_task(keep_sending(client)) for client in "abc" for _ in range(20)]
        while len(computed) < 20:  # noqa: ASYNC110  # the queue is full of them by then
            await asyncio.sleep(0.1)
        await send(60, "large", wait=True)
        done.set()
        await asyncio.gather(*small)
        await scheduler.close()

    loop.run_until_complete(run())
    loop.close()
    assert computed.index(60) < 100
