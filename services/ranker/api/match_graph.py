"""MatchGraphService: parse, one call, build the reply."""

from __future__ import annotations

from typing import Any

import grpc
from assay_rpc.ranker.v1 import outcome_pb2, outcome_pb2_grpc, score_pb2, search_pb2

from services.errors import InvalidArgument
from services.ranker.api import messages
from services.ranker.database.match_store import MatchCounts
from services.ranker.searching.discovery import Discovery, Found
from services.ranker.searching.search import MIN_CONFIDENCE, Provider, Term

Context = grpc.aio.ServicerContext[Any, Any]

_OUTCOMES = {outcome_pb2.OUTCOME_SUCCESS: True, outcome_pb2.OUTCOME_FAILURE: False}


class MatchGraphService(outcome_pb2_grpc.OutcomeServiceServicer):
    """Finds capabilities and counts matches."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    async def SearchCapabilities(  # noqa: N802  # the contract's name
        self,
        request: search_pb2.SearchCapabilitiesRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> search_pb2.SearchCapabilitiesResponse:
        """See `match_graph.proto`."""
        kind = messages.parse_type(request.type) if request.type else None
        found = await self._discovery.search(request.intent, kind, request.limit)
        return search_pb2.SearchCapabilitiesResponse(matches=_matches(found), floor=MIN_CONFIDENCE)

    async def RecordMatch(  # noqa: N802  # the contract's name
        self,
        request: outcome_pb2.RecordMatchRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> outcome_pb2.RecordMatchResponse:
        """See `match_graph.proto`."""
        time, counts = await self._discovery.record(
            request.match_id, request.intent, request.capability_uri
        )
        return outcome_pb2.RecordMatchResponse(
            time=messages.timestamp(time), counts=_counts(counts)
        )

    async def ReportOutcome(  # noqa: N802  # the contract's name
        self,
        request: outcome_pb2.ReportOutcomeRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> outcome_pb2.ReportOutcomeResponse:
        """See `match_graph.proto`."""
        if request.outcome not in _OUTCOMES:
            raise InvalidArgument("outcome", f"{request.outcome} is neither success nor failure")
        counts = await self._discovery.report(request.match_id, _OUTCOMES[request.outcome])
        return outcome_pb2.ReportOutcomeResponse(counts=_counts(counts))


def _matches(found: Found) -> list[search_pb2.CapabilityMatch]:
    return [
        search_pb2.CapabilityMatch(
            capability=match.capability,
            name=match.name,
            confidence=match.confidence,
            terms=[_term(one) for one in match.terms],
            providers=[_provider(one, found) for one in match.providers],
        )
        for match in found.matches
    ]


def _provider(value: Provider, found: Found) -> search_pb2.Provider:
    counts = found.counts[value.artifact.id].get(value.capability.id, MatchCounts())
    return search_pb2.Provider(
        artifact=value.artifact.id,
        type=messages.artifact_type(value.artifact.type),
        capability=messages.capability(value.artifact.id, value.capability),
        confidence=value.confidence,
        counts=_counts(counts),
    )


def _term(value: Term) -> search_pb2.MatchedTerm:
    return search_pb2.MatchedTerm(term=value.word, weight=value.weight, fields=value.fields)


def _counts(value: MatchCounts) -> score_pb2.MatchCounts:
    return score_pb2.MatchCounts(
        matched=value.matched, reported=value.reported, succeeded=value.succeeded
    )
