"""A comparison -> the reply of Compare, and the same reply with its sides exchanged.

The reply is kept in the cache for the pair in canonical order, without the field `cache`.
"""

from __future__ import annotations

from assay.ranker.v1 import ranker_pb2
from google.protobuf.duration_pb2 import Duration

from services.ranker.api import rank_replies as scores
from services.ranker.api import replies
from services.ranker.cache.cache import CacheInfo
from services.ranker.comparing.compare import ComparedArtifact, Comparison
from services.ranker.methodology.reliability import PageReliability
from services.ranker.methodology.separation import Separation

SCHEMA = 2
"""Of the bytes that are kept: raise it when a change of the contract would misread older ones."""

_EXCHANGED = {
    ranker_pb2.SEPARATION_LEFT: ranker_pb2.SEPARATION_RIGHT,
    ranker_pb2.SEPARATION_RIGHT: ranker_pb2.SEPARATION_LEFT,
}


def reply(comparison: Comparison) -> ranker_pb2.CompareResponse:
    """Return the reply, all but what the cache did."""
    return ranker_pb2.CompareResponse(
        left=_side(comparison.left),
        right=_side(comparison.right),
        components=[
            ranker_pb2.ComponentComparison(
                component=row.component,
                separation=_separation(row.separation),
                what_would_separate=row.what_would_separate,
            )
            for row in comparison.components
        ],
        overall=_separation(comparison.overall),
        summary=comparison.summary,
        page_claims=[replies.claim_verdict(one) for one in comparison.page_claims],
        methodology=scores.methodology(comparison.methodology),
        as_of=comparison.as_of.isoformat(),
    )


def exchange(message: ranker_pb2.CompareResponse) -> None:
    """Exchange the sides of a reply, in place."""
    left = ranker_pb2.ComparedArtifact()
    left.CopyFrom(message.right)
    message.right.CopyFrom(message.left)
    message.left.CopyFrom(left)
    for row in message.components:
        row.separation = _EXCHANGED.get(row.separation, row.separation)
    message.overall = _EXCHANGED.get(message.overall, message.overall)


def encode(message: ranker_pb2.CompareResponse) -> bytes:
    """Return the bytes that are kept; equal replies have equal bytes."""
    return message.SerializeToString(deterministic=True)


def decode(content: bytes) -> ranker_pb2.CompareResponse:
    """Return the reply that `encode` made the bytes of; raise what protobuf does for others."""
    return ranker_pb2.CompareResponse.FromString(content)


def exchanged(content: bytes) -> bytes:
    """The bytes of the reply with its sides exchanged."""
    message = decode(content)
    exchange(message)
    return encode(message)


def cache_field(info: CacheInfo) -> bytes:
    """The bytes of the field `cache`: appended to a reply's bytes, they set it."""
    return encode(ranker_pb2.CompareResponse(cache=cache_info(info)))


def cache_info(info: CacheInfo) -> ranker_pb2.CacheInfo:
    """Return what the cache did."""
    age = Duration()
    age.FromNanoseconds(round(info.age * 1e9))
    status = ranker_pb2.CacheStatus.Value(f"CACHE_STATUS_{info.status.value}")
    return ranker_pb2.CacheInfo(status=status, age=age)


def _side(value: ComparedArtifact) -> ranker_pb2.ComparedArtifact:
    return ranker_pb2.ComparedArtifact(
        artifact=replies.artifact(value.dossier.artifact),
        score=scores.score(value.score),
        reliability=_reliability(value.reliability),
        claims=[replies.claim_verdict(one) for one in value.dossier.verdicts],
        matches=ranker_pb2.MatchCounts(
            matched=value.dossier.matched,
            reported=value.dossier.outcomes.reported,
            succeeded=value.dossier.outcomes.succeeded,
        ),
    )


def _reliability(value: PageReliability) -> ranker_pb2.PageReliability:
    return ranker_pb2.PageReliability(
        mean=value.mean,
        interval=replies.interval(value.interval),
        confirmed=value.confirmed,
        refuted=value.refuted,
        undecided=value.undecided,
        bounds=replies.interval(value.bounds),
    )


def _separation(value: Separation) -> ranker_pb2.Separation.ValueType:
    return ranker_pb2.Separation.Value(f"SEPARATION_{value.value}")
