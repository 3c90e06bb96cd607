"""Scores, ranks and explanations -> messages of the contract."""

from __future__ import annotations

from assay.ranker.v1 import ranker_pb2 as pb
from assay.ranker.v1 import ranks_pb2

from services.ranker.api import replies
from services.ranker.claims.model import ArtifactType
from services.ranker.methodology.components import Component
from services.ranker.methodology.definition import Methodology
from services.ranker.methodology.explain import Contribution
from services.ranker.methodology.ranking import Rank
from services.ranker.methodology.score import Score


def methodology(value: Methodology) -> pb.MethodologyRef:
    """Return which methodology."""
    return pb.MethodologyRef(version=value.version, digest=value.digest)


def score(value: Score) -> pb.Score:
    """Return a score with its components."""
    return pb.Score(
        low=value.low,
        point=value.point,
        high=value.high,
        coverage=value.coverage,
        components=[component(one) for one in value.components],
        methodology_digest=value.methodology_digest,
        as_of=value.as_of.isoformat(),
    )


def component(value: Component) -> pb.Component:
    """Return one component."""
    return pb.Component(
        name=value.name,
        weight=value.weight,
        low=value.low,
        point=value.point,
        high=value.high,
        coverage=value.coverage,
        explanation=value.explanation,
        evidence=value.evidence,
    )


def rank(value: Rank, hardware: str) -> ranks_pb2.Rank:
    """Return the place of an artifact, its score included."""
    return ranks_pb2.Rank(
        artifact=value.side.id,
        type=replies.artifact_type(ArtifactType(value.side.type)),
        score=score(value.side.score),
        tie_group=value.tie_group,
        best_place=value.best_place,
        worst_place=value.worst_place,
        of=value.of,
        not_separable_from=value.not_separable_from,
        hardware=hardware,
    )


def contribution(value: Contribution) -> ranks_pb2.Contribution:
    """Return one term of a score."""
    return ranks_pb2.Contribution(
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
