"""Figures of a benchmark from its timed runs. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.common.statistics.interval import Interval
from services.common.statistics.medians import widest_median_interval
from services.common.statistics.speed.restarts import Restart
from services.common.statistics.speed.timing import WANTED, rate, timing

_LEVEL = 0.99


@dataclass(frozen=True)
class Figures:
    """Seconds of a batch (50th, 90th, 99th percentile), images a second, and their spread.

    `p50` is the median over the processes of their median run. `least` is the shortest run,
    `speeds` the ends of the gap if processes run at two speeds. `noise` is the median absolute
    deviation over the median, of all runs.
    """

    p50: float
    p90: float
    p99: float
    p50_interval: Interval
    rate: float
    rate_interval: Interval
    least: float
    speeds: tuple[float, float] | None
    noise: float

    @property
    def noisy(self) -> bool:
        """Whether other load disturbed the benchmark: then there is only an upper bound."""
        return self.p50_interval.low is None


def batch_figures(
    samples: Sequence[Sequence[float]],
    restarts: Sequence[Restart],
    batch_size: int,
    wanted: int = WANTED,
) -> Figures:
    """Summarise the seconds of each timed run, by process, and the load that each process saw.

    With fewer than 8 `wanted` clean processes, intervals have the level of that number. Raises
    ValueError if there is no run, or a run that took no time.
    """
    runs = _sorted(samples)
    found = timing(restarts, min(wanted, WANTED))
    return Figures(
        p50=found.seconds,
        # At least the median, which counts processes rather than runs.
        p90=max(found.seconds, _percentile(runs, 0.90)),
        p99=max(found.seconds, _percentile(runs, 0.99)),
        p50_interval=found.interval,
        rate=batch_size / found.seconds,
        rate_interval=rate(batch_size, found.interval),
        least=runs[0],
        speeds=found.speeds,
        noise=_noise(runs),
    )


def load_figures(samples: Sequence[Sequence[float]], elapsed: Sequence[float]) -> Figures:
    """Summarise the seconds of each answer to requests that arrived at random, by process.

    `elapsed` is each process's time for all of them. Raises ValueError as `batch_figures` does.
    """
    runs = _sorted(samples)
    answered = [(each, took) for each, took in zip(samples, elapsed, strict=True) if each]
    medians = [statistics.median(each) for each, _ in answered]
    rates = [len(each) / took for each, took in answered]
    median = statistics.median(runs)
    images = len(runs) / math.fsum(took for _, took in answered)
    return Figures(
        p50=median,
        p90=_percentile(runs, 0.90),
        p99=_percentile(runs, 0.99),
        p50_interval=_holding(median, widest_median_interval(medians, _LEVEL)),
        rate=images,
        rate_interval=_holding(images, widest_median_interval(rates, _LEVEL)),
        least=runs[0],
        speeds=None,
        noise=_noise(runs),
    )


def _sorted(samples: Sequence[Sequence[float]]) -> list[float]:
    """Return all runs, the shortest first."""
    runs = sorted(seconds for process in samples for seconds in process)
    if not runs or runs[0] <= 0:
        raise ValueError("runs of positive seconds are needed")
    return runs


def _noise(runs: list[float]) -> float:
    median = statistics.median(runs)
    return statistics.median(abs(run - median) for run in runs) / median


def _holding(value: float, interval: Interval) -> Interval:
    """Return the interval, widened if necessary to contain a figure over all processes."""
    low, high = interval.low or value, interval.high or value
    return replace(interval, low=min(low, value), high=max(high, value))


@dataclass(frozen=True)
class ServerFigures:
    """Requests answered a second, and the share of all requests answered within the bound.

    `met` says whether the 99th percentile, counting refused requests, is within the bound.
    """

    achieved_rate: float
    within_bound: float
    met: bool


def server_figures(
    latencies: Sequence[float], refused: int, elapsed: float, bound: float | None
) -> ServerFigures:
    """Summarise requests that were offered, of which `refused` got no answer.

    Raises ValueError if none was answered.
    """
    if not latencies:
        raise ValueError("no request was answered")
    achieved = len(latencies) / elapsed
    if bound is None:
        return ServerFigures(achieved, 1.0, True)
    every = sorted([*latencies, *[math.inf] * refused])
    within = sum(seconds <= bound for seconds in every) / len(every)
    return ServerFigures(achieved, within, _percentile(every, 0.99) <= bound)


def _percentile(ordered: list[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1]
