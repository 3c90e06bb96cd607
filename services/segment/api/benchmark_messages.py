"""BenchmarkModel's request, checked, and its result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from assay.common.v1 import common_pb2
from assay.segment.v1 import admin_pb2

from services.errors import InvalidArgument
from services.segment.api import segment_replies
from services.segment.benchmarking.parts import PartTime
from services.segment.benchmarking.runs import MIN_RUNS, ProcessRuns
from services.segment.benchmarking.statistics import MAX_RESTARTS, Span, server_figures, summarise

_MAX_RUNS = 10_000
_MAX_BATCH = 64
_MAX_SIZES = 16
_MAX_RATE = 100_000.0
_DEFAULT_RUNS = 10
_DEFAULT_RESTARTS = 3
_DEFAULT_BUDGET = 60.0
_MAX_BUDGET = 30 * 60.0
_SINGLE_STREAM = admin_pb2.SCENARIO_SINGLE_STREAM
_OFFLINE = admin_pb2.SCENARIO_OFFLINE
_SERVER = admin_pb2.SCENARIO_SERVER


@dataclass(frozen=True)
class Order:
    """A checked request: `budget` and `bound` in seconds, `rate` a second and 0 for the default."""

    scenario: admin_pb2.Scenario.ValueType
    batch_sizes: tuple[int, ...]
    runs: int
    restarts: int
    budget: float
    rate: float
    bound: float | None
    modules: bool

    @property
    def server(self) -> bool:
        """Whether requests arrive at random."""
        return self.scenario == _SERVER

    @property
    def total(self) -> int:
        """Runs to do."""
        return self.runs * self.restarts * len(self.batch_sizes)


def parse(request: admin_pb2.BenchmarkModelRequest) -> Order:
    """Check the request and fill in the defaults. Raises InvalidArgument."""
    scenario = request.scenario or _SINGLE_STREAM
    if scenario not in {_SINGLE_STREAM, _OFFLINE, _SERVER}:
        raise InvalidArgument("scenario", f"{scenario} is not a scenario")
    sizes = _batch_sizes(request, scenario)
    runs = request.runs or _DEFAULT_RUNS
    if not MIN_RUNS <= runs <= _MAX_RUNS:
        raise InvalidArgument("runs", f"{runs}; {MIN_RUNS} to {_MAX_RUNS} is allowed")
    restarts = request.restarts or _DEFAULT_RESTARTS
    if restarts > MAX_RESTARTS:
        raise InvalidArgument("restarts", f"{restarts}; 1 to {MAX_RESTARTS} is allowed")
    budget = _DEFAULT_BUDGET
    if request.HasField("budget"):
        budget = request.budget.seconds + request.budget.nanos / 1e9
    if not 0 < budget <= _MAX_BUDGET:
        raise InvalidArgument("budget", f"{budget:g} s; more than 0, at most 30 minutes is allowed")
    rate, bound = _load(request, scenario)
    return Order(scenario, sizes, runs, restarts, budget, rate, bound, request.module_timings)


def _batch_sizes(
    request: admin_pb2.BenchmarkModelRequest, scenario: admin_pb2.Scenario.ValueType
) -> tuple[int, ...]:
    if request.batch_sizes and request.batch_size:
        raise InvalidArgument("batch_sizes", "given as well as batch_size: give one of them")
    if len(request.batch_sizes) > _MAX_SIZES:
        raise InvalidArgument("batch_sizes", f"{len(request.batch_sizes)}; at most {_MAX_SIZES}")
    sizes = tuple(request.batch_sizes) or (request.batch_size or 1,)
    field = "batch_sizes" if request.batch_sizes else "batch_size"
    for size in sizes:
        if not 1 <= size <= _MAX_BATCH:
            raise InvalidArgument(field, f"{size}; 1 to {_MAX_BATCH} is allowed")
    if len(set(sizes)) != len(sizes):
        raise InvalidArgument(field, "a size is there twice")
    if sizes != (1,) and scenario != _OFFLINE:
        raise InvalidArgument(field, "only offline sends batches: ask for 1, or for that scenario")
    return sizes


def _load(
    request: admin_pb2.BenchmarkModelRequest, scenario: admin_pb2.Scenario.ValueType
) -> tuple[float, float | None]:
    """Return the rate and the bound."""
    rate = request.target_rate
    bound: float | None = None
    if request.HasField("latency_bound"):
        bound = request.latency_bound.seconds + request.latency_bound.nanos / 1e9
        if bound <= 0:
            raise InvalidArgument("latency_bound", f"{bound:g} s; more than 0 is needed")
    if not 0 <= rate <= _MAX_RATE:
        raise InvalidArgument("target_rate", f"{rate:g} a second; up to {_MAX_RATE:g} is allowed")
    if scenario != _SERVER and (rate or bound is not None):
        field = "target_rate" if rate else "latency_bound"
        raise InvalidArgument(field, "is for the server scenario")
    return rate, bound


def result(
    order: Order, processes: Sequence[ProcessRuns], modules: Sequence[PartTime]
) -> admin_pb2.BenchmarkResult:
    """Return the figures of the first batch size, of the sweep, of the load and of the parts."""
    first = order.batch_sizes[0]
    samples = [process.seconds.get(first, []) for process in processes]
    elapsed = [process.elapsed for process in processes] if order.server else None
    figures = summarise(samples, first, elapsed)
    message = admin_pb2.BenchmarkResult(
        scenario=order.scenario,
        batch_size=first,
        runs=sum(map(len, samples)),
        restarts=len(samples),
        latency_p50=segment_replies.duration(figures.p50),
        latency_p90=segment_replies.duration(figures.p90),
        latency_p99=segment_replies.duration(figures.p99),
        latency_interval=_interval(figures.p50_span),
        images_per_second=figures.rate,
        images_per_second_interval=_interval(figures.rate_span),
        samples=[admin_pb2.RunTimes(seconds=runs) for runs in samples],
        noisy=figures.noisy,
        noise=figures.noise,
        modules=[
            admin_pb2.ModuleTiming(
                name=part.name, time=segment_replies.duration(part.seconds), share=part.share
            )
            for part in modules
        ],
    )
    if order.server:
        found = server_figures(
            [seconds for runs in samples for seconds in runs],
            sum(process.refused for process in processes),
            math.fsum(process.elapsed for process in processes),
            order.bound,
        )
        message.server.target_rate = order.rate
        message.server.achieved_rate = found.achieved_rate
        message.server.within_bound = found.within_bound
        message.server.met = found.met
    if len(order.batch_sizes) > 1:
        message.sweep.extend(_batch(size, processes) for size in order.batch_sizes)
    return message


def _batch(size: int, processes: Sequence[ProcessRuns]) -> admin_pb2.BatchFigures:
    samples = [process.seconds.get(size, []) for process in processes]
    figures = summarise(samples, size)
    return admin_pb2.BatchFigures(
        batch_size=size,
        runs=sum(map(len, samples)),
        latency_p50=segment_replies.duration(figures.p50),
        images_per_second=figures.rate,
        images_per_second_interval=_interval(figures.rate_span),
    )


def _interval(span: Span) -> common_pb2.Interval:
    return common_pb2.Interval(low=span.low, high=span.high, level=span.level)
