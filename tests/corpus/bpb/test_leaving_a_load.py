"""A caller that leaves while a model is loaded waits for nothing, and nor does the next one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial

import pytest

from services.common import left_behind
from services.corpus.bpb import one_at_a_time
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.jobs import Final, Model, ScoringJobs, Task
from services.corpus.bpb.models.choice import Loaded
from services.corpus.bpb.models.compute import FASTEST, Compute
from services.corpus.bpb.one_at_a_time import Caller, CancelledError, OneAtATime
from services.errors import Overloaded
from tests.corpus.bpb.fakes import UniformModel, document
from tests.corpus.bpb.test_jobs import FakeRegistry

WANTED = Model("byte-reference")
TASK = Task(lambda: iter([document("x" * 40, name="1")]), Definition(16))
SECONDS = 5.0


class SlowRegistry(FakeRegistry):
    """Its first load takes until it is let go."""

    def __init__(self) -> None:
        super().__init__(UniformModel())
        self.loads, self.go = threading.Event(), threading.Event()

    def start(self, name: str, compute: Compute = FASTEST) -> Loaded:
        if not self.loads.is_set():
            self.loads.set()
            assert self.go.wait(60)
        return super().start(name, compute)


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SlowRegistry]:
    monkeypatch.setattr(one_at_a_time, "UPDATE_SECONDS", 0.01)
    registry = SlowRegistry()
    yield registry
    registry.go.set()
    async with asyncio.timeout(SECONDS):
        while left_behind.any_runs():  # noqa: ASYNC110  its thread tells nobody
            await asyncio.sleep(0.01)


async def _leave_while_it_loads(jobs: ScoringJobs, registry: SlowRegistry) -> None:
    async with aclosing(jobs.score(TASK, WANTED)) as updates:
        async for _ in updates:
            if registry.loads.is_set():
                break


async def test_the_next_scoring_is_taken_at_once(slow: SlowRegistry) -> None:
    jobs = ScoringJobs(slow)
    await _leave_while_it_loads(jobs, slow)
    assert left_behind.any_runs()
    async with asyncio.timeout(SECONDS):
        *_, last = [update async for update in jobs.score(TASK, WANTED)]
    assert isinstance(last, Final)
    await jobs.close()


async def test_a_service_ends_without_waiting_for_the_load(slow: SlowRegistry) -> None:
    jobs = ScoringJobs(slow)
    await _leave_while_it_loads(jobs, slow)
    async with asyncio.timeout(SECONDS):
        await jobs.close()


async def test_a_service_that_closes_leaves_a_load_that_still_has_a_caller(
    slow: SlowRegistry,
) -> None:
    jobs = ScoringJobs(slow)
    async with aclosing(jobs.score(TASK, WANTED)) as updates:
        async for _ in updates:
            if slow.loads.is_set():
                break
        async with asyncio.timeout(SECONDS):
            await jobs.close()


async def test_one_load_is_left_behind_at_most() -> None:
    runner = OneAtATime("work")
    go = threading.Event()

    def wait(caller: Caller) -> None:
        with caller.waiting():
            go.wait(60)

    for _ in range(2):
        caller = Caller()
        async with aclosing(runner.follow(partial(wait, caller), caller)) as steps:
            waiting = asyncio.ensure_future(anext(steps))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
    with pytest.raises(Overloaded):
        await anext(runner.follow(lambda: 1, Caller()))
    go.set()
    async with asyncio.timeout(SECONDS):
        while left_behind.any_runs():  # noqa: ASYNC110  its thread tells nobody
            await asyncio.sleep(0.01)
        await runner.close()


async def test_work_that_ended_does_not_end_the_one_after_it() -> None:
    runner = OneAtATime("work")
    first, second = Caller(), Caller()
    ended = threading.Event()
    async with aclosing(runner.follow(lambda: 1, first)) as one:
        assert [result async for result in one if result] == [1]
        async with aclosing(runner.follow(lambda: ended.wait(60), second)) as other:
            waiting = asyncio.ensure_future(anext(other))
            await asyncio.sleep(0)
            await one.aclose()
            second.check()
            ended.set()
            await waiting
    await runner.close()


def test_what_cannot_be_stopped_does_not_begin_without_its_caller() -> None:
    caller = Caller()
    assert not caller.leave()
    with pytest.raises(CancelledError), caller.waiting():
        pytest.fail("it began")


def test_what_was_left_behind_ends_the_work_after_it() -> None:
    caller = Caller()
    with pytest.raises(CancelledError), caller.waiting():
        assert caller.leave()
