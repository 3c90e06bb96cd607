"""The rpcs of RankerService that give ranks and the methodology."""

from __future__ import annotations

import hashlib

from assay_rpc.ranker.v1 import rank_pb2, score_pb2

from services.errors import InvalidArgument, NotFound
from services.ranker.api import evidence_messages, messages, requests
from services.ranker.claims.model import ArtifactType
from services.ranker.comparing.ranks import Ranking, Ranks
from services.ranker.methodology.explain import Contribution
from services.ranker.methodology.load import PACKAGED
from services.ranker.methodology.ranking import Rank
from services.ranker.searching.discovery import Discovery
from services.rpc.pagination import page


class RankReplies:
    """Ranks artifacts: of a type, or those that `discovery` finds for an intent."""

    def __init__(self, ranks: Ranks, discovery: Discovery) -> None:
        self._ranks = ranks
        self._discovery = discovery

    def methodology(
        self, request: score_pb2.GetMethodologyRequest
    ) -> score_pb2.GetMethodologyResponse:
        """See `ranker.proto`."""
        methodology = self._ranks.methodology
        if request.version and request.version != methodology.version:
            raise NotFound("methodology", request.version, [methodology.version])
        requests.check_methodology(request.digest, methodology)
        return score_pb2.GetMethodologyResponse(
            methodology=messages.methodology(methodology), content=PACKAGED.read_bytes()
        )

    async def get_rank(self, request: rank_pb2.GetRankRequest) -> rank_pb2.GetRankResponse:
        """See `ranker.proto`."""
        requests.check_methodology(request.methodology_digest, self._ranks.methodology)
        hardware = requests.hardware(request.hardware)
        ranking, rank = await self._ranks.of_artifact(
            requests.required("artifact", request.artifact),
            request.as_of,
            hardware,
            request.profile,
        )
        return rank_pb2.GetRankResponse(
            rank=_rank(rank, ranking),
            methodology=messages.methodology(self._ranks.methodology),
        )

    async def explain_rank(
        self, request: rank_pb2.ExplainRankRequest
    ) -> rank_pb2.ExplainRankResponse:
        """See `ranker.proto`."""
        requests.check_methodology(request.methodology_digest, self._ranks.methodology)
        hardware = requests.hardware(request.hardware)
        explained = await self._ranks.explain(
            requests.required("artifact", request.artifact),
            request.as_of,
            hardware,
            request.profile,
        )
        return rank_pb2.ExplainRankResponse(
            score=messages.score(explained.score),
            contributions=[_contribution(one) for one in explained.contributions],
            evidence=[
                evidence_messages.evidence(one, request.artifact) for one in explained.evidence
            ],
            methodology=messages.methodology(self._ranks.methodology),
        )

    async def list_ranks(self, request: rank_pb2.ListRanksRequest) -> rank_pb2.ListRanksResponse:
        """See `ranker.proto`."""
        requests.check_methodology(request.methodology_digest, self._ranks.methodology)
        rankings = await self._rankings(request)
        listed = [
            (ranking, place, places)
            for ranking in rankings
            for place, places in enumerate(ranking.places)
            if not request.profile or places.profile == request.profile
        ]
        shown, token = page(
            [
                (ranking, place, number, rank)
                for ranking, place, places in listed
                for number, rank in enumerate(places.ranks)
            ],
            request.page_size,
            request.page_token,
            lambda row: (row[0].type, f"{row[1]:06}", f"{row[2]:06}"),
        )
        digests = "".join(one.evidence_digest for one in rankings)
        here = {(ranking.type, rank.score.profile) for ranking, _, _, rank in shown}
        return rank_pb2.ListRanksResponse(
            ranks=[_rank(rank, ranking) for ranking, _, _, rank in shown],
            next_page_token=token,
            methodology=messages.methodology(self._ranks.methodology),
            evidence_digest="sha256:" + hashlib.sha256(digests.encode()).hexdigest(),
            profiles=[
                rank_pb2.RankedProfile(
                    type=messages.artifact_type(ranking.type),
                    profile=places.profile,
                    level=places.level,
                )
                for ranking, _, places in listed
                if (ranking.type, places.profile) in here
            ],
        )

    async def _rankings(self, request: rank_pb2.ListRanksRequest) -> list[Ranking]:
        """One ranking for each type that was requested or that serves the intent."""
        which = request.WhichOneof("which")
        wanted = (request.as_of, requests.hardware(request.hardware), request.profile)
        if which is None:
            raise InvalidArgument("which", "say a type, an intent or artifacts")
        if which == "type":
            return [await self._ranks.of_type(requests.parse_type(request.type), *wanted)]
        if which == "artifacts":
            names = requests.limited("artifacts", request.artifacts.artifacts)
            return [await self._ranks.of_list(names, *wanted)]
        serving = await self._discovery.serving(request.intent)
        by_type = {kind: [one for one in serving if one.type is kind] for kind in ArtifactType}
        return [
            await self._ranks.of_these(artifacts, *wanted)
            for artifacts in by_type.values()
            if artifacts
        ]


def _rank(value: Rank, ranking: Ranking) -> rank_pb2.Rank:
    return rank_pb2.Rank(
        artifact=value.artifact,
        type=messages.artifact_type(ranking.type),
        score=messages.score(value.score),
        best_place=value.best_place,
        worst_place=value.worst_place,
        ranked_count=value.of,
        not_separable_from=value.not_separable_from,
        hardware=ranking.hardware,
        profile=value.score.profile,
        beats=value.beats,
        measured_on=value.on,
        reporters=ranking.outcomes[value.artifact],
    )


def _contribution(value: Contribution) -> score_pb2.Contribution:
    return score_pb2.Contribution(
        component=value.component,
        metric=value.metric,
        max_points=value.max_points,
        low=value.low,
        point=value.point,
        high=value.high,
        known=value.known,
        explanation=value.explanation,
        evidence=value.evidence,
    )
