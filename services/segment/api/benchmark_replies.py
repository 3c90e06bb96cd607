"""Results of a benchmark's processes, as messages."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from assay_rpc.segment.v1 import benchmark_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.common.statistics.interval import TooFewError
from services.common.statistics.speed.restarts import Restart
from services.common.statistics.speed.speed_ratios import PairedRestart, ratio_interval
from services.rpc.messages import interval_of, load_message
from services.segment.api import segment_replies
from services.segment.benchmarking.parts import PartTime
from services.segment.benchmarking.runs import ProcessRuns
from services.segment.benchmarking.statistics import (
    Figures,
    batch_figures,
    load_figures,
    server_figures,
)

_RATIO_LEVEL = 0.99


@dataclass(frozen=True)
class Offered:
    """Requests offered a second, and the bound on their latency in seconds, if any."""

    rate: float
    bound: float | None


def result(
    offered: Offered | None,
    batch_sizes: Sequence[int],
    restarts: int,
    processes: Sequence[ProcessRuns],
    modules: Sequence[PartTime],
) -> benchmark_pb2.BenchmarkResult:
    """Return the figures of the first batch size, of the sweep, of the load and of the parts.

    `offered` is None except in the server scenario; `restarts` is the desired number of clean
    processes.
    """
    first = batch_sizes[0]
    samples = [process.seconds.get(first, []) for process in processes]
    if offered is None:
        timed = [process.restart(first) for process in processes]
        figures = batch_figures(samples, timed, first, restarts)
    else:
        timed = []
        figures = load_figures(samples, [process.elapsed for process in processes])
    message = benchmark_pb2.BenchmarkResult(
        batch_size=first,
        runs=sum(map(len, samples)),
        restarts=len(samples),
        latency_p50=segment_replies.duration(figures.p50),
        latency_p90=segment_replies.duration(figures.p90),
        latency_p99=segment_replies.duration(figures.p99),
        latency_interval=interval_of(figures.p50_interval),
        latency_least=segment_replies.duration(figures.least),
        images_per_second=figures.rate,
        images_per_second_interval=interval_of(figures.rate_interval),
        samples=[benchmark_pb2.RunTimes(seconds=runs) for runs in samples],
        noisy=figures.noisy,
        noise=figures.noise,
        modules=[
            benchmark_pb2.ModuleTiming(
                name=part.name, median=segment_replies.duration(part.seconds), share=part.share
            )
            for part in modules
        ],
        restart_records=[
            _restart(one, process) for one, process in zip(timed, processes, strict=False)
        ],
    )
    if figures.speeds is not None:
        fast, slow = map(segment_replies.duration, figures.speeds)
        message.two_speeds.CopyFrom(benchmark_pb2.TwoSpeeds(fast=fast, slow=slow))
    if offered is not None:
        message.server.CopyFrom(_server(offered, processes, samples))
    if any(process.against for process in processes):
        message.paired.CopyFrom(_paired(timed, processes))
    if len(batch_sizes) > 1:
        message.sweep.extend(_batch(size, processes, restarts) for size in batch_sizes)
    return message


def _server(
    offered: Offered, processes: Sequence[ProcessRuns], samples: Sequence[Sequence[float]]
) -> benchmark_pb2.ServerFigures:
    found = server_figures(
        [seconds for runs in samples for seconds in runs],
        sum(process.refused for process in processes),
        math.fsum(process.elapsed for process in processes),
        offered.bound,
    )
    message = benchmark_pb2.ServerFigures(
        target_rate=offered.rate, achieved_rate=found.achieved_rate
    )
    if offered.bound is not None:
        message.within_bound, message.met = found.within_bound, found.met
    return message


def _batch(
    size: int, processes: Sequence[ProcessRuns], restarts: int
) -> benchmark_pb2.BatchFigures:
    samples = [process.seconds.get(size, []) for process in processes]
    figures: Figures = batch_figures(
        samples, [process.restart(size) for process in processes], size, restarts
    )
    return benchmark_pb2.BatchFigures(
        batch_size=size,
        runs=sum(map(len, samples)),
        latency_p50=segment_replies.duration(figures.p50),
        images_per_second=figures.rate,
        images_per_second_interval=interval_of(figures.rate_interval),
    )


def _restart(timed: Restart, process: ProcessRuns) -> benchmark_pb2.Restart:
    kernel = process.load.kernel_seconds if process.load else 0
    started = Timestamp()
    started.FromNanoseconds(round(timed.started * 1e9))
    return benchmark_pb2.Restart(
        start_time=started,
        seconds=timed.seconds,
        least_seconds=timed.least,
        load=load_message(timed, kernel, timed.own or 0),
    )


def _paired(
    timed: Sequence[Restart], processes: Sequence[ProcessRuns]
) -> benchmark_pb2.PairedFigures:
    """Compare two models that were timed in the same processes."""
    pairs = [
        PairedRestart(one.seconds, statistics.median(process.against), one.others or 0, one.kernel)
        for one, process in zip(timed, processes, strict=True)
    ]
    message = benchmark_pb2.PairedFigures(
        ratio=statistics.median(one.first / one.second for one in pairs),
        samples=[benchmark_pb2.RunTimes(seconds=process.against) for process in processes],
    )
    if all(one.kernel is not None and one.others is not None for one in timed):
        with suppress(TooFewError):  # show the ratio without an interval
            message.interval.CopyFrom(interval_of(ratio_interval(pairs, _RATIO_LEVEL)))
    return message
