"""When a benchmark has enough: answers count, refusals don't."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.common.kernel_times import KernelTimes
from services.errors import InvalidArgument
from services.segment.batching.ticket import Limits
from services.segment.benchmarking import runs
from services.segment.benchmarking.runs import ProcessRuns, measure
from services.segment.benchmarking.worker import Measurement
from services.segment.engines.engine import GpuOptions

MEASUREMENT = Measurement(
    directory="",
    digest="",
    engine="onnxruntime-cpu",
    precision="fp32",
    gpu=GpuOptions(),
    threads=1,
    kind="server",
    batch_sizes=(1,),
    runs=9,
    limits=Limits(max_batch_size=8),
    workers=1,
    rate=50.0,
)
# Over before it begins: what is needed at least is taken, and no more.
NO_TIME = 1e-9


def answer_with(monkeypatch: pytest.MonkeyPatch, seconds: list[float | None]) -> None:
    """Have every process give these answers, a second apart."""

    async def worker(name: str, plan: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        assert (name, plan["rate"]) == (runs.WORKER, 50.0)
        for at, each in enumerate(seconds):
            yield {"seconds": each, "at": float(at)}

    monkeypatch.setattr(runs, "run_worker", worker)


@pytest.fixture
def kernel(tmp_path: Path) -> KernelTimes:
    """No timing of the calibration kernel yet."""
    return KernelTimes(tmp_path, "machine", 1)


async def test_refusals_are_not_among_the_runs_that_are_needed(
    monkeypatch: pytest.MonkeyPatch, kernel: KernelTimes
) -> None:
    answer_with(monkeypatch, [None, None, None, 0.1, None, 0.2, 0.3, 0.4, None])
    processes: list[ProcessRuns] = []
    measuring = measure(MEASUREMENT, restarts=1, budget=NO_TIME, processes=processes, kernel=kernel)
    assert [done async for done in measuring] == [1, 2, 3, 4, 5, 6, 7]
    (runs,) = processes
    assert (runs.seconds, runs.refused, runs.elapsed) == ({1: [0.1, 0.2, 0.3]}, 4, 6.0)


async def test_a_load_of_which_nothing_is_answered_is_the_callers_to_lower(
    monkeypatch: pytest.MonkeyPatch, kernel: KernelTimes
) -> None:
    answer_with(monkeypatch, [None] * 4)
    with pytest.raises(InvalidArgument, match=r"target_rate: none of 8 requests .* 50 a second"):
        async for _ in measure(
            MEASUREMENT, restarts=2, budget=NO_TIME, processes=[], kernel=kernel
        ):
            pass


def test_the_engine_is_opened_for_the_batches_that_it_will_get() -> None:
    assert MEASUREMENT.max_batch_size == 8
    assert replace(MEASUREMENT, kind="batches", batch_sizes=(2, 4)).max_batch_size == 4


BATCHES = replace(MEASUREMENT, kind="batches", rate=0.0)


def restart_with(monkeypatch: pytest.MonkeyPatch, others: Iterator[float]) -> None:
    """Have each process take a second a run, beside a load of so many cores."""

    async def worker(name: str, plan: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        assert name == runs.WORKER
        for _ in range(plan["runs"]):
            yield {"batch_size": 1, "seconds": 1.0}
        yield {
            "load": {
                "started": 3 * 86400.0,
                "kernel": [0.005, 0.005],
                "allowed": 0.1,
                "others": next(others),
                "steal": 0.0,
                "own": 1.0,
                "throttled": False,
            }
        }

    monkeypatch.setattr(runs, "run_worker", worker)


async def processes_of(restarts: int, kernel: KernelTimes) -> list[ProcessRuns]:
    processes: list[ProcessRuns] = []
    async for _ in measure(
        BATCHES, restarts=restarts, budget=1e9, processes=processes, kernel=kernel
    ):
        pass
    return processes


def settle(kernel: KernelTimes) -> None:
    """Time the kernel often enough, on two days."""
    kernel.add([0.005] * 20, "1970-01-01")
    assert kernel.add([0.005], "1970-01-02").settled


async def test_processes_are_started_until_enough_had_the_machine_for_themselves(
    monkeypatch: pytest.MonkeyPatch, kernel: KernelTimes
) -> None:
    settle(kernel)
    restart_with(monkeypatch, itertools.cycle([0.0, 0.5]))
    processes = await processes_of(8, kernel)
    seen = [one.restart(1) for one in processes]
    assert len(seen) == 15
    assert [one.clean for one in seen] == [True, False] * 7 + [True]
    assert {one.seconds for one in seen} == {1.0}


async def test_a_steady_load_ends_it_after_24(
    monkeypatch: pytest.MonkeyPatch, kernel: KernelTimes
) -> None:
    settle(kernel)
    restart_with(monkeypatch, itertools.repeat(0.5))
    assert len(await processes_of(8, kernel)) == 24


async def test_what_cannot_be_judged_yet_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, kernel: KernelTimes
) -> None:
    restart_with(monkeypatch, itertools.repeat(0.0))
    processes = await processes_of(8, kernel)
    assert len(processes) == 8
    assert all(one.restart(1).kernel is None for one in processes)
    # They are what later ones are judged by.
    assert (kernel.reference().timings, kernel.reference().days) == (16, 1)


async def test_the_budget_ends_it_too(monkeypatch: pytest.MonkeyPatch, kernel: KernelTimes) -> None:
    settle(kernel)
    restart_with(monkeypatch, itertools.repeat(0.5))
    processes: list[ProcessRuns] = []
    async for _ in measure(BATCHES, restarts=8, budget=NO_TIME, processes=processes, kernel=kernel):
        pass
    assert len(processes) == 1
