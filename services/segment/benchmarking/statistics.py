"""Figures of a benchmark from its timed runs. Pure.

Runs of one process share its memory layout, its threads' placement and the machine's mood: they
are not independent, processes are. Intervals are therefore Student's t over one figure a process,
on the logarithm (times are positive, and their errors are ratios). With one process there is
nothing to estimate from: the ends are then the extremes of its runs, with level 0 (bounds).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.95
# Two-sided 95 % quantiles of Student's t for 1..19 degrees of freedom.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
)  # fmt: skip
MAX_RESTARTS = len(_T95) + 1
# Above this share of the median, a run tells little about the next one.
_MAX_NOISE = 0.1


@dataclass(frozen=True)
class Span:
    """An interval with its confidence level; level 0: the ends are bounds."""

    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Figures:
    """Seconds of a batch (50th, 90th, 99th percentile), images a second, and their spread.

    `noise` is the median absolute deviation over the median, of all runs.
    """

    p50: float
    p90: float
    p99: float
    p50_span: Span
    rate: float
    rate_span: Span
    noise: float

    @property
    def noisy(self) -> bool:
        """Whether the runs spread so far that the figures say little."""
        return self.noise > _MAX_NOISE


@dataclass(frozen=True)
class ServerFigures:
    """Requests a second that were answered, and the share of all that were within the bound.

    `met` says whether the 99th percentile, of refused requests too, is within it.
    """

    achieved_rate: float
    within_bound: float
    met: bool


def summarise(
    samples: Sequence[Sequence[float]], batch_size: int, elapsed: Sequence[float] | None = None
) -> Figures:
    """Summarise the seconds of each timed run, by process; processes without runs don't count.

    `elapsed` is what each process took for all its runs, where these were not one after the other.
    Raises ValueError if there is no run, or one that took no time.
    """
    took = [sum(runs) for runs in samples] if elapsed is None else elapsed
    spans = [seconds for runs, seconds in zip(samples, took, strict=True) if runs]
    processes = [list(runs) for runs in samples if runs]
    runs = sorted(seconds for process in processes for seconds in process)
    if not runs or runs[0] <= 0 or len(processes) > MAX_RESTARTS:
        raise ValueError("runs of positive seconds are needed, from at most 20 processes")
    median = statistics.median(runs)
    rate = batch_size * len(runs) / sum(spans)
    rates = [
        batch_size * len(process) / seconds
        for process, seconds in zip(processes, spans, strict=True)
    ]
    alone = len(processes) == 1
    if alone and elapsed is None:
        rates = [batch_size / run for run in runs]
    return Figures(
        p50=median,
        p90=_percentile(runs, 0.90),
        p99=_percentile(runs, 0.99),
        p50_span=_span(runs if alone else [*map(statistics.median, processes)], median, alone),
        rate=rate,
        rate_span=_span(rates, rate, alone),
        noise=statistics.median(abs(run - median) for run in runs) / median,
    )


def server_figures(
    latencies: Sequence[float], refused: int, elapsed: float, bound: float | None
) -> ServerFigures:
    """Say what came of requests that were offered, `refused` of which got no answer.

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
    """Return the smallest value that at least `share` of the values don't exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1]


def _span(values: list[float], point: float, bounds: bool) -> Span:
    """Return the interval of a figure from one value a process; it always holds `point`."""
    if bounds:
        return Span(min(values), max(values), 0.0)
    logs = [math.log(value) for value in values]
    half = _T95[len(logs) - 2] * statistics.stdev(logs) / math.sqrt(len(logs))
    middle = statistics.fmean(logs)
    return Span(min(math.exp(middle - half), point), max(math.exp(middle + half), point), LEVEL)
