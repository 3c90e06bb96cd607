"""What a benchmark records of each restart of its process, and whether it had the machine alone.

A restart is the unit: the runs in one restart share its memory layout, its threads' places and the
clock. Load from others only ever adds time, and a steady load slows all restarts alike, so the
spread of times does not reveal it. The kernel's counters of CPU time do; a calibration kernel's
time reveals the rest (a slow clock, a neighbour of the virtual machine).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MOST_OTHERS = 0.10  # cores
MOST_KERNEL = 1.10
MOST_STEAL = 0.01
LEAST_TIMINGS = 20
LEAST_DAYS = 2
_APART = 1.10


@dataclass(frozen=True)
class Restart:
    """One restart of a benchmark's process. None means unknown, and such a restart is not clean.

    `started` is the time of the start, in seconds since 1970; `seconds` the median run and `least`
    the shortest. `others` is the CPU time of other processes, in cores, of which `allowed` are
    tolerated. `kernel` is the calibration kernel's time over its reference, None if the reference
    is not settled. `steal` is the share of the machine's time that its host took. `throttled` says
    whether the process was held back by its own limit. `own` is its CPU time over threads times
    wall time; it is recorded but decides nothing: how many threads spin while they wait depends on
    the engine.
    """

    started: float
    seconds: float
    least: float
    others: float | None
    kernel: float | None
    steal: float | None = 0.0
    throttled: bool = False
    own: float | None = None
    allowed: float = MOST_OTHERS

    @property
    def clean(self) -> bool:
        """Whether the process had the machine alone; the measured times do not count."""
        return (
            self.others is not None
            and self.others <= self.allowed
            and self.kernel is not None
            and self.kernel <= MOST_KERNEL
            and self.steal is not None
            and self.steal <= MOST_STEAL
            and not self.throttled
        )


@dataclass(frozen=True)
class Slopes:
    """How much load can slow a model down, for each sign of load.

    `kernel`: the model's slowdown over the calibration kernel's. `others`: the share of its time
    that each core used by others costs. The defaults are upper ends seen on one machine.
    """

    kernel: float = 2.0
    others: float = 2.5

    def worse(self, measured: Slopes) -> Slopes:
        """Return the larger of each slope: these or those measured on a machine."""
        return Slopes(max(self.kernel, measured.kernel), max(self.others, measured.others))

    def quiet(self, restart: Restart) -> float:
        """Return the least seconds that a clean restart may have taken without any load."""
        hidden = max(restart.kernel or 1.0, 1.0) - 1
        others = restart.others or 0.0
        return restart.seconds / ((1 + self.kernel * hidden) * (1 + self.others * others))


@dataclass(frozen=True)
class KernelReference:
    """The least recorded time of the calibration kernel on a machine, for one number of threads.

    It is settled after 20 timings on 2 days: a machine may be slow for a whole day.
    """

    seconds: float
    timings: int
    days: int

    @property
    def settled(self) -> bool:
        """Whether times may be judged by this reference."""
        return self.timings >= LEAST_TIMINGS and self.days >= LEAST_DAYS

    def ratio(self, before: Sequence[float], after: Sequence[float]) -> float | None:
        """Return the median time around a restart over this reference; None if not settled."""
        return statistics.median([*before, *after]) / self.seconds if self.settled else None


def two_speeds(medians: Sequence[float]) -> tuple[float, float] | None:
    """Return the ends of the gap between two speeds, in seconds; None if there is one speed.

    The gap is the widest that has two restarts or more on each side, if it is over 10 %.
    """
    ordered = sorted(medians)
    gaps = [
        (ordered[place] / ordered[place - 1], ordered[place - 1], ordered[place])
        for place in range(2, len(ordered) - 1)
    ]
    if not gaps or (widest := max(gaps))[0] <= _APART:
        return None
    return widest[1], widest[2]
