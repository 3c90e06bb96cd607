"""RankerService: parse, one call, build the reply."""

from __future__ import annotations

from typing import Any

import grpc
from assay_rpc.ranker.v1 import (
    artifact_pb2,
    compare_pb2,
    evidence_pb2,
    rank_pb2,
    ranker_pb2_grpc,
    score_pb2,
    search_pb2,
)

from services.errors import NotFound
from services.ranker.api import messages, requests
from services.ranker.api.comparisons import Comparisons
from services.ranker.api.evidence import EvidenceReplies
from services.ranker.api.ranks import RankReplies
from services.ranker.api.search import SearchReplies
from services.ranker.claims.model import Artifact
from services.ranker.claims.registry import Registry
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]


class RankerService(ranker_pb2_grpc.RankerServiceServicer):
    """Reads what is registered and what was found."""

    def __init__(
        self,
        registry: Registry,
        comparisons: Comparisons,
        ranks: RankReplies,
        search: SearchReplies,
        evidence: EvidenceReplies,
    ) -> None:
        self._registry = registry
        self._comparisons = comparisons
        self._ranks = ranks
        self._search = search
        self._evidence = evidence

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
        name = requests.required("artifact", request.artifact)
        withdrawn = self._registry.withdrawn(name)
        known = withdrawn.entry if withdrawn else None
        artifact = known if isinstance(known, Artifact) else self._registry.artifact(name)
        if request.version not in (0, artifact.version):
            raise NotFound(f"version of {name}", str(request.version), [str(artifact.version)])
        message = messages.artifact(
            artifact, withdrawn=withdrawn, registered_by=self._registry.registered_by(name)
        )
        message.claims.extend(map(messages.claim, self._registry.claimed_of(name)))
        return artifact_pb2.GetArtifactResponse(artifact=message)

    async def Compare(  # type: ignore[override]  # noqa: N802
        self,
        request: compare_pb2.CompareRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> bytes:
        """See `ranker.proto`. The reply is serialised, as it is cached.

        The server sends bytes unchanged: parsing a cached reply into a message and serialising it
        again would cost more than the rest of the call.
        """
        requests.required("left", request.left)
        requests.required("right", request.right)
        return await self._comparisons.compare(request)

    async def ListVerdicts(  # noqa: N802  # the contract's name
        self,
        request: evidence_pb2.ListVerdictsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> evidence_pb2.ListVerdictsResponse:
        """See `ranker.proto`."""
        return await self._evidence.list_verdicts(request)

    async def GetEvidence(  # noqa: N802  # the contract's name
        self,
        request: evidence_pb2.GetEvidenceRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> evidence_pb2.GetEvidenceResponse:
        """See `ranker.proto`."""
        return await self._evidence.get_evidence(request)

    async def ListEvidence(  # noqa: N802  # the contract's name
        self,
        request: evidence_pb2.ListEvidenceRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> evidence_pb2.ListEvidenceResponse:
        """See `ranker.proto`."""
        return await self._evidence.list_evidence(request)

    async def GetMethodology(  # noqa: N802  # the contract's name
        self,
        request: score_pb2.GetMethodologyRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> score_pb2.GetMethodologyResponse:
        """See `ranker.proto`."""
        return self._ranks.methodology(request)

    async def GetRank(  # noqa: N802  # the contract's name
        self,
        request: rank_pb2.GetRankRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> rank_pb2.GetRankResponse:
        """See `ranker.proto`."""
        return await self._ranks.get_rank(request)

    async def ExplainRank(  # noqa: N802  # the contract's name
        self,
        request: rank_pb2.ExplainRankRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> rank_pb2.ExplainRankResponse:
        """See `ranker.proto`."""
        return await self._ranks.explain_rank(request)

    async def ListRanks(  # noqa: N802  # the contract's name
        self,
        request: rank_pb2.ListRanksRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> rank_pb2.ListRanksResponse:
        """See `ranker.proto`."""
        return await self._ranks.list_ranks(request)

    async def SearchCapabilities(  # noqa: N802  # the contract's name
        self,
        request: search_pb2.SearchCapabilitiesRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> search_pb2.SearchCapabilitiesResponse:
        """See `ranker.proto`."""
        return await self._search.search(request)


def _summary(artifact: Artifact) -> artifact_pb2.ArtifactSummary:
    return artifact_pb2.ArtifactSummary(
        id=artifact.id,
        name=artifact.name,
        type=messages.artifact_type(artifact.type),
        claim_count=len(artifact.claims),
    )
