"""SegmentAdminService: measures models in processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import grpc
from assay.segment.v1 import admin_pb2, admin_pb2_grpc

from services.errors import InvalidArgument, Overloaded
from services.rpc.environment import environment
from services.segment.api import segment_replies
from services.segment.api.benchmark_messages import Order, parse, result
from services.segment.benchmarking import runs
from services.segment.benchmarking.worker import Plan
from services.segment.serving.models import Models
from services.segment.serving.repository import RegisteredModel
from services.segment.settings import SegmentSettings

Context = grpc.aio.ServicerContext[Any, Any]
_PACKAGES = ("openvino", "onnxruntime", "onnxruntime-gpu", "numpy", "numba", "pillow")


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
        order = parse(request)
        self._check(order, model)
        loop = asyncio.get_running_loop()
        if self._busy_until is not None:
            raise Overloaded("a benchmark is running", max(1.0, self._busy_until - loop.time()))
        self._busy_until = loop.time() + order.budget
        try:
            machine = await asyncio.to_thread(environment, *_PACKAGES)
            plan = self._plan(order, model)
            if order.server:
                order = replace(order, rate=order.rate or await runs.default_rate(plan))
                plan = replace(plan, rate=order.rate)
            processes: list[runs.ProcessRuns] = []
            measuring = runs.measure(
                plan, restarts=order.restarts, budget=order.budget, processes=processes
            )
            async with aclosing(measuring) as progress:
                async for done in progress:
                    yield admin_pb2.BenchmarkModelResponse(
                        progress=admin_pb2.BenchmarkProgress(done=done, total=order.total)
                    )
            modules = await runs.module_times(plan) if order.modules else []
        finally:
            self._busy_until = None
        found = result(order, processes, modules)
        found.model.CopyFrom(segment_replies.model_ref(model))
        found.environment.CopyFrom(machine)
        found.engine = plan.engine
        found.precision = plan.precision
        yield admin_pb2.BenchmarkModelResponse(result=found)

    def _check(self, order: Order, model: RegisteredModel) -> None:
        """Raise InvalidArgument if this model or this device can't be measured like that."""
        if max(order.batch_sizes) > 1 and not model.manifest.graph.dynamic_batch:
            raise InvalidArgument("batch_size", "this model's graph takes one image at a time")
        if order.modules and self._settings.device != "cpu":
            raise InvalidArgument(
                "module_timings",
                f"on {self._settings.device} the engine's profiler times what it asks for, not "
                "what is computed: ask on a CPU",
            )

    def _plan(self, order: Order, model: RegisteredModel) -> Plan:
        settings, choice = self._settings, self._models.choice
        return Plan(
            directory=str(model.directory.resolve()),
            digest=model.digest,
            engine=choice.engine,
            precision=choice.precision,
            gpu=settings.places[0],
            threads=settings.cpu_threads,
            kind="server" if order.server else "batches",
            batch_sizes=order.batch_sizes,
            runs=order.runs,
            limits=settings.limits,
            workers=settings.pool_threads,
        )
