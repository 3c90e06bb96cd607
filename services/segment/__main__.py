"""Wires and runs the segment service: `python -m services.segment`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a second or more
    from services.rpc.serving.starting import end_when_told

    end_when_told()

import sys

import grpc
from assay_rpc.segment.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    benchmark_pb2,
    benchmark_pb2_grpc,
    segment_pb2,
    segment_pb2_grpc,
)

from services.inference.v2 import open_inference_pb2, open_inference_pb2_grpc
from services.rpc.serving.failure import Failure
from services.rpc.serving.process import run
from services.rpc.serving.service import Service
from services.rpc.settings import load_settings
from services.rpc.tracing.configured import tracing_of
from services.segment.api.admin import SegmentAdminService
from services.segment.api.benchmark import SegmentBenchmarkService
from services.segment.api.open_inference import HEALTH_METHODS, OpenInferenceService
from services.segment.api.segment import SegmentService
from services.segment.serving.models import Models
from services.segment.serving.reconciler import Reconciler
from services.segment.settings import SegmentSettings


def build_service(settings: SegmentSettings) -> Service:
    """Return the service; nothing is opened before its `warm`."""
    failure = Failure()
    models = Models(settings, failure.report)
    tracing = tracing_of(settings.tracing, "segment")
    servicer = SegmentService(settings, models, tracing)
    benchmark = SegmentBenchmarkService(settings, models)
    reconciler = Reconciler(settings, models)
    admin = SegmentAdminService(models, reconciler)
    inference = OpenInferenceService(settings, models, reconciler, tracing)

    def register(server: grpc.aio.Server) -> None:
        segment_pb2_grpc.add_SegmentServiceServicer_to_server(servicer, server)
        benchmark_pb2_grpc.add_SegmentBenchmarkServiceServicer_to_server(benchmark, server)
        admin_pb2_grpc.add_SegmentAdminServiceServicer_to_server(admin, server)
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(inference, server)

    def drain() -> None:
        servicer.drain()
        inference.drain()

    async def warm() -> None:
        await reconciler.start()
        inference.ready = True

    async def close() -> None:
        await reconciler.close()
        await models.close()

    services = [
        service
        for module in (segment_pb2, benchmark_pb2, admin_pb2, open_inference_pb2)
        for service in module.DESCRIPTOR.services_by_name.values()
    ]
    return Service(
        name="segment",
        tracing=tracing,
        register=register,
        full_names=tuple(service.full_name for service in services),
        warm=warm,
        close=close,
        drain=drain,
        failure=failure,
        max_held_bytes=settings.held_bytes,
        probes=HEALTH_METHODS,
        collectors=models.metrics.collectors,
    )


def main() -> int:
    """Serve until told to stop; return the exit code."""
    settings = load_settings(SegmentSettings)
    return run(settings, build_service(settings))


if __name__ == "__main__":
    sys.exit(main())
