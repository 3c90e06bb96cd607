"""Triton's additions to the Open Inference Protocol: configuration, statistics, memory."""

from __future__ import annotations

from typing import Any

import grpc

from services.errors import Unsupported
from services.inference.v2 import open_inference_pb2 as pb
from services.inference.v2 import open_inference_pb2_grpc
from services.segment.api.open_replies import configured, counted, indexed
from services.segment.api.shared_memory import Regions
from services.segment.serving.models import Models
from services.segment.serving.reconciler import Reconciler
from services.segment.settings import SegmentSettings

Context = grpc.aio.ServicerContext[Any, Any]


class TritonExtensions(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """The rpcs that Triton added to the protocol."""

    def __init__(self, settings: SegmentSettings, models: Models, reconciler: Reconciler) -> None:
        self._models = models
        self._reconciler = reconciler
        self._regions = Regions(allowed=settings.shared_memory, max_bytes=settings.request_limit)
        self._limits = settings.limits
        self._follows_a_file = settings.desired is not None

    async def ModelConfig(  # noqa: N802  # Triton's name
        self,
        request: pb.ModelConfigRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ModelConfigResponse:
        """Give a model's configuration."""
        model = self._models.repository.resolve(request.name, request.version)
        platform = self._models.choice.of(model.manifest).engine
        return pb.ModelConfigResponse(config=configured(model.manifest, self._limits, platform))

    async def ModelStatistics(  # noqa: N802  # Triton's name
        self,
        request: pb.ModelStatisticsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ModelStatisticsResponse:
        """Give a model's counts and times."""
        models = [model for model in self._models.repository if model.accepted]
        if request.name:
            chosen = self._models.repository.resolve(request.name, request.version)
            models = [
                model
                for model in models
                if model.manifest.name == chosen.manifest.name
                and (not request.version or model is chosen)
            ]
        return pb.ModelStatisticsResponse(
            model_stats=[
                counted(model.key, self._models.metrics.of(*model.key).statistics.counts)
                for model in models
            ]
        )

    async def RepositoryIndex(  # noqa: N802  # Triton's name
        self,
        request: pb.RepositoryIndexRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.RepositoryIndexResponse:
        """List the models."""
        statuses = self._reconciler.statuses(await self._reconciler.wanted())
        models = [indexed(status) for status in statuses]
        return pb.RepositoryIndexResponse(
            models=[one for one in models if one.state == "READY" or not request.ready]
        )

    async def RepositoryModelLoad(  # noqa: N802  # Triton's name
        self,
        request: pb.RepositoryModelLoadRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.RepositoryModelLoadResponse:
        """Say who loads models."""
        raise self._not_here(request.model_name)

    async def RepositoryModelUnload(  # noqa: N802  # Triton's name
        self,
        request: pb.RepositoryModelUnloadRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.RepositoryModelUnloadResponse:
        """Say who unloads models."""
        raise self._not_here(request.model_name)

    def _not_here(self, name: str) -> Unsupported:
        how = "ASSAY_SEGMENT_MODELS says which, at the start"
        if self._follows_a_file:
            how = (
                "a desired state says which, for all replicas: `assay models serve`, or "
                "SetDesiredModels of assay.segment.v1.SegmentAdminService, changes it"
            )
        return Unsupported(f"{name!r:.100}: models are not loaded on one replica alone; {how}")

    async def SystemSharedMemoryStatus(  # noqa: N802  # Triton's name
        self,
        request: pb.SystemSharedMemoryStatusRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.SystemSharedMemoryStatusResponse:
        """List regions of shared memory."""
        status = pb.SystemSharedMemoryStatusResponse.RegionStatus
        return pb.SystemSharedMemoryStatusResponse(
            regions={
                name: status(name=name, key=one.key, offset=one.offset, byte_size=one.size)
                for name, one in self._regions.listed(request.name).items()
            }
        )

    async def SystemSharedMemoryRegister(  # noqa: N802  # Triton's name
        self,
        request: pb.SystemSharedMemoryRegisterRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.SystemSharedMemoryRegisterResponse:
        """Register a region of shared memory."""
        self._regions.register(request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(  # noqa: N802  # Triton's name
        self,
        request: pb.SystemSharedMemoryUnregisterRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        """Unregister regions of shared memory."""
        self._regions.unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()
