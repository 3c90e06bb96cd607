"""SegmentAdminService: measures models in processes of their own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any

import grpc
from assay.common.v1 import common_pb2
from assay.segment.v1 import admin_pb2, admin_pb2_grpc

from services.errors import InvalidArgument, Overloaded, PreconditionFailed
from services.rpc.environment import environment
from services.rpc.worker import run_worker
from services.segment import replies
from services.segment.benchmark import Plan
from services.segment.measurement import MAX_RESTARTS, Figures, Span, summarise
from services.segment.models import Models
from services.segment.settings import SegmentSettings

Context = grpc.aio.ServicerContext[Any, Any]
WORKER = "services.segment.benchmark"
_MIN_RUNS = 3
_MAX_RUNS = 10_000
_MAX_BATCH = 64
_DEFAULT_RUNS = 10
_DEFAULT_RESTARTS = 3
_DEFAULT_BUDGET = 60.0
_MAX_BUDGET = 30 * 60.0
_PACKAGES = ("openvino", "onnxruntime", "onnxruntime-gpu", "numpy", "numba", "pillow")


@dataclass(frozen=True)
class _Order:
    """A checked request: `budget` is in seconds."""

    scenario: admin_pb2.Scenario.ValueType
    batch_size: int
    runs: int
    restarts: int
    budget: float


class SegmentAdminService(admin_pb2_grpc.SegmentAdminServiceServicer):
    """Operations that use the machine and not a user's data."""

    def __init__(self, settings: SegmentSettings, models: Models) -> None:
        self._settings = settings
        self._models = models
        self._busy_until: float | None = None

    async def BenchmarkModel(  # noqa: N802  # the contract's name
        self,
        request: admin_pb2.BenchmarkModelRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> AsyncIterator[admin_pb2.BenchmarkModelResponse]:
        """Measure a model's speed; one benchmark at a time."""
        ref = request.model
        model = self._models.repository.resolve(ref.name, ref.version, ref.digest)
        model.require_accepted()
        order = _parse(request)
        if order.batch_size > 1 and not model.manifest.graph.dynamic_batch:
            raise InvalidArgument("batch_size", "this model's graph takes one image at a time")
        loop = asyncio.get_running_loop()
        if self._busy_until is not None:
            raise Overloaded("a benchmark is running", max(1.0, self._busy_until - loop.time()))
        self._busy_until = loop.time() + order.budget
        try:
            machine = await asyncio.to_thread(environment, *_PACKAGES)
            samples: list[list[float]] = []
            choice = self._models.choice
            plan = Plan(
                directory=str(model.directory.resolve()),
                digest=model.digest,
                engine=choice.engine,
                precision=choice.precision,
                gpu=self._settings.places[0],
                threads=self._settings.cpu_threads,
                batch_size=order.batch_size,
                runs=order.runs,
            )
            async with aclosing(_measure(plan, order, samples)) as progress:
                async for done in progress:
                    yield admin_pb2.BenchmarkModelResponse(
                        progress=admin_pb2.BenchmarkProgress(
                            done=done, total=order.runs * order.restarts
                        )
                    )
        finally:
            self._busy_until = None
        result = _result(order, samples, summarise(samples, order.batch_size))
        result.model.CopyFrom(replies.model_ref(model))
        result.environment.CopyFrom(machine)
        result.engine = choice.engine
        result.precision = choice.precision
        yield admin_pb2.BenchmarkModelResponse(result=result)


async def _measure(plan: Plan, order: _Order, samples: list[list[float]]) -> AsyncGenerator[int]:
    """Fill `samples`, a list a process, and yield the number of runs so far.

    Each process may use its share of the budget, and takes the runs that are needed for three in
    all even when that is more.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    needed = math.ceil(_MIN_RUNS / order.restarts)
    done = 0
    for restart in range(order.restarts):
        if done >= _MIN_RUNS and loop.time() - start >= order.budget:
            return
        share = order.budget * (restart + 1) / order.restarts
        runs: list[float] = []
        samples.append(runs)
        async with aclosing(run_worker(WORKER, asdict(plan))) as lines:
            async for line in lines:
                if "changed" in line:
                    raise PreconditionFailed(
                        "the model's files are not those that the server loaded: restart it"
                    )
                runs.append(float(line["seconds"]))
                done += 1
                yield done
                if len(runs) >= needed and loop.time() - start >= share:
                    break


def _parse(request: admin_pb2.BenchmarkModelRequest) -> _Order:
    """Check the request and fill in the defaults. Raises InvalidArgument."""
    scenario = request.scenario or admin_pb2.SCENARIO_SINGLE_STREAM
    if scenario not in {admin_pb2.SCENARIO_SINGLE_STREAM, admin_pb2.SCENARIO_OFFLINE}:
        raise InvalidArgument("scenario", f"{scenario} is not a scenario")
    batch_size = request.batch_size or 1
    if batch_size > _MAX_BATCH:
        raise InvalidArgument("batch_size", f"{batch_size}; 1 to {_MAX_BATCH} is allowed")
    if batch_size > 1 and scenario == admin_pb2.SCENARIO_SINGLE_STREAM:
        raise InvalidArgument("batch_size", "single stream sends one image at a time: ask for 1")
    runs = request.runs or _DEFAULT_RUNS
    if not _MIN_RUNS <= runs <= _MAX_RUNS:
        raise InvalidArgument("runs", f"{runs}; {_MIN_RUNS} to {_MAX_RUNS} is allowed")
    restarts = request.restarts or _DEFAULT_RESTARTS
    if restarts > MAX_RESTARTS:
        raise InvalidArgument("restarts", f"{restarts}; 1 to {MAX_RESTARTS} is allowed")
    budget = _DEFAULT_BUDGET
    if request.HasField("budget"):
        budget = request.budget.seconds + request.budget.nanos / 1e9
    if not 0 < budget <= _MAX_BUDGET:
        raise InvalidArgument("budget", f"{budget:g} s; more than 0, at most 30 minutes is allowed")
    return _Order(scenario, batch_size, runs, restarts, budget)


def _result(
    order: _Order, samples: list[list[float]], figures: Figures
) -> admin_pb2.BenchmarkResult:
    return admin_pb2.BenchmarkResult(
        scenario=order.scenario,
        batch_size=order.batch_size,
        runs=sum(map(len, samples)),
        restarts=len(samples),
        latency_p50=replies.duration(figures.p50),
        latency_p90=replies.duration(figures.p90),
        latency_p99=replies.duration(figures.p99),
        latency_interval=_interval(figures.p50_span),
        images_per_second=figures.rate,
        images_per_second_interval=_interval(figures.rate_span),
        samples=[admin_pb2.RunTimes(seconds=runs) for runs in samples],
        noisy=figures.noisy,
        noise=figures.noise,
    )


def _interval(span: Span) -> common_pb2.Interval:
    return common_pb2.Interval(low=span.low, high=span.high, level=span.level)
