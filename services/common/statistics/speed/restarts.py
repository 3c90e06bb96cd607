"""What a benchmark records of each restart of its process, and whether the machine was its own.

A restart is the unit: the runs inside one share its memory layout, its threads' places and the
clock. Load of others only ever adds time, and a steady load makes all restarts alike, so how far
times spread says nothing of it. It shows in the kernel's counters of CPU time, and what does not
show there (a slow clock, a neighbour of the virtual machine) in a calibration kernel's time.
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
    """One restart of a benchmark's process.

    `started` is when, in seconds since 1970; `seconds` its median run and `least` its shortest.
    `others` is the CPU time that others took, in cores, of which `allowed` count as none; `kernel`
    the calibration kernel's time over its reference, None where that is not settled; `steal` the
    share of the machine's time that its host took; `throttled` whether the process was held back by
    its own limit; `own` its CPU time over threads times wall time, which is recorded and decides
    nothing: how many threads spin while they wait depends on the engine. What is None is not known,
    and no such restart is clean.
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
        """Whether the machine was this process's own; the times have no part in it."""
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
    """How much slower load can make a model, for what is seen of the load.

    `kernel`: the model's slowdown over the calibration kernel's. `others`: the share of its time
    that each core of others costs. The defaults are upper ends of what was seen on one machine.
    """

    kernel: float = 2.0
    others: float = 2.5

    def worse(self, measured: Slopes) -> Slopes:
        """The larger of these and of those measured on a machine, each."""
        return Slopes(max(self.kernel, measured.kernel), max(self.others, measured.others))

    def quiet(self, restart: Restart) -> float:
        """Return the least seconds that a clean restart may have taken without any load."""
        hidden = max(restart.kernel or 1.0, 1.0) - 1
        others = restart.others or 0.0
        return restart.seconds / ((1 + self.kernel * hidden) * (1 + self.others * others))


@dataclass(frozen=True)
class KernelReference:
    """The least time kept of the calibration kernel on a machine, with as many threads.

    It is settled when it rests on 20 timings on 2 days: a machine may be slow all of one day.
    """

    seconds: float
    timings: int
    days: int

    @property
    def settled(self) -> bool:
        """Whether a time may be judged by it."""
        return self.timings >= LEAST_TIMINGS and self.days >= LEAST_DAYS

    def ratio(self, before: Sequence[float], after: Sequence[float]) -> float | None:
        """Return the median time around a restart over this; None if it is not settled."""
        return statistics.median([*before, *after]) / self.seconds if self.settled else None


def two_speeds(medians: Sequence[float]) -> tuple[float, float] | None:
    """Return the ends of the gap between two speeds, in seconds, or None if there is only one.

    Of the gaps with two restarts or more on each side it is the widest, if that is over 10 %.
    """
    ordered = sorted(medians)
    gaps = [
        (ordered[place] / ordered[place - 1], ordered[place - 1], ordered[place])
        for place in range(2, len(ordered) - 1)
    ]
    if not gaps or (widest := max(gaps))[0] <= _APART:
        return None
    return widest[1], widest[2]
