"""SegmentAdminService: parse, measure a model in separate processes, build the result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import benchmark_pb2, benchmark_pb2_grpc

from services.common.kernel_times import KernelTimes
from services.common.machine import machine_id
from services.common.statistics.speed.timing import MOST, WANTED
from services.errors import EngineUnavailable, InvalidArgument, Overloaded
from services.rpc.environment import environment
from services.rpc.messages import engine_message
from services.segment.api import benchmark_replies, segment_replies
from services.segment.benchmarking import runs
from services.segment.benchmarking.runs import MIN_RUNS
from services.segment.benchmarking.worker import Measurement
from services.segment.engines.choice import Choice
from services.segment.engines.engine import CUDA, ONNXRUNTIME, OPENVINO, TENSORRT, TORCH
from services.segment.serving.models import Models
from services.segment.serving.repository import RegisteredModel
from services.segment.settings import SegmentSettings

Context = grpc.aio.ServicerContext[Any, Any]
_ENGINES_PACKAGES = ("openvino", "onnxruntime", "onnxruntime-gpu", "torch", "transformers")
_PACKAGES = (*_ENGINES_PACKAGES, "numpy", "numba", "pillow")


class SegmentBenchmarkService(benchmark_pb2_grpc.SegmentBenchmarkServiceServicer):
    """Operations that use the machine rather than a user's data."""

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
        model = self._find(ref)
        benchmark = parse(request)
        against = self._find(request.against) if request.HasField("against") else None
        self._check(benchmark, model, against)
        loop = asyncio.get_running_loop()
        if self._busy_until is not None:
            raise Overloaded("a benchmark is running", max(1.0, self._busy_until - loop.time()))
        self._busy_until = loop.time() + benchmark.budget
        try:
            machine = await asyncio.to_thread(environment, *_PACKAGES)
            measurement = self._measurement(benchmark, model, against)
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
                kernel=KernelTimes(
                    self._settings.machine_directory, machine_id(), measurement.threads
                ),
            )
            async with aclosing(measuring) as progress:
                async for done in progress:
                    yield benchmark_pb2.BenchmarkModelResponse(
                        progress=benchmark_pb2.BenchmarkProgress(
                            done=done, total=max(done, benchmark.total)
                        )
                    )
            modules = await runs.module_times(measurement) if benchmark.modules else []
        finally:
            self._busy_until = None
        found = benchmark_replies.result(
            benchmark.load, benchmark.batch_sizes, benchmark.restarts, processes, modules
        )
        found.scenario = benchmark.scenario
        found.model.CopyFrom(segment_replies.model_ref(model))
        if against is not None:
            found.paired.against.CopyFrom(segment_replies.model_ref(against))
        found.environment.CopyFrom(machine)
        found.engine.CopyFrom(
            engine_message(measurement.engine, measurement.precision, threads=measurement.threads)
        )
        yield benchmark_pb2.BenchmarkModelResponse(result=found)

    def _find(self, ref: common_pb2.ModelRef) -> RegisteredModel:
        model = self._models.repository.resolve(ref.name, ref.version, ref.digest)
        model.require_accepted()
        return model

    def _check(
        self, benchmark: Benchmark, model: RegisteredModel, against: RegisteredModel | None
    ) -> None:
        """Raise InvalidArgument if these models or this device cannot be measured this way."""
        for one in (model, against):
            batches = max(benchmark.batch_sizes) > 1
            if one is not None and batches and not one.manifest.graph.dynamic_batch:
                raise InvalidArgument(
                    "batch_size", f"{one.manifest.name}'s graph takes one image at a time"
                )
        if benchmark.modules and self._settings.device != "cpu":
            raise InvalidArgument(
                "module_timings",
                f"on {self._settings.device} the engine's profiler times what it asks for, not "
                "what is computed: ask on a CPU",
            )

    def _choice(self, engine: str, model: RegisteredModel) -> Choice:
        """Return the requested engine, or the one that serves the model, if installed.

        An engine that does not serve the model runs in the number type of the graphs.
        """
        serving = self._models.choice.of(model.manifest)
        if engine in {"", serving.engine}:
            return serving
        if engine == TORCH and not find_spec("transformers"):
            raise EngineUnavailable(f"{TORCH} needs torch and transformers, in the extra torch")
        choice = Choice(engine, "fp32")
        if engine != TORCH:
            choice.require_available()
        return choice

    def _measurement(
        self, benchmark: Benchmark, model: RegisteredModel, against: RegisteredModel | None
    ) -> Measurement:
        settings, choice = self._settings, self._choice(benchmark.engine, model)
        return Measurement(
            directory=str(model.directory.resolve()),
            digest=model.digest,
            engine=choice.engine,
            precision=choice.precision,
            gpu=settings.on_gpu(settings.devices[0]),
            threads=settings.cpu_threads,
            kind="server" if benchmark.server else "batches",
            batch_sizes=benchmark.batch_sizes,
            runs=benchmark.runs,
            limits=settings.limits,
            workers=settings.pool_threads,
            against=(str(against.directory.resolve()), against.digest) if against else None,
        )


