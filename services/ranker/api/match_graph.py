"""MatchGraphService: parse, one call, build the reply."""

from __future__ import annotations

from typing import Any

import grpc
from assay.ranker.v1 import match_graph_pb2 as pb
from assay.ranker.v1 import match_graph_pb2_grpc as pb_grpc
from assay.ranker.v1 import ranker_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.errors import InvalidArgument, Unavailable
from services.ranker.api import replies, requests
from services.ranker.database.match_store import MatchCounts
from services.ranker.searching.discovery import Discovery, Found
from services.ranker.searching.search import FLOOR, Provider, Term

Context = grpc.aio.ServicerContext[Any, Any]

_OUTCOMES = {pb.OUTCOME_SUCCESS: True, pb.OUTCOME_FAILURE: False}


class MatchGraphService(pb_grpc.MatchGraphServiceServicer):
    """Finds capabilities and counts matches. Give it its part with `attach` once it is open."""

    def __init__(self) -> None:
        self._discovery: Discovery | None = None

    def attach(self, discovery: Discovery) -> None:
        """Take what searches and counts."""
        self._discovery = discovery

    async def SearchCapabilities(  # noqa: N802  # the contract's name
        self,
        request: pb.SearchCapabilitiesRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.SearchCapabilitiesResponse:
        """See `match_graph.proto`."""
        kind = requests.parse_type(request.type) if request.type else None
        found = await self._opened().search(request.intent, kind, request.limit)
        return pb.SearchCapabilitiesResponse(matches=_matches(found), floor=FLOOR)

    async def RecordMatch(  # noqa: N802  # the contract's name
        self,
        request: pb.RecordMatchRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.RecordMatchResponse:
        """See `match_graph.proto`."""
        time, counts = await self._opened().record(
            request.match_id, request.intent, request.capability_uri
        )
        stamp = Timestamp()
        stamp.FromDatetime(time)
        return pb.RecordMatchResponse(time=stamp, counts=_counts(counts))

    async def ReportOutcome(  # noqa: N802  # the contract's name
        self,
        request: pb.ReportOutcomeRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ReportOutcomeResponse:
        """See `match_graph.proto`."""
        if request.outcome not in _OUTCOMES:
            raise InvalidArgument("outcome", f"{request.outcome} is neither success nor failure")
        counts = await self._opened().report(request.match_id, _OUTCOMES[request.outcome])
        return pb.ReportOutcomeResponse(counts=_counts(counts))

    def _opened(self) -> Discovery:
        if self._discovery is None:
            raise Unavailable("the ranker is still starting")
        return self._discovery


def _matches(found: Found) -> list[pb.CapabilityMatch]:
    return [
        pb.CapabilityMatch(
            capability=match.capability,
            name=match.name,
            confidence=match.confidence,
            terms=[_term(one) for one in match.terms],
            providers=[_provider(one, found) for one in match.providers],
        )
        for match in found.matches
    ]


def _provider(value: Provider, found: Found) -> pb.Provider:
    counts = found.counts[value.artifact.id].get(value.capability.id, MatchCounts())
    return pb.Provider(
        artifact=value.artifact.id,
        type=replies.artifact_type(value.artifact.type),
        capability=replies.capability(value.artifact.id, value.capability),
        confidence=value.confidence,
        counts=_counts(counts),
    )


def _term(value: Term) -> pb.MatchedTerm:
    return pb.MatchedTerm(term=value.word, weight=value.weight, fields=value.fields)


def _counts(value: MatchCounts) -> ranker_pb2.MatchCounts:
    return ranker_pb2.MatchCounts(
        matched=value.matched, reported=value.reported, succeeded=value.succeeded
    )
