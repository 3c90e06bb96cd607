"""How long a run takes: the median over restarts of their median run, on a machine without load.

Restarts are started until eight are clean, and pooled with those of the same environment from other
days. They are evaluated only at 8, 16, 32 or 64 clean restarts, since repeating a measurement until
it suits would invalidate it. Without eight clean restarts, the longest is an upper bound.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from services.common.statistics.interval import Interval, Kind
from services.common.statistics.medians import reached
from services.common.statistics.speed.restarts import Restart, Slopes, two_speeds

WANTED = 8
MOST = 24
"""Most restarts to start while fewer than `WANTED` are clean."""

LOOKS = {8: 1, 16: 2, 32: 7, 64: 19}
"""At which numbers of clean restarts to evaluate, and the rank of the interval's ends."""

METHOD = "clean-restarts@1"
AT_MOST = "longest-restart@1"


@dataclass(frozen=True)
class Timing:
    """Seconds of a run with their interval, whose low end is None if load cannot be excluded.

    `least` is the shortest run of any restart. Of `restarts`, `clean` were clean and `used` are in
    the interval. `speeds` are the ends of the gap between two speeds, None if there is one speed.
    """

    seconds: float
    interval: Interval
    least: float
    restarts: int
    clean: int
    used: int
    speeds: tuple[float, float] | None


def timing(
    restarts: Sequence[Restart], wanted: int = WANTED, slopes: Slopes | None = None
) -> Timing:
    """Return the timing from restarts of one environment, in any order.

    With fewer than 8 `wanted` clean restarts, the interval has their level: 96.9 % with 6, 75 %
    with 3; a single restart bounds only itself. The low end allows for the load that a clean
    restart may have had. Raises ValueError for no restarts.
    """
    if not restarts:
        raise ValueError("no restart was timed")
    ordered = sorted(restarts, key=lambda one: (one.started, one.seconds, one.others or 0.0))
    clean = [one for one in ordered if one.clean]
    used = clean[: _looked_at(len(clean), wanted)]
    if used:
        interval = _two_sided(used, slopes or Slopes())
    else:
        used = ordered
        level = 1 - 0.5 ** len(used)
        highest = max(one.seconds for one in used)
        interval = Interval(None, highest, level, Kind.CONFIDENCE, AT_MOST, len(used))
    medians = [one.seconds for one in used]
    return Timing(
        statistics.median(medians),
        interval,
        min(one.least for one in ordered),
        len(ordered),
        len(clean),
        len(used),
        two_speeds(medians),
    )


def rate(items: float, seconds: Interval) -> Interval:
    """Return the interval of items a second, from that of the seconds that `items` take."""
    if seconds.high is None or seconds.high <= 0:
        raise ValueError("a rate needs an upper end of the time, above 0")
    high = items / seconds.low if seconds.low else None
    return Interval(
        items / seconds.high, high, seconds.level, seconds.kind, seconds.method, seconds.effective_n
    )


@lru_cache(maxsize=8)
def looks_level(restarts: int) -> float:
    """Return the probability that this evaluation's interval and all earlier ones cover the median.

    Exact, by following how many values are below the median: 1 - 2 / 2^8 at 8, and 0.991 at 64,
    however often the measurement was repeated in between.
    """
    chances = {0: Fraction(1)}
    for count in range(1, restarts + 1):
        after: dict[int, Fraction] = {}
        for below, chance in chances.items():
            for more in (below, below + 1):
                after[more] = after.get(more, Fraction(0)) + chance / 2
        rank = LOOKS.get(count, 0)
        chances = {
            below: chance for below, chance in after.items() if rank <= below <= count - rank
        }
    return float(sum(chances.values()))


def _looked_at(clean: int, wanted: int) -> int:
    """Return how many of the clean restarts are evaluated; 0 if there are too few."""
    if clean < wanted:
        return 0
    return max((look for look in LOOKS if look <= clean), default=wanted)


def _two_sided(used: Sequence[Restart], slopes: Slopes) -> Interval:
    count = len(used)
    rank = LOOKS.get(count, 1)
    low = sorted(slopes.quiet(one) for one in used)[rank - 1]
    high = sorted(one.seconds for one in used)[-rank]
    level = looks_level(count) if count in LOOKS else reached(count, 1)
    kind = Kind.CONFIDENCE if level else Kind.BOUNDS
    return Interval(low, high, level, kind, METHOD, count)
