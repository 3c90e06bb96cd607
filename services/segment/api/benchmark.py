"""SegmentAdminService: parse, measure a model in processes of its own, build the result."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import benchmark_pb2, benchmark_pb2_grpc

from services.errors import InvalidArgument, Overloaded
from services.rpc.environment import environment
from services.rpc.messages import engine_message, interval_message
from services.segment.api import segment_replies
from services.segment.benchmarking import runs
from services.segment.benchmarking.parts import PartTime
from services.segment.benchmarking.runs import MIN_RUNS, ProcessRuns
from services.segment.benchmarking.statistics import MAX_RESTARTS, Span, server_figures, summarise
from services.segment.benchmarking.worker import Measurement
from services.segment.serving.models import Models
from services.segment.serving.repository import RegisteredModel
from services.segment.settings import SegmentSettings

Context = grpc.aio.ServicerContext[Any, Any]
_PACKAGES = ("openvino", "onnxruntime", "onnxruntime-gpu", "numpy", "numba", "pillow")


class SegmentBenchmarkService(benchmark_pb2_grpc.SegmentBenchmarkServiceServicer):
    """Operations that use the machine and not a user's data."""

    def __init__(self, settings: SegmentSettings, models: Models) -> None:
        self._settings = settings
        self._models = models
        self._busy_until: float | None = None

    async def BenchmarkModel(  # noqa: N802  # the contract's name
        self,
        request: benchmark_pb2.BenchmarkModelRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> AsyncIterator[benchmark_pb2.BenchmarkModelResponse]:
        """Measure a model's speed; one benchmark at a time."""
        ref = request.model
        model = self._models.repository.resolve(ref.name, ref.version, ref.digest)
        model.require_accepted()
        benchmark = parse(request)
        self._check(benchmark, model)
        loop = asyncio.get_running_loop()
        if self._busy_until is not None:
            raise Overloaded("a benchmark is running", max(1.0, self._busy_until - loop.time()))
        self._busy_until = loop.time() + benchmark.budget
        try:
            machine = await asyncio.to_thread(environment, *_PACKAGES)
            measurement = self._measurement(benchmark, model)
            if benchmark.server:
                benchmark = replace(
                    benchmark, rate=benchmark.rate or await runs.default_rate(measurement)
                )
                measurement = replace(measurement, rate=benchmark.rate)
            processes: list[runs.ProcessRuns] = []
            measuring = runs.measure(
                measurement,
                restarts=benchmark.restarts,
                budget=benchmark.budget,
                processes=processes,
            )
            async with aclosing(measuring) as progress:
                async for done in progress:
                    yield benchmark_pb2.BenchmarkModelResponse(
                        progress=benchmark_pb2.BenchmarkProgress(done=done, total=benchmark.total)
                    )
            modules = await runs.module_times(measurement) if benchmark.modules else []
        finally:
            self._busy_until = None
        found = result(benchmark, processes, modules)
        found.model.CopyFrom(segment_replies.model_ref(model))
        found.environment.CopyFrom(machine)
        found.engine.CopyFrom(
            engine_message(measurement.engine, measurement.precision, threads=measurement.threads)
        )
        yield benchmark_pb2.BenchmarkModelResponse(result=found)

    def _check(self, benchmark: Benchmark, model: RegisteredModel) -> None:
        """Raise InvalidArgument if this model or this device can't be measured like that."""
        if max(benchmark.batch_sizes) > 1 and not model.manifest.graph.dynamic_batch:
            raise InvalidArgument("batch_size", "this model's graph takes one image at a time")
        if benchmark.modules and self._settings.device != "cpu":
            raise InvalidArgument(
                "module_timings",
                f"on {self._settings.device} the engine's profiler times what it asks for, not "
                "what is computed: ask on a CPU",
            )

    def _measurement(self, benchmark: Benchmark, model: RegisteredModel) -> Measurement:
        settings, choice = self._settings, self._models.choice
        return Measurement(
            directory=str(model.directory.resolve()),
            digest=model.digest,
            engine=choice.engine,
            precision=choice.precision,
            gpu=settings.devices[0],
            threads=settings.cpu_threads,
            kind="server" if benchmark.server else "batches",
            batch_sizes=benchmark.batch_sizes,
            runs=benchmark.runs,
            limits=settings.limits,
            workers=settings.pool_threads,
        )


_MAX_RUNS = 10_000
_MAX_BATCH = 64
_MAX_SIZES = 16
_MAX_RATE = 100_000.0
_DEFAULT_RUNS = 10
_DEFAULT_RESTARTS = 3
_DEFAULT_BUDGET = 60.0
_MAX_BUDGET = 30 * 60.0
_SINGLE_STREAM = benchmark_pb2.SCENARIO_SINGLE_STREAM
_OFFLINE = benchmark_pb2.SCENARIO_OFFLINE
_SERVER = benchmark_pb2.SCENARIO_SERVER


@dataclass(frozen=True)
class Benchmark:
    """A checked request: `budget` and `bound` in seconds, `rate` a second and 0 for the default."""

    scenario: benchmark_pb2.Scenario.ValueType
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


def parse(request: benchmark_pb2.BenchmarkModelRequest) -> Benchmark:
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
    return Benchmark(scenario, sizes, runs, restarts, budget, rate, bound, request.module_timings)


def _batch_sizes(
    request: benchmark_pb2.BenchmarkModelRequest, scenario: benchmark_pb2.Scenario.ValueType
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
    request: benchmark_pb2.BenchmarkModelRequest, scenario: benchmark_pb2.Scenario.ValueType
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
    benchmark: Benchmark, processes: Sequence[ProcessRuns], modules: Sequence[PartTime]
) -> benchmark_pb2.BenchmarkResult:
    """Return the figures of the first batch size, of the sweep, of the load and of the parts."""
    first = benchmark.batch_sizes[0]
    samples = [process.seconds.get(first, []) for process in processes]
    elapsed = [process.elapsed for process in processes] if benchmark.server else None
    figures = summarise(samples, first, elapsed)
    message = benchmark_pb2.BenchmarkResult(
        scenario=benchmark.scenario,
        batch_size=first,
        runs=sum(map(len, samples)),
        restarts=len(samples),
        latency_p50=segment_replies.duration(figures.p50),
        latency_p90=segment_replies.duration(figures.p90),
        latency_p99=segment_replies.duration(figures.p99),
        latency_interval=_interval(figures.p50_span),
        images_per_second=figures.rate,
        images_per_second_interval=_interval(figures.rate_span),
        samples=[benchmark_pb2.RunTimes(seconds=runs) for runs in samples],
        noisy=figures.noisy,
        noise=figures.noise,
        modules=[
            benchmark_pb2.ModuleTiming(
                name=part.name, median=segment_replies.duration(part.seconds), share=part.share
            )
            for part in modules
        ],
    )
    if benchmark.server:
        found = server_figures(
            [seconds for runs in samples for seconds in runs],
            sum(process.refused for process in processes),
            math.fsum(process.elapsed for process in processes),
            benchmark.bound,
        )
        message.server.target_rate = benchmark.rate
        message.server.achieved_rate = found.achieved_rate
        if benchmark.bound is not None:
            message.server.within_bound = found.within_bound
            message.server.met = found.met
    if len(benchmark.batch_sizes) > 1:
        message.sweep.extend(_batch(size, processes) for size in benchmark.batch_sizes)
    return message


def _batch(size: int, processes: Sequence[ProcessRuns]) -> benchmark_pb2.BatchFigures:
    samples = [process.seconds.get(size, []) for process in processes]
    figures = summarise(samples, size)
    return benchmark_pb2.BatchFigures(
        batch_size=size,
        runs=sum(map(len, samples)),
        latency_p50=segment_replies.duration(figures.p50),
        images_per_second=figures.rate,
        images_per_second_interval=_interval(figures.rate_span),
    )


def _interval(span: Span) -> common_pb2.Interval:
    return interval_message(span.low, span.high, span.level, "clustered-student@1")
