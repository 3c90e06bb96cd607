"""The ranker's reads, from its own servicer or through a stub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from assay_rpc.ranker.v1 import (
    artifact_pb2,
    compare_pb2,
    evidence_pb2,
    rank_pb2,
    score_pb2,
    search_pb2,
)

Call = Callable[[str, Any], Awaitable[Any]]
"""Calls a method of RankerService by its name."""

_PAGE = 1000


def of_servicer(servicer: Any) -> Call:
    """Calls the servicer in this process."""

    async def call(method: str, request: Any) -> Any:
        reply = await getattr(servicer, method)(request, None)
        # Compare gives its reply serialised, as it is cached.
        return compare_pb2.CompareResponse.FromString(reply) if isinstance(reply, bytes) else reply

    return call


def of_stub(stub: Any, seconds: float) -> Call:
    """Calls a running ranker; each call may take so many seconds."""

    async def call(method: str, request: Any) -> Any:
        return await getattr(stub, method)(request, timeout=seconds)

    return call


@dataclass(frozen=True)
class Owner:
    """Who states claims, an artifact or a page, and their verdicts."""

    id: str
    name: str
    compares: tuple[str, ...]
    claims: tuple[evidence_pb2.ClaimVerdict, ...]


class Reads:
    """What pages show. Lists come whole."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def artifacts(self) -> list[artifact_pb2.ArtifactSummary]:
        """Every registered artifact."""
        request = artifact_pb2.ListArtifactsRequest(page_size=_PAGE)
        return [
            one async for page in self._pages("ListArtifacts", request) for one in page.artifacts
        ]

    async def artifact(self, name: str) -> artifact_pb2.Artifact:
        """An artifact."""
        reply = await self._call("GetArtifact", artifact_pb2.GetArtifactRequest(artifact=name))
        found: artifact_pb2.Artifact = reply.artifact
        return found

    async def owner(self, name: str) -> Owner:
        """An artifact or a page with the verdicts on what it claims."""
        request = evidence_pb2.ListVerdictsRequest(owner=name, page_size=_PAGE)
        pages = [one async for one in self._pages("ListVerdicts", request)]
        claims = tuple(claim for page in pages for claim in page.claims)
        return Owner(name, pages[0].name, tuple(pages[0].compares), claims)

    async def compare(self, left: str, right: str) -> compare_pb2.CompareResponse:
        """A comparison."""
        request = compare_pb2.CompareRequest(left=left, right=right)
        reply: compare_pb2.CompareResponse = await self._call("Compare", request)
        return reply

    async def ranks(self, kind: artifact_pb2.ArtifactType.ValueType) -> list[rank_pb2.Rank]:
        """The places of a type's artifacts."""
        request = rank_pb2.ListRanksRequest(type=kind, page_size=_PAGE)
        return [one async for page in self._pages("ListRanks", request) for one in page.ranks]

    async def rank(self, name: str) -> rank_pb2.Rank:
        """An artifact's place."""
        reply = await self._call("GetRank", rank_pb2.GetRankRequest(artifact=name))
        found: rank_pb2.Rank = reply.rank
        return found

    async def explanation(self, name: str) -> rank_pb2.ExplainRankResponse:
        """What an artifact's score is the sum of."""
        request = rank_pb2.ExplainRankRequest(artifact=name)
        reply: rank_pb2.ExplainRankResponse = await self._call("ExplainRank", request)
        return reply

    async def evidence(self, digest: str) -> evidence_pb2.Evidence:
        """A piece of evidence."""
        reply = await self._call("GetEvidence", evidence_pb2.GetEvidenceRequest(digest=digest))
        found: evidence_pb2.Evidence = reply.evidence
        return found

    async def evidence_of(self, claim: str) -> list[evidence_pb2.Evidence]:
        """All evidence on a claim, the newest first."""
        request = evidence_pb2.ListEvidenceRequest(claim=claim, page_size=_PAGE)
        return [one async for page in self._pages("ListEvidence", request) for one in page.evidence]

    async def methodology(self) -> score_pb2.GetMethodologyResponse:
        """The file that scores are computed by."""
        reply: score_pb2.GetMethodologyResponse = await self._call(
            "GetMethodology", score_pb2.GetMethodologyRequest()
        )
        return reply

    async def search(self, intent: str) -> search_pb2.SearchCapabilitiesResponse:
        """What serves an intent."""
        request = search_pb2.SearchCapabilitiesRequest(intent=intent, limit=20)
        reply: search_pb2.SearchCapabilitiesResponse = await self._call(
            "SearchCapabilities", request
        )
        return reply

    async def _pages(self, method: str, request: Any) -> AsyncIterator[Any]:
        while True:
            reply = await self._call(method, request)
            yield reply
            request.page_token = reply.next_page_token
            if not request.page_token:
                return
