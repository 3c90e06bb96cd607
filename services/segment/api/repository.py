"""SegmentRepositoryService: what is wanted, and what this replica has of it."""

from __future__ import annotations

from typing import Any

import grpc
from assay.common.v1 import common_pb2
from assay.segment.v1 import repository_pb2, repository_pb2_grpc

from services.errors import NotFound
from services.segment.serving.desired import desired
from services.segment.serving.models import Models
from services.segment.serving.reconciler import Reconciler
from services.segment.serving.states import ModelState, ModelStatus

Context = grpc.aio.ServicerContext[Any, Any]
_STATES = {
    ModelState.AVAILABLE: repository_pb2.MODEL_STATE_AVAILABLE,
    ModelState.LOADING: repository_pb2.MODEL_STATE_LOADING,
    ModelState.SERVING: repository_pb2.MODEL_STATE_SERVING,
    ModelState.DRAINING: repository_pb2.MODEL_STATE_DRAINING,
    ModelState.FAILED: repository_pb2.MODEL_STATE_FAILED,
    ModelState.NOT_ACCEPTED: repository_pb2.MODEL_STATE_NOT_ACCEPTED,
}


class SegmentRepositoryService(repository_pb2_grpc.SegmentRepositoryServiceServicer):
    """Says and changes which models are served."""

    def __init__(self, models: Models, reconciler: Reconciler) -> None:
        self._models = models
        self._reconciler = reconciler

    async def GetRepository(  # noqa: N802  # the contract's name
        self,
        request: repository_pb2.GetRepositoryRequest,  # noqa: ARG002  # it is empty
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> repository_pb2.GetRepositoryResponse:
        """Say what is wanted, and what this replica has."""
        state = await self._reconciler.wanted()
        reply = repository_pb2.GetRepositoryResponse(
            revision=state.revision,
            everything=not state.models,
            models=[self._status(status) for status in self._reconciler.statuses(state)],
        )
        if self._reconciler.reconciled_at is not None:
            reply.reconciled_at.FromDatetime(self._reconciler.reconciled_at)
        return reply

    async def SetDesiredModels(  # noqa: N802  # the contract's name
        self,
        request: repository_pb2.SetDesiredModelsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> repository_pb2.SetDesiredModelsResponse:
        """Change what is wanted, for all replicas."""
        state = desired((model.name, model.version) for model in request.models)
        await self._reconciler.want(state, request.expected_revision)
        return repository_pb2.SetDesiredModelsResponse(revision=state.revision)

    def _status(self, status: ModelStatus) -> repository_pb2.ModelStatus:
        name, version, digest = status.identity
        return repository_pb2.ModelStatus(
            model=common_pb2.ModelRef(name=name, version=version, digest=digest),
            state=_STATES[status.state],
            problem=status.problem,
            desired=status.desired,
            default_version=status.state is ModelState.SERVING and self._is_default(status),
        )

    def _is_default(self, status: ModelStatus) -> bool:
        try:
            return self._models.repository.resolve(status.identity.name).identity == status.identity
        except NotFound:  # retired since
            return False
