"""The rpc of RankerService that finds capabilities."""

from __future__ import annotations

from assay_rpc.ranker.v1 import search_pb2

from services.ranker.api import messages, requests
from services.ranker.database.match_store import MatchCounts
from services.ranker.searching.discovery import Discovery, SearchResult
from services.ranker.searching.search import MIN_CONFIDENCE, Provider, Term


class SearchReplies:
    """Finds the capabilities that serve an intent."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery

    async def search(
        self, request: search_pb2.SearchCapabilitiesRequest
    ) -> search_pb2.SearchCapabilitiesResponse:
        """See `ranker.proto`."""
        kind = requests.parse_type(request.type) if request.type else None
        found = await self._discovery.search(request.intent, kind, request.limit)
        return search_pb2.SearchCapabilitiesResponse(matches=_matches(found), floor=MIN_CONFIDENCE)


def _matches(found: SearchResult) -> list[search_pb2.CapabilityMatch]:
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


def _provider(value: Provider, found: SearchResult) -> search_pb2.Provider:
    counts = found.counts[value.artifact.id].get(value.capability.id, MatchCounts())
    return search_pb2.Provider(
        artifact=value.artifact.id,
        type=messages.artifact_type(value.artifact.type),
        capability=messages.capability(value.artifact.id, value.capability),
        confidence=value.confidence,
        counts=messages.match_counts(
            counts.matched,
            counts.reported,
            counts.succeeded,
            counts.anonymous,
            len(counts.operators),
        ),
    )


def _term(value: Term) -> search_pb2.MatchedTerm:
    return search_pb2.MatchedTerm(term=value.word, weight=value.weight, fields=value.fields)
