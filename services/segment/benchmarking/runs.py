"""A benchmark's processes, started one after the other, each with its share of the budget."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from services.common.kernel_times import KernelTimes
from services.common.statistics.speed.restarts import Restart
from services.common.statistics.speed.timing import MOST
from services.errors import EngineUnavailable, InvalidArgument, SourceChanged
from services.rpc.worker import run_worker
from services.segment.benchmarking.parts import PartTime
from services.segment.benchmarking.worker import Measurement

WORKER = "services.segment.benchmarking.worker"
MIN_RUNS = 3
# Runs that determine the default rate, and the parts of a model.
_MAX_QUICK_RUNS = 5
_DEFAULT_LOAD = 0.5


@dataclass
class ProcessRuns:
    """Seconds of one process's runs by batch size, or of its answers under size 1.

    `against` are those of a second model. `load` is the machine's load as the process saw it, None
    if requests arrived at random. `refused` counts requests without an answer; the last request was
    settled after `elapsed` seconds.
    """

    seconds: dict[int, list[float]] = field(default_factory=dict)
    against: list[float] = field(default_factory=list)
    load: ProcessLoad | None = None
    refused: int = 0
    elapsed: float = 0.0

    @property
    def answered(self) -> int:
        """Number of timed runs, of all sizes."""
        return sum(map(len, self.seconds.values()))

    def restart(self, batch_size: int) -> Restart:
        """Return the process as an observation of how long a batch of that size takes.

        Raises ValueError if the process did not observe the machine.
        """
        if self.load is None:
            raise ValueError("the process did not look at the machine")
        runs = self.seconds[batch_size]
        return replace(self.load.seen, seconds=statistics.median(runs), least=min(runs))


@dataclass(frozen=True)
class ProcessLoad:
    """The machine's load as a process saw it, and the seconds of its calibration kernel's parts.

    `seen` contains no times of the model.
    """

    seen: Restart
    kernel_seconds: float


async def measure(
    measurement: Measurement,
    *,
    restarts: int,
    budget: float,
    processes: list[ProcessRuns],
    kernel: KernelTimes,
) -> AsyncGenerator[int]:
    """Fill `processes` and yield the number of runs so far, including refused ones.

    For batches, processes are started until `restarts` of them had the machine alone, at most 24;
    only `restarts` if that cannot be judged, because the calibration `kernel` has no settled
    reference. Each may use its share of the `budget` of seconds, and makes as many runs of each
    size as three in all require, even if that takes longer. Refused requests do not count. Raises
    InvalidArgument if no request was answered.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    sizes = len(measurement.batch_sizes)
    needed = math.ceil(MIN_RUNS / restarts)
    batches = measurement.kind == "batches"
    done = answered = 0
    while len(processes) < restarts or (batches and _more(processes, restarts)):
        passed = loop.time() - start
        if answered >= MIN_RUNS * sizes and passed >= budget:
            return
        share = budget * (len(processes) + 1) / restarts
        runs = ProcessRuns()
        one = replace(
            measurement,
            seed=len(processes),
            needed=needed,
            seconds=max(0.0, min(share, budget) - passed),
        )
        processes.append(runs)
        async with aclosing(_lines(one)) as lines:
            async for line in lines:
                if "load" in line:
                    runs.load = _load(line["load"], kernel)
                    continue
                _add(runs, line)
                done += 1
                yield done
                enough = runs.answered >= needed * sizes
                if not batches and enough and loop.time() - start >= share:
                    break
        answered += runs.answered
    if not answered:
        raise InvalidArgument(
            "target_rate",
            f"none of {done} requests was answered at {measurement.rate:g} a second: request fewer",
        )


def _more(processes: list[ProcessRuns], wanted: int) -> bool:
    """Whether another process could make enough of them clean."""
    loads = [one.load.seen for one in processes if one.load is not None]
    clean = sum(one.clean for one in loads)
    judged = any(one.kernel is not None for one in loads)
    return judged and clean < wanted and len(processes) < max(MOST, wanted)


def _load(line: dict[str, Any], kernel: KernelTimes) -> ProcessLoad:
    """Return a process's load; keep its kernel timings, and judge them by those kept."""
    seconds = [float(one) for one in line["kernel"]]
    started = float(line["started"])
    day = datetime.fromtimestamp(started, UTC).date().isoformat()
    reference = kernel.add(seconds, day)
    middle = statistics.median(seconds)
    seen = Restart(
        started=started,
        seconds=0.0,
        least=0.0,
        others=line["others"],
        kernel=reference.ratio(seconds, ()),
        steal=line["steal"],
        throttled=line["throttled"],
        own=line["own"],
        allowed=line["allowed"],
    )
    return ProcessLoad(seen, middle)


async def default_rate(measurement: Measurement) -> float:
    """Return half of the requests a second that one process answers one after the other."""
    single = replace(measurement, kind="batches", batch_sizes=(1,), runs=_MAX_QUICK_RUNS)
    async with aclosing(_lines(single)) as lines:
        seconds = [float(line["seconds"]) async for line in lines if "seconds" in line]
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
            if "unavailable" in line:
                raise EngineUnavailable(line["unavailable"])
            yield line


def _add(runs: ProcessRuns, line: dict[str, Any]) -> None:
    runs.elapsed = float(line.get("at", 0.0))
    if line["seconds"] is None:
        runs.refused += 1
    elif line.get("against"):
        runs.against.append(float(line["seconds"]))
    else:
        runs.seconds.setdefault(line.get("batch_size", 1), []).append(float(line["seconds"]))
