"""The kernel's counters of CPU time, for the machine's processors and for this process.

Counters only grow, so two readings give the time between them. They exist only on Linux. If they
cannot be read, the load of other processes is unknown.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_THROTTLING = (Path("/sys/fs/cgroup/cpu.stat"), Path("/sys/fs/cgroup/cpu/cpu.stat"))
# Fields of a line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. The user
# field includes guests' time.
_COUNTED = 8
_IDLE = (3, 4)
_STEAL = 7


@dataclass(frozen=True)
class CpuCounters:
    """Readings of the counters; times are seconds since a fixed start.

    `busy` is the time of all processors that this process may use, including `stolen`, the time
    that their host took; both are None if the kernel reports neither. `own` is the time of this
    process and its ended children. `throttled` is how often its control group was held back.
    """

    wall: float
    own: float
    busy: float | None
    stolen: float | None
    throttled: int


@dataclass(frozen=True)
class Load:
    """The machine's load between two readings.

    `others` is the CPU time of other processes, in cores. `steal` is the share of the processors'
    time that their host took. Both are None if unknown. `own` is this process's CPU time divided by
    the most that `threads` of its threads could have had.
    """

    others: float | None
    steal: float | None
    own: float
    throttled: bool


def read_counters() -> CpuCounters:
    """Read the counters."""
    children = os.times()
    lines = _processor_lines()
    tick = 1 / os.sysconf("SC_CLK_TCK")
    return CpuCounters(
        wall=time.perf_counter(),
        own=time.process_time() + children.children_user + children.children_system,
        busy=tick * sum(map(_busy, lines)) if lines else None,
        stolen=tick * sum(line[_STEAL] for line in lines) if lines else None,
        throttled=_times_throttled(),
    )


def load_between(before: CpuCounters, after: CpuCounters, *, threads: int) -> Load:
    """Return the load between two readings. Raises ValueError unless time has passed."""
    wall = after.wall - before.wall
    if wall <= 0:
        raise ValueError("two looks at the counters need time in between")
    own = after.own - before.own
    others = steal = None
    if before.busy is not None and after.busy is not None:
        others = max(0.0, after.busy - before.busy - own) / wall
    if before.stolen is not None and after.stolen is not None:
        steal = (after.stolen - before.stolen) / (wall * processors())
    return Load(others, steal, own / (threads * wall), after.throttled > before.throttled)


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def allowed_others(threads: int, cores: int) -> float:
    """Return how many cores others may use while a benchmark of `threads` threads counts as alone.

    If the threads use more than half of the cores: a tenth of a core, for the kernel's own work.
    Otherwise: half of the remaining cores.
    """
    return max(0.10, (cores - threads) / 2) if 2 * threads <= cores else 0.10


def _processor_lines() -> list[list[int]]:
    """Return the counted ticks of each processor that this process may use; empty if unknown."""
    names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    try:
        rows = [line.split() for line in _STAT.read_text("ascii").splitlines()]
        found = [[int(one) for one in row[1 : 1 + _COUNTED]] for row in rows if row[0] in names]
    except (OSError, ValueError, IndexError):
        return []
    whole = len(found) == len(names) and all(len(line) == _COUNTED for line in found)
    return found if whole else []


def _busy(ticks: list[int]) -> int:
    return sum(ticks) - sum(ticks[place] for place in _IDLE)


def _times_throttled() -> int:
    """Return how often the control group was held back; 0 if it has no limit."""
    for file in _THROTTLING:
        try:
            counts = dict(line.split() for line in file.read_text("ascii").splitlines())
            return int(counts.get("nr_throttled", 0))
        except (OSError, ValueError):
            continue
    return 0
