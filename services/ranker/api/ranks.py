"""RankService: parse, one call, build the reply."""

from __future__ import annotations

import hashlib
from typing import Any

import grpc
from assay.ranker.v1 import ranks_pb2 as pb
from assay.ranker.v1 import ranks_pb2_grpc as pb_grpc

from services.errors import InvalidArgument, NotFound, Unavailable
from services.ranker.api import rank_replies, replies, requests
from services.ranker.claims.model import ArtifactType
from services.ranker.comparing.ranks import Ranking, Ranks
from services.ranker.methodology.load import V1
from services.ranker.searching.discovery import Discovery
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]


class RankService(pb_grpc.RankServiceServicer):
    """Ranks artifacts. Give it its parts with `attach` once they are open."""

    def __init__(self) -> None:
        self._parts: tuple[Ranks, Discovery] | None = None

    def attach(self, ranks: Ranks, discovery: Discovery) -> None:
        """Take what ranks, and what finds the artifacts that serve an intent."""
        self._parts = ranks, discovery

    async def GetMethodology(  # noqa: N802  # the contract's name
        self,
        request: pb.GetMethodologyRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.GetMethodologyResponse:
        """See `ranks.proto`."""
        methodology = self._opened()[0].methodology
        for given, known in (
            (request.version, methodology.version),
            (request.digest, methodology.digest),
        ):
            if given and given != known:
                raise NotFound("methodology", given, [known])
        return pb.GetMethodologyResponse(
            methodology=rank_replies.methodology(methodology), content=V1.read_bytes()
        )

    async def GetRank(  # noqa: N802  # the contract's name
        self,
        request: pb.GetRankRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.GetRankResponse:
        """See `ranks.proto`."""
        ranks, _ = self._opened()
        rank, hardware = await ranks.of_artifact(
            requests.required("artifact", request.artifact), request.as_of, request.hardware
        )
        return pb.GetRankResponse(
            rank=rank_replies.rank(rank, hardware),
            methodology=rank_replies.methodology(ranks.methodology),
        )

    async def ExplainRank(  # noqa: N802  # the contract's name
        self,
        request: pb.ExplainRankRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ExplainRankResponse:
        """See `ranks.proto`."""
        ranks, _ = self._opened()
        explained = await ranks.explain(
            requests.required("artifact", request.artifact), request.as_of, request.hardware
        )
        return pb.ExplainRankResponse(
            score=rank_replies.score(explained.score),
            contributions=[rank_replies.contribution(one) for one in explained.contributions],
            evidence=[replies.evidence(one) for one in explained.evidence],
            methodology=rank_replies.methodology(ranks.methodology),
        )

    async def ListRanks(  # noqa: N802  # the contract's name
        self,
        request: pb.ListRanksRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ListRanksResponse:
        """See `ranks.proto`."""
        ranks, _ = self._opened()
        rankings = await self._rankings(request)
        rows = [(one, ranking.hardware) for ranking in rankings for one in ranking.ranks]
        shown, token = page(
            rows,
            request.page_size,
            request.page_token,
            lambda row: (row[0].side.type, f"{row[0].tie_group:06}", row[0].side.id),
        )
        digests = "".join(one.evidence_digest for one in rankings)
        return pb.ListRanksResponse(
            ranks=[rank_replies.rank(one, hardware) for one, hardware in shown],
            next_page_token=token,
            methodology=rank_replies.methodology(ranks.methodology),
            evidence_digest="sha256:" + hashlib.sha256(digests.encode()).hexdigest(),
        )

    async def _rankings(self, request: pb.ListRanksRequest) -> list[Ranking]:
        """One ranking for each type that was asked for or that serves the intent."""
        ranks, discovery = self._opened()
        which = request.WhichOneof("which")
        if which is None:
            raise InvalidArgument("which", "say a type or an intent")
        if which == "type":
            kind = requests.parse_type(request.type)
            return [await ranks.of_type(kind, request.as_of, request.hardware)]
        serving = await discovery.serving(request.intent)
        by_type = {kind: [one for one in serving if one.type is kind] for kind in ArtifactType}
        return [
            await ranks.of_these(artifacts, request.as_of, request.hardware)
            for artifacts in by_type.values()
            if artifacts
        ]

    def _opened(self) -> tuple[Ranks, Discovery]:
        if self._parts is None:
            raise Unavailable("the ranker is still starting")
        return self._parts
