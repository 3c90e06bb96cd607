"""When a benchmark has enough: answers count, refusals don't."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from services.errors import InvalidArgument
from services.segment.batching.ticket import Limits
from services.segment.benchmarking import runs
from services.segment.benchmarking.runs import ProcessRuns, measure
from services.segment.benchmarking.worker import Measurement

MEASUREMENT = Measurement(
    directory="",
    digest="",
    engine="onnxruntime-cpu",
    precision="fp32",
    gpu=0,
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


async def test_refusals_are_not_among_the_runs_that_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_with(monkeypatch, [None, None, None, 0.1, None, 0.2, 0.3, 0.4, None])
    processes: list[ProcessRuns] = []
    measuring = measure(MEASUREMENT, restarts=1, budget=NO_TIME, processes=processes)
    assert [done async for done in measuring] == [1, 2, 3, 4, 5, 6, 7]
    (runs,) = processes
    assert (runs.seconds, runs.refused, runs.elapsed) == ({1: [0.1, 0.2, 0.3]}, 4, 6.0)


async def test_a_load_of_which_nothing_is_answered_is_the_callers_to_lower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer_with(monkeypatch, [None] * 4)
    with pytest.raises(InvalidArgument, match=r"target_rate: none of 8 requests .* 50 a second"):
        async for _ in measure(MEASUREMENT, restarts=2, budget=NO_TIME, processes=[]):
            pass


def test_the_engine_is_opened_for_the_batches_that_it_will_get() -> None:
    assert MEASUREMENT.max_batch_size == 8
    assert replace(MEASUREMENT, kind="batches", batch_sizes=(2, 4)).max_batch_size == 4
