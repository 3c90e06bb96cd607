"""Speed of one model relative to another, and of a model in batches relative to single items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.common.statistics.distributions import fair_tail
from services.common.statistics.interval import Interval, Kind, TooFewError
from services.common.statistics.medians import least_count, median_interval, rank_for
from services.common.statistics.speed.restarts import Slopes

RATIO_METHOD = "interleaved-restarts@1"
BEST_METHOD = "best-of-order-statistics@1"


@dataclass(frozen=True)
class PairedRestart:
    """One process that ran both models in turn, A B B A: their median runs, and the load.

    `others` and `kernel` are as in `restarts.Restart`.
    """

    first: float
    second: float
    others: float
    kernel: float | None


def ratio_interval(
    restarts: Sequence[PairedRestart], level: float, slopes: Slopes | None = None
) -> Interval:
    """Return the interval of the median over restarts of the first model's time over the second's.

    Load may slow the two unequally, so both ends are moved outward by the most that the load of any
    restart may have cost. Raises TooFewError if the least and the greatest do not reach `level` (8
    restarts for 0.99, 17 for the ranks' 0.99998), ValueError if the calibration kernel has no
    settled reference.
    """
    per_core = (slopes or Slopes()).others
    ratios = [one.first / one.second for one in restarts]
    found = median_interval(ratios, level)
    widening = 1.0
    for one in restarts:
        if one.kernel is None:
            raise ValueError("time the calibration kernel 20 times on 2 days before comparing")
        widening = max(widening, max(one.kernel, 1.0) * (1 + per_core * one.others))
    low, high = found.low or 0.0, found.high or 0.0
    return Interval(
        low / widening, high * widening, found.level, found.kind, RATIO_METHOD, len(ratios)
    )


def best_interval(speedups: Mapping[int, Sequence[float]], level: float) -> Interval:
    """Return the interval of the largest median speed-up over the batch sizes.

    `speedups` has for each batch size its rate over that of single items, for each restart. The
    intervals of all batch sizes hold at once, so choosing the best costs nothing. Raises
    TooFewError if a batch size has too few restarts for that (10 for 0.99 of three sizes),
    ValueError for none.
    """
    if not speedups:
        raise ValueError("no batch size was timed")
    each = 1 - (1 - level) / len(speedups)
    counts = [len(values) for values in speedups.values()]
    if min(counts) < (need := least_count(each)):
        raise TooFewError("restarts of each batch size", min(counts), need)
    intervals = [median_interval(values, each) for values in speedups.values()]
    missed = sum(2 * fair_tail(count, rank_for(count, each)) for count in counts)
    return Interval(
        max(one.low or 0.0 for one in intervals),
        max(one.high or 0.0 for one in intervals),
        1 - missed,
        Kind.CONFIDENCE,
        BEST_METHOD,
        min(counts),
    )
