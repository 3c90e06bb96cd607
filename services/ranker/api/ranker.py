"""RankerService: parse, one call, build the reply."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import grpc
from assay_rpc.ranker.v1 import artifact_pb2, compare_pb2, ranker_pb2_grpc

from services.ranker.api import messages
from services.ranker.api.comparisons import Comparisons
from services.ranker.claims.model import Artifact
from services.ranker.claims.registry import Registry
from services.ranker.measuring.verify import Verifier
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]


class RankerService(ranker_pb2_grpc.RankerServiceServicer):
    """Verifies claims and compares artifacts.

    The stream is a coroutine that writes its messages, which gRPC takes as well as a generator and
    the stubs do not know of: a cancelled call then ends where it stands, measurements included.
    """

    def __init__(self, registry: Registry, verifier: Verifier, comparisons: Comparisons) -> None:
        self._registry = registry
        self._verifier = verifier
        self._comparisons = comparisons

    async def ListArtifacts(  # noqa: N802  # the contract's name
        self,
        request: artifact_pb2.ListArtifactsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> artifact_pb2.ListArtifactsResponse:
        """See `ranker.proto`."""
        shown, token = page(
            self._registry.artifacts, request.page_size, request.page_token, lambda one: one.id
        )
        return artifact_pb2.ListArtifactsResponse(
            artifacts=[_summary(one) for one in shown], next_page_token=token
        )

    async def GetArtifact(  # noqa: N802  # the contract's name
        self,
        request: artifact_pb2.GetArtifactRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> artifact_pb2.GetArtifactResponse:
        """See `ranker.proto`."""
        name = messages.required("artifact", request.artifact)
        return artifact_pb2.GetArtifactResponse(
            artifact=messages.artifact(self._registry.artifact(name))
        )

    async def VerifyClaims(  # type: ignore[override]  # noqa: N802
        self, request: pb.VerifyClaimsRequest, context: Context
    ) -> None:
        """See `ranker.proto`."""
        budget = messages.parse_budget(request.budget)
        name = messages.required("artifact", request.artifact)
        updates = self._verifier.verify(name, request.claims, budget)
        async with aclosing(updates):
            async for update in updates:
                await context.write(messages.update(update))

    async def Compare(  # type: ignore[override]  # noqa: N802
        self,
        request: compare_pb2.CompareRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> bytes:
        """See `ranker.proto`. The reply comes serialised, as it is cached.

        The server sends bytes as they are: to read a cached reply into a message and write it out
        again would cost more than the rest of the call.
        """
        return await self._comparisons.compare(
            messages.required("left", request.left),
            messages.required("right", request.right),
            request.as_of,
        )


def _summary(artifact: Artifact) -> artifact_pb2.ArtifactSummary:
    return artifact_pb2.ArtifactSummary(
        id=artifact.id,
        name=artifact.name,
        type=messages.artifact_type(artifact.type),
        claim_count=len(artifact.claims),
    )
