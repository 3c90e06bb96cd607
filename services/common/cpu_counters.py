"""The kernel's counters of CPU time, for the machine's processors and for this process.

Counters only grow, so two readings give the time between them. They exist on Linux only. If they
cannot be read, other load is unknown.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_THROTTLING = (Path("/sys/fs/cgroup/cpu.stat"), Path("/sys/fs/cgroup/cpu/cpu.stat"))
# Of a line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. Guests' time is in
# user's.
_COUNTED = 8
_IDLE = (3, 4)
_STEAL = 7


@dataclass(frozen=True)
class CpuCounters:
    """Seconds since some beginning.

    `busy` is of all processors that this process may use, with what their host stole, and `stolen`
    that alone; both None where the kernel tells neither. `own` is of this process and of its
    children that have ended. `throttled` is how often its control group was held back.
    """

    wall: float
    own: float
    busy: float | None
    stolen: float | None
    throttled: int


@dataclass(frozen=True)
class Load:
    """What happened on the machine between two looks.

    `others` is the CPU time that others took, in cores, and `steal` the share of the processors'
    time that their host took; both None where that is not known. `own` is the CPU time of this
    process over what `threads` of it could have had.
    """

    others: float | None
    steal: float | None
    own: float
    throttled: bool


def read_counters() -> CpuCounters:
    """Look at the counters now."""
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
    """Return what happened between two looks. Raises ValueError unless time has passed."""
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
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def allowed_others(threads: int, cores: int) -> float:
    """Cores that others may use while `threads` of a benchmark still count as alone.

    With threads on more than half of the cores, a tenth of one: the kernel's own work. Else half of
    the cores that are left over.
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
