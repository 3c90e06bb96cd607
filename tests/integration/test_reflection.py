"""`buf curl`, a client that knows nothing of the contract, lists and calls every service."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]

BUF = Path(sys.executable).with_name("buf")
STANDARD = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}

# The services of each server, and a method of it that answers without any data.
SERVERS: dict[str, tuple[set[str], str, str]] = {
    "segment": (
        {
            *(f"assay.segment.v1.Segment{name}Service" for name in ("", "Admin", "Benchmark")),
            "inference.GRPCInferenceService",
        },
        "assay.segment.v1.SegmentService/ListModels",
        "models",
    ),
    "corpus": (
        {
            *(
                f"assay.corpus.v1.{name}Service"
                for name in ("Corpus", "CorpusBenchmark", "Scoring")
            ),
            "assay.audit.v1alpha1.AuditService",
            "assay.audit.v1alpha1.CorpusAuditService",
        },
        "assay.corpus.v1.ScoringService/ListLanguageModels",
        "models",
    ),
    "ranker": (
        {
            f"assay.ranker.v1.{name}Service"
            for name in ("Ranker", "RankerAdmin", "Outcome", "Verification")
        },
        "assay.ranker.v1.RankerService/ListArtifacts",
        "artifacts",
    ),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, start_service: Any) -> Iterator[tuple[str, str]]:
    """Each server's name and address."""
    with start_service(request.param) as service:
        yield request.param, service.address


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUF, "curl", "--http2-prior-knowledge", "--protocol", "grpc", *arguments],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_its_services_are_listed(server: tuple[str, str]) -> None:
    name, address = server
    listed = curl("--list-services", f"http://{address}")
    assert listed.returncode == 0, listed.stderr
    assert set(listed.stdout.split()) == SERVERS[name][0] | STANDARD


def test_a_method_is_called(server: tuple[str, str]) -> None:
    name, address = server
    _, method, field = SERVERS[name]
    called = curl("--data", "{}", f"http://{address}/{method}")
    assert called.returncode == 0, called.stderr
    assert json.loads(called.stdout)[field]


def test_an_error_arrives_with_its_reason(server: tuple[str, str]) -> None:
    name, address = server
    called = curl("--data", '{"pageToken": "made up"}', f"http://{address}/{SERVERS[name][1]}")
    problem = json.loads(called.stderr)
    assert problem["code"] == "invalid_argument"
    reasons = [
        ErrorInfo.FromString(base64.b64decode(detail["value"] + "==")).reason
        for detail in problem["details"]
        if detail["type"] == "google.rpc.ErrorInfo"
    ]
    assert reasons == ["INVALID_ARGUMENT"]
