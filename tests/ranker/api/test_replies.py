"""Every value of the ranker's model has its message, and nothing is lost on the way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from assay.ranker.v1 import ranker_pb2

from services.ranker.api import replies
from services.ranker.api.compare_reply import cache_info
from services.ranker.cache.cache import CacheInfo, CacheStatus
from services.ranker.claims.model import (
    ArtifactType,
    Basis,
    Boolean,
    Bound,
    Equals,
    PublishedScore,
    Range,
    Ratio,
    SubjectRelation,
    Text,
    Verdict,
)
from services.ranker.methodology.separation import Separation
from tests.ranker.dossiers import NOON, artifact, claim, evidence, verdict


@pytest.mark.parametrize(
    ("message", "prefix", "values"),
    [
        (ranker_pb2.ArtifactType, "ARTIFACT_TYPE_", ArtifactType),
        (ranker_pb2.Verdict, "VERDICT_", Verdict),
        (ranker_pb2.Basis, "BASIS_", Basis),
        (ranker_pb2.SubjectRelation, "SUBJECT_RELATION_", SubjectRelation),
        (ranker_pb2.Separation, "SEPARATION_", Separation),
        (ranker_pb2.CacheStatus, "CACHE_STATUS_", CacheStatus),
    ],
)
def test_enums_are_the_contracts(message: object, prefix: str, values: object) -> None:
    names = {f"{prefix}{one.value}" for one in values}  # type: ignore[attr-defined]
    assert {*names, f"{prefix}UNSPECIFIED"} == set(message.keys())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (Equals(50.3, 0.05, "%"), {"equals": {"value": 50.3, "tolerance": 0.05}, "unit": "%"}),
        (Range(None, 3.0, "s"), {"range": {"high": 3.0}, "unit": "s"}),
        (Range(0.0, None, "s"), {"range": {"low": 0.0}, "unit": "s"}),
        (Ratio(3.0, 5.0), {"ratio": {"low": 3.0, "high": 5.0}, "unit": "1"}),
        (Text("x"), {"text": "x"}),
        (Boolean(False), {"boolean": False}),
    ],
)
def test_bounds(bound: Bound, expected: dict[str, object]) -> None:
    message = replies.claim(replace(claim("c", "g"), bound=bound))
    assert message.bound == ranker_pb2.Bound(**expected)  # type: ignore[arg-type]


def test_a_claim_without_a_bound_has_none() -> None:
    assert not replies.claim(replace(claim("c", "g"), bound=None)).HasField("bound")


@pytest.mark.parametrize(("content", "kind"), [(0.0, "number"), ("", "text"), (False, "boolean")])
def test_empty_values_keep_their_kind(content: float | str | bool, kind: str) -> None:
    assert replies.evidence(evidence("c", content)).value.WhichOneof("kind") == kind


def test_evidence_keeps_machine_and_time() -> None:
    machine: dict[str, object] = {
        "cpu": "Test CPU",
        "cpu_count": 2,
        "memory_bytes": 8 << 30,
        "accelerators": ["Test GPU"],
        "versions": {"onnxruntime": "1.22.0"},
        "load": 0.5,
        "time": "2026-01-15T12:00:00Z",
        "added-later": 1,
    }
    message = replies.evidence(evidence("c", 1.0, "s", low=0.5, high=2, environment=machine))
    assert message.environment.cpu_count == 2
    assert message.environment.memory_bytes == 8 << 30
    assert list(message.environment.accelerators) == ["Test GPU"]
    assert dict(message.environment.versions) == {"onnxruntime": "1.22.0"}
    assert message.environment.time.seconds == message.time.seconds == int(NOON.timestamp())
    assert (message.interval.low, message.interval.high, message.interval.level) == (0.5, 2, 0.99)


def test_a_verdict_without_evidence_has_none_and_no_basis() -> None:
    message = replies.claim_verdict(verdict(claim("c", "g"), Verdict.UNDERSPECIFIED))
    assert not message.HasField("evidence")
    assert message.basis == ranker_pb2.BASIS_UNSPECIFIED


def test_a_published_score_comes_with_its_bounds() -> None:
    bits = {"adoption": 1, "quality": 1, "ecosystem": 0, "match_graph": 0}
    value = replace(
        artifact("a", ArtifactType.DATASET, ()), published=PublishedScore(59, "a page", bits)
    )
    message = replies.artifact(value)
    assert (message.published.feasible.low, message.published.feasible.high) == (25, 82)
    assert message.published.feasible.level == 0
    assert dict(message.published.printed_components) == bits
    assert not replies.artifact(replace(value, published=None)).HasField("published")


def test_cache_age_is_kept_to_the_nanosecond() -> None:
    message = cache_info(CacheInfo(CacheStatus.HIT, 1.25))
    assert message.status == ranker_pb2.CACHE_STATUS_HIT
    assert message.age.ToNanoseconds() == 1_250_000_000