_MAX_RUNS = 10_000
_MAX_BATCH = 64
_MAX_SIZES = 16
_MAX_RATE = 100_000.0
_DEFAULT_RUNS = 10
_SERVER_PROCESSES = 3
_DEFAULT_BUDGET = 120.0
_MAX_BUDGET = 30 * 60.0
_SINGLE_STREAM = benchmark_pb2.SCENARIO_SINGLE_STREAM
_OFFLINE = benchmark_pb2.SCENARIO_OFFLINE
_SERVER = benchmark_pb2.SCENARIO_SERVER
_ENGINES = ("", OPENVINO, ONNXRUNTIME, CUDA, TENSORRT, TORCH)
_PAIRED_TURNS = 4  # A B B A


@dataclass(frozen=True)
class Benchmark:
    """A checked request: `budget`, `bound` in seconds; `rate` a second, 0 for the default."""

    scenario: benchmark_pb2.Scenario.ValueType
    batch_sizes: tuple[int, ...]
    runs: int
    restarts: int
    budget: float
    rate: float
    bound: float | None
    modules: bool
    engine: str = ""
    paired: bool = False

    @property
    def server(self) -> bool:
        """Whether requests arrive at random."""
        return self.scenario == _SERVER

    @property
    def total(self) -> int:
        """Number of runs, if no process has to be restarted."""
        turns = _PAIRED_TURNS if self.paired else 1
        return self.runs * self.restarts * len(self.batch_sizes) * turns

    @property
    def load(self) -> benchmark_replies.Offered | None:
        """The offered load, if requests arrive at random."""
        return benchmark_replies.Offered(self.rate, self.bound) if self.server else None


def parse(request: benchmark_pb2.BenchmarkModelRequest) -> Benchmark:
    """Check the request and fill in the defaults. Raises InvalidArgument."""
    scenario = request.scenario or _SINGLE_STREAM
    if scenario not in {_SINGLE_STREAM, _OFFLINE, _SERVER}:
        raise InvalidArgument("scenario", f"{scenario} is not a scenario")
    sizes = _batch_sizes(request, scenario)
    runs = request.runs or _DEFAULT_RUNS
    if not MIN_RUNS <= runs <= _MAX_RUNS:
        raise InvalidArgument("runs", f"{runs}; {MIN_RUNS} to {_MAX_RUNS} is allowed")
    restarts = request.restarts or (_SERVER_PROCESSES if scenario == _SERVER else WANTED)
    if restarts > MOST:
        raise InvalidArgument("restarts", f"{restarts}; 1 to {MOST} is allowed")
    budget = _DEFAULT_BUDGET
    if request.HasField("budget"):
        budget = request.budget.seconds + request.budget.nanos / 1e9
    if not 0 < budget <= _MAX_BUDGET:
        raise InvalidArgument("budget", f"{budget:g} s; more than 0, at most 30 minutes is allowed")
    rate, bound = _load(request, scenario)
    paired = request.HasField("against")
    if request.engine not in _ENGINES:
        known = ", ".join(name for name in _ENGINES if name)
        raise InvalidArgument("engine", f"{request.engine!r} is none of {known}")
    for field, given in (("engine", bool(request.engine)), ("against", paired)):
        if given and scenario == _SERVER:
            raise InvalidArgument(field, "is not for the server scenario")
    if paired and len(sizes) > 1:
        raise InvalidArgument("against", "is compared at one batch size: give batch_size")
    if request.engine == TORCH and request.module_timings:
        raise InvalidArgument("module_timings", f"need a graph, which {TORCH} does not run")
    return Benchmark(
        scenario, sizes, runs, restarts, budget, rate, bound, request.module_timings,
        request.engine, paired,
    )  # fmt: skip


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
        raise InvalidArgument(field, "a size appears twice")
    if sizes != (1,) and scenario != _OFFLINE:
        raise InvalidArgument(field, "only offline sends batches: set 1, or use that scenario")
    return sizes


def _load(
    request: benchmark_pb2.BenchmarkModelRequest, scenario: benchmark_pb2.Scenario.ValueType
) -> tuple[float, float | None]:
    """Return the offered rate and the latency bound."""
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
