"""A benchmark's processes: started one after the other, each with its share of the budget."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from services.errors import InvalidArgument, SourceChanged
from services.rpc.worker import run_worker
from services.segment.benchmarking.parts import PartTime
from services.segment.benchmarking.worker import Measurement

WORKER = "services.segment.benchmarking.worker"
MIN_RUNS = 3
# What a default rate and the parts of a model are judged by.
_MAX_QUICK_RUNS = 5
_DEFAULT_LOAD = 0.5


@dataclass
class ProcessRuns:
    """Seconds of one process's runs by batch size, or of its answers under size 1.

    `refused` requests had no answer; the last one was settled at `elapsed` seconds.
    """

    seconds: dict[int, list[float]] = field(default_factory=dict)
    refused: int = 0
    elapsed: float = 0.0

    @property
    def answered(self) -> int:
        """Runs that have seconds, of all sizes."""
        return sum(map(len, self.seconds.values()))


async def measure(
    measurement: Measurement, *, restarts: int, budget: float, processes: list[ProcessRuns]
) -> AsyncGenerator[int]:
    """Fill `processes` and yield the number of runs so far, refused ones included.

    Each process may use its share of the `budget` of seconds, and takes the runs of each size that
    are needed for three in all even when that is more. A request that was refused is none of them.
    Raises InvalidArgument if no request was answered.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    sizes = len(measurement.batch_sizes)
    needed = math.ceil(MIN_RUNS / restarts)
    done = answered = 0
    for restart in range(restarts):
        if answered >= MIN_RUNS * sizes and loop.time() - start >= budget:
            return
        share = budget * (restart + 1) / restarts
        runs = ProcessRuns()
        processes.append(runs)
        async with aclosing(_lines(replace(measurement, seed=restart))) as lines:
            async for line in lines:
                _add(runs, line)
                done += 1
                yield done
                count = runs.answered
                whole = count % sizes == 0 and count >= needed * sizes
                if whole and loop.time() - start >= share:
                    break
        answered += runs.answered
    if not answered:
        raise InvalidArgument(
            "target_rate",
            f"none of {done} requests was answered at {measurement.rate:g} a second: ask for fewer",
        )


async def default_rate(measurement: Measurement) -> float:
    """Return half of the requests a second that one process answers one after the other."""
    single = replace(measurement, kind="batches", batch_sizes=(1,), runs=_MAX_QUICK_RUNS)
    async with aclosing(_lines(single)) as lines:
        seconds = [float(line["seconds"]) async for line in lines]
    return _DEFAULT_LOAD / statistics.median(seconds)


async def module_times(measurement: Measurement) -> list[PartTime]:
    """Return where the time of a batch of the first size goes."""
    profiled = replace(measurement, kind="modules", runs=min(measurement.runs, _MAX_QUICK_RUNS))
    async with aclosing(_lines(profiled)) as lines:
        return [PartTime(*part) async for line in lines for part in line["modules"]]


async def _lines(measurement: Measurement) -> AsyncGenerator[dict[str, Any]]:
    async with aclosing(run_worker(WORKER, asdict(measurement))) as lines:
        async for line in lines:
            if "changed" in line:
                raise SourceChanged(
                    "the model's files are not those that the server loaded: restart it"
                )
            yield line


def _add(runs: ProcessRuns, line: dict[str, Any]) -> None:
    runs.elapsed = float(line.get("at", 0.0))
    if line["seconds"] is None:
        runs.refused += 1
    else:
        runs.seconds.setdefault(line.get("batch_size", 1), []).append(float(line["seconds"]))
