"""RankerService: parse, one call, build the reply."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import grpc
from assay.ranker.v1 import ranker_pb2 as pb
from assay.ranker.v1 import ranker_pb2_grpc as pb_grpc

from services.errors import Unavailable
from services.ranker.api import replies, requests, verify_reply
from services.ranker.api.comparisons import Comparisons
from services.ranker.claims.model import Artifact
from services.ranker.claims.registry import Registry
from services.ranker.measuring.verify import Verifier
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]


class RankerService(pb_grpc.RankerServiceServicer):
    """Verifies claims and compares artifacts. Give it its parts with `attach` once they are open.

    The stream is a coroutine that writes its messages, which gRPC takes as well as a generator and
    the stubs do not know of: a cancelled call then ends where it stands, measurements included.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._verifier: Verifier | None = None
        self._comparisons: Comparisons | None = None

    def attach(self, verifier: Verifier, comparisons: Comparisons) -> None:
        """Take what verifies and what compares."""
        self._verifier = verifier
        self._comparisons = comparisons

    async def ListArtifacts(  # noqa: N802  # the contract's name
        self,
        request: pb.ListArtifactsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ListArtifactsResponse:
        """See `ranker.proto`."""
        shown, token = page(
            self._registry.artifacts, request.page_size, request.page_token, lambda one: one.id
        )
        return pb.ListArtifactsResponse(
            artifacts=[_summary(one) for one in shown], next_page_token=token
        )

    async def GetArtifact(  # noqa: N802  # the contract's name
        self,
        request: pb.GetArtifactRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.GetArtifactResponse:
        """See `ranker.proto`."""
        name = requests.required("artifact", request.artifact)
        return pb.GetArtifactResponse(artifact=replies.artifact(self._registry.artifact(name)))

    async def VerifyClaims(  # type: ignore[override]  # noqa: N802
        self, request: pb.VerifyClaimsRequest, context: Context
    ) -> None:
        """See `ranker.proto`."""
        if self._verifier is None:
            raise Unavailable("the ranker is still starting")
        budget = requests.parse_budget(request.budget)
        name = requests.required("artifact", request.artifact)
        updates = self._verifier.verify(name, request.claims, budget)
        async with aclosing(updates):
            async for update in updates:
                await context.write(verify_reply.reply(update))

    async def Compare(  # type: ignore[override]  # noqa: N802
        self,
        request: pb.CompareRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> bytes:
        """See `ranker.proto`. The reply comes serialised, as `serve_bytes` sends it."""
        if self._comparisons is None:
            raise Unavailable("the ranker is still starting")
        return await self._comparisons.compare(
            requests.required("left", request.left),
            requests.required("right", request.right),
            request.as_of,
        )


def _summary(artifact: Artifact) -> pb.ArtifactSummary:
    return pb.ArtifactSummary(
        id=artifact.id,
        name=artifact.name,
        type=replies.artifact_type(artifact.type),
        claim_count=len(artifact.claims),
    )
