"""Every value of the ranker's model has its message, and nothing is lost on the way."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.ranker.v1 import artifact_pb2, claim_pb2, compare_pb2, evidence_pb2

from services.ranker.api import evidence_messages, messages
from services.ranker.api.comparisons import cache_info
from services.ranker.cache.cache import CacheInfo, CacheStatus
from services.ranker.claims.bounds import Boolean, Bound, Equals, Interval, Range, Ratio, Text
from services.ranker.claims.findings import NotMeasured, UnmeasuredReason
from services.ranker.claims.model import (
    ArtifactType,
    Basis,
    Input,
    PublishedScore,
    Source,
    SubjectRelation,
    Undecidable,
    Verdict,
)
from services.ranker.methodology.separation import Separation
from tests.ranker.records import NOON, artifact, claim, evidence, verdict


@pytest.mark.parametrize(
    ("message", "prefix", "values"),
    [
        (artifact_pb2.ArtifactType, "ARTIFACT_TYPE_", ArtifactType),
        (evidence_pb2.Verdict, "VERDICT_", Verdict),
        (evidence_pb2.Basis, "BASIS_", Basis),
        (evidence_pb2.SubjectRelation, "SUBJECT_RELATION_", SubjectRelation),
        (compare_pb2.Separation, "SEPARATION_", Separation),
        (compare_pb2.CacheStatus, "CACHE_STATUS_", CacheStatus),
    ],
)
def test_enums_are_the_contracts(message: object, prefix: str, values: object) -> None:
    names = {f"{prefix}{one.value}" for one in values}  # type: ignore[attr-defined]
    known = set(message.keys())  # type: ignore[attr-defined]
    assert {*names, f"{prefix}UNSPECIFIED"} == known


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
    message = messages.claim(replace(claim("c", "g"), bound=bound))
    assert message.bound == claim_pb2.Bound(**expected)  # type: ignore[arg-type]


def test_a_claim_without_a_bound_has_none() -> None:
    assert not messages.claim(replace(claim("c", "g"), bound=None)).HasField("bound")


@pytest.mark.parametrize(("content", "kind"), [(0.0, "number"), ("", "text"), (False, "boolean")])
def test_empty_values_keep_their_kind(content: float | str | bool, kind: str) -> None:
    assert evidence_messages.evidence(evidence("c", content), "a").value.WhichOneof("kind") == kind


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
    message = evidence_messages.evidence(
        evidence("c", 1.0, "s", low=0.5, high=2, environment=machine), "a"
    )
    assert message.environment.cpu_count == 2
    assert message.environment.memory_bytes == 8 << 30
    assert [one.name for one in message.environment.accelerators] == ["Test GPU"]
    assert dict(message.environment.versions) == {"onnxruntime": "1.22.0"}
    assert (
        message.environment.read_time.seconds
        == message.measure_time.seconds
        == int(NOON.timestamp())
    )
    assert (message.interval.low, message.interval.high, message.interval.level) == (0.5, 2, 0.99)


def test_evidence_says_what_was_measured_and_by_what() -> None:
    kept = replace(
        evidence("c", 1.0, "s", low=0.5, high=2.0),
        owner="a",
        subject={
            "type": "SEGMENTATION_MODEL",
            "name": "m",
            "classes": 150,
            "input_height": 512,
            "weights": "RANDOM",
            "revision": "2",
            "splits": ["test"],
        },
        engine={"id": "openvino-cpu", "precision": "FP32", "threads": 2},
        sources=(Source("a paper"), Source("b", values=(1.0, 2.0)), Source("c", says=True)),
        inputs=(Input("sha256:1"), Input("sha256:2", "model", "tiny")),
        breakdown={"b": 2.0},
        content=b"{}",
    )
    message = evidence_messages.evidence(kept, "")
    assert message.claim == "a/c"
    assert message.subject == evidence_pb2.Subject(
        type=artifact_pb2.ARTIFACT_TYPE_SEGMENTATION_MODEL,
        name="m",
        classes=150,
        input_height=512,
        weights=common_pb2.WEIGHTS_KIND_RANDOM,
        revision="2",
        digest="sha256:subject",
        splits=["test"],
    )
    assert message.engine == common_pb2.Engine(
        id="openvino-cpu", precision=common_pb2.PRECISION_FP32, threads=2
    )
    assert list(message.sources) == [
        claim_pb2.Source(title="a paper"),
        claim_pb2.Source(title="b", values=[1.0, 2.0]),
        claim_pb2.Source(title="c", quote="true"),
    ]
    assert list(message.inputs) == [
        evidence_pb2.Input(digest="sha256:1"),
        evidence_pb2.Input(digest="sha256:2", role="model", name="tiny"),
    ]
    assert list(message.parts) == [evidence_pb2.Part(name="b", value=2.0)]
    assert message.interval.kind == common_pb2.INTERVAL_KIND_CONFIDENCE
    assert message.content == b"{}"


def test_older_evidence_has_the_owner_of_its_claim_and_an_open_end_is_absent() -> None:
    old = replace(evidence("c", 1.0, "s"), interval=Interval(0.5, math.inf))
    message = evidence_messages.evidence(old, "a")
    assert message.claim == "a/c"
    assert message.subject == evidence_pb2.Subject(digest="sha256:subject")
    assert not message.HasField("engine")
    assert message.interval == common_pb2.Interval(low=0.5, kind=common_pb2.INTERVAL_KIND_BOUNDS)


def test_a_verdict_without_evidence_has_none_and_no_basis() -> None:
    message = evidence_messages.claim_verdict(verdict(claim("c", "g"), Verdict.UNDERSPECIFIED))
    assert not message.HasField("evidence")
    assert message.basis == evidence_pb2.BASIS_UNSPECIFIED


def test_a_published_score_comes_with_its_bounds() -> None:
    bits = {"adoption": 1, "quality": 1, "ecosystem": 0, "match_graph": 0}
    value = replace(
        artifact("a", ArtifactType.DATASET, ()), published=PublishedScore(59, "a page", bits)
    )
    message = messages.artifact(value)
    (published,) = message.published
    assert (published.feasible.low, published.feasible.high) == (25, 82)
    assert published.feasible.kind == common_pb2.INTERVAL_KIND_ALTERNATIVES
    assert dict(published.printed_components) == bits
    assert not messages.artifact(replace(value, published=None)).published


def test_cache_age_is_kept_to_the_nanosecond() -> None:
    message = cache_info(CacheInfo(CacheStatus.HIT, 1.25))
    assert message.status == compare_pb2.CACHE_STATUS_HIT
    assert message.age.ToNanoseconds() == 1_250_000_000


def test_what_a_figure_cannot_decide_is_not_remedied_by_measuring_it() -> None:
    why = NotMeasured("it is not served", UnmeasuredReason.NOT_SERVED, "serve it")
    open_ = replace(claim("c", "g"), undecidable=Undecidable(Verdict.NOT_TESTABLE_HERE, "why"))
    told = [
        evidence_messages.claim_verdict(
            replace(verdict(one, Verdict.NOT_TESTABLE_HERE), not_measured=why)
        ).not_measured.remedy
        for one in (claim("c", "g"), open_)
    ]
    assert told == ["serve it", "serve it; the figure is then shown, and decides nothing"]
