"""SegmentAdminService: the desired models, and the state of each on this replica."""

from __future__ import annotations

from typing import Any

import grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import admin_pb2, admin_pb2_grpc

from services.errors import InvalidArgument, NotFound
from services.segment.serving.desired import desired
from services.segment.serving.models import Models
from services.segment.serving.reconciler import Reconciler
from services.segment.serving.states import ModelState, ModelStatus

Context = grpc.aio.ServicerContext[Any, Any]
_STATES = {
    ModelState.AVAILABLE: admin_pb2.MODEL_STATE_AVAILABLE,
    ModelState.LOADING: admin_pb2.MODEL_STATE_LOADING,
    ModelState.SERVING: admin_pb2.MODEL_STATE_SERVING,
    ModelState.DRAINING: admin_pb2.MODEL_STATE_DRAINING,
    ModelState.FAILED: admin_pb2.MODEL_STATE_FAILED,
    ModelState.NOT_ACCEPTED: admin_pb2.MODEL_STATE_NOT_ACCEPTED,
}


class SegmentAdminService(admin_pb2_grpc.SegmentAdminServiceServicer):
    """Returns and changes which models are served."""

    def __init__(self, models: Models, reconciler: Reconciler) -> None:
        self._models = models
        self._reconciler = reconciler

    async def GetRepository(  # noqa: N802  # the contract's name
        self,
        request: admin_pb2.GetRepositoryRequest,  # noqa: ARG002  # it is empty
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> admin_pb2.GetRepositoryResponse:
        """Return the desired models, and what this replica has."""
        state = await self._reconciler.wanted()
        reply = admin_pb2.GetRepositoryResponse(
            revision=state.revision,
            everything=not state.models,
            models=[self._status(status) for status in self._reconciler.statuses(state)],
        )
        if self._reconciler.reconciled_at is not None:
            reply.reconcile_time.FromDatetime(self._reconciler.reconciled_at)
        return reply

    async def SetDesiredModels(  # noqa: N802  # the contract's name
        self,
        request: admin_pb2.SetDesiredModelsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> admin_pb2.SetDesiredModelsResponse:
        """Change the desired models, for all replicas."""
        if request.everything == bool(request.models):
            raise InvalidArgument("models", "name at least one, or set `everything`, and not both")
        state = desired((model.name, model.version) for model in request.models)
        await self._reconciler.want(state, request.expected_revision)
        return admin_pb2.SetDesiredModelsResponse(revision=state.revision)

    def _status(self, status: ModelStatus) -> admin_pb2.ModelStatus:
        name, version, digest = status.identity
        return admin_pb2.ModelStatus(
            ref=common_pb2.ModelRef(name=name, version=version, digest=digest),
            state=_STATES[status.state],
            problem=status.problem,
            desired=status.desired,
            serves_unversioned=status.state is ModelState.SERVING and self._is_default(status),
        )

    def _is_default(self, status: ModelStatus) -> bool:
        try:
            return self._models.repository.resolve(status.identity.name).identity == status.identity
        except NotFound:  # retired meanwhile
            return False
