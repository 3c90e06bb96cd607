"""Spans of real services, sent by OTLP to a real receiver; and nothing of it where it is off."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from assay_rpc.channel import connect
from assay_rpc.ranker.v1 import (
    compare_pb2,
    ranker_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)

from tests.collector import Collector, Received
from tests.conftest import RunningService, ServiceStarter
from tests.ports import free_port

_TRACE, _CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_PARENT = f"00-{_TRACE}-{_CALLER}-01"
_SEGFORMER, _PILE = "segformer-b0-finetuned-ade-512-512", "the-pile"
_SERVER, _CLIENT = 2, 3  # of OTLP's Span.SpanKind


@dataclass
class Place:
    """A ranker with its peers and a Redis, all traced."""

    collector: Collector
    ranker: RunningService


@pytest.fixture(scope="module")
def place(start_service: ServiceStarter, redis_url: str) -> Iterator[Place]:
    with Collector() as collector:

        def started(name: str, **more: str) -> RunningService:
            own = {f"ASSAY_{name.upper()}_TRACING": "true"}
            return start_service(name, {**own, **collector.variables, **more})

        with (
            started("segment") as segment,
            started("corpus") as corpus,
            started(
                "ranker",
                REDIS_URL=redis_url,
                ASSAY_RANKER_SEGMENT_ADDR=segment.address,
                ASSAY_RANKER_CORPUS_ADDR=corpus.address,
                ASSAY_RANKER_HTTP_PORT="0",
            ) as ranker,
        ):
            yield Place(collector, ranker)


def _verified(ranker: RunningService, artifact: str) -> None:
    with connect(ranker.address) as channel:
        stub = verification_pb2_grpc.VerificationServiceStub(channel)
        order = verification_pb2.SubmitVerificationRequest(artifact=artifact, request_id=artifact)
        submitted = stub.SubmitVerification(order, metadata=(("traceparent", _PARENT),))
        watch = verification_pb2.WatchJobRequest(job=submitted.job.id)
        for _ in stub.WatchJob(watch, timeout=300):
            pass


def _compared(ranker: RunningService, left: str, right: str) -> compare_pb2.CompareResponse:
    with connect(ranker.address) as channel:
        return ranker_pb2_grpc.RankerServiceStub(channel).Compare(
            compare_pb2.CompareRequest(left=left, right=right),
            metadata=(("traceparent", _PARENT),),
        )


@pytest.mark.slow
def test_a_comparison_and_what_was_verified_for_it_are_one_trace(place: Place) -> None:
    for artifact in (_SEGFORMER, _PILE):
        _verified(place.ranker, artifact)
    _compared(place.ranker, _SEGFORMER, _PILE)

    def of_ours(received: list[Received]) -> list[Received]:
        return [one for one in received if one.trace == _TRACE]

    def is_whole(received: list[Received]) -> bool:
        names = [(one.service, one.span.name) for one in of_ours(received)]
        return (
            ("assay-ranker", "assay.ranker.v1.RankerService/Compare") in names
            and names.count(("assay-ranker", "verification")) == 2
            and {service for service, _ in names}
            == {"assay-segment", "assay-corpus", "assay-ranker"}
        )

    spans = of_ours(place.collector.until(is_whole))
    by_id = {bytes(one.span.span_id).hex(): one for one in spans}

    def path(one: Received) -> list[str]:
        """Names from a span up to one whose parent was not sent."""
        parent = by_id.get(bytes(one.span.parent_span_id).hex())
        return [one.span.name, *(path(parent) if parent else ())]

    submit = "assay.ranker.v1.VerificationService/SubmitVerification"
    asked = next(one for one in spans if one.service == "assay-corpus")
    assert path(asked) == [
        "assay.corpus.v1.CorpusService/ListCorpora",
        "/assay.corpus.v1.CorpusService/ListCorpora",
        "verification",
        submit,
    ]
    assert asked.span.kind == _SERVER
    assert asked.attributes | {"assay.request_id": ""} == {
        "rpc.system": "grpc",
        "rpc.service": "assay.corpus.v1.CorpusService",
        "rpc.method": "ListCorpora",
        "rpc.grpc.status_code": 0,
        "client.address": "127.0.0.1",
        "assay.request_id": "",
    }
    looked_up = next(one for one in spans if one.span.name == "GETRANGE")
    assert path(looked_up) == ["GETRANGE", "assay.ranker.v1.RankerService/Compare"]
    assert looked_up.span.kind == _CLIENT
    assert looked_up.attributes["db.system"] == "redis"
    assert looked_up.attributes["db.statement"] == "GETRANGE ? ? ?"  # no key, no value
    # Whoever began the trace is above all of it.
    tops = {bytes(one.span.parent_span_id).hex() for one in spans} - by_id.keys()
    assert tops == {_CALLER}
    assert asked.resource["service.version"]
    assert asked.resource["host.name"]


@pytest.mark.slow
def test_log_lines_name_their_span(place: Place) -> None:
    _compared(place.ranker, _PILE, "gpt2")
    spans = place.collector.until(
        lambda received: any(one.span.name.endswith("/Compare") for one in received)
    )
    ids = {
        bytes(one.span.span_id).hex() for one in spans if one.span.name.endswith("Service/Compare")
    }
    lines = [json.loads(line) for line in place.ranker.log.read_text("utf-8").splitlines()]
    line = next(one for one in lines if one.get("method", "").endswith("/Compare"))
    assert line["trace_id"] == _TRACE
    assert line["span_id"] in ids
    assert "trace_id" not in next(one for one in lines if one["event"] == "serving")


@pytest.mark.slow
def test_a_request_by_http_is_a_span(place: Place) -> None:
    path = "/assay.ranker.v1.RankerService/Compare"
    request = urllib.request.Request(
        f"http://127.0.0.1:{place.ranker.http_port}{path}",
        json.dumps({"left": _SEGFORMER, "right": "gpt2"}).encode(),
        {"content-type": "application/json", "traceparent": _PARENT},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        assert answer.status == 200

    def wanted(received: list[Received]) -> list[Received]:
        return [one for one in received if one.span.name == f"POST {path}"]

    span = wanted(place.collector.until(lambda received: bool(wanted(received))))[0]
    assert span.trace == _TRACE
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["url.path"] == path


@pytest.mark.slow
def test_a_collector_that_is_not_there_stops_nothing(
    start_service: ServiceStarter, tmp_path: Path
) -> None:
    variables = {
        "ASSAY_RANKER_DATABASE": str(tmp_path / "evidence.sqlite"),
        "ASSAY_RANKER_TRACING": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
    }
    with start_service("ranker", variables) as ranker:
        _compared(ranker, _SEGFORMER, _PILE)
        assert ranker.stop() == 0


# What was imported is said when the service has ended. The client of Redis imports metrics of
# OpenTelemetry wherever they are installed.
_PROGRAM = """
import runpy, sys
try:
    runpy.run_module("services.{name}", run_name="__main__", alter_sys=True)
finally:
    print("imported:", [one for one in sys.modules if one.startswith({prefixes})], file=sys.stderr)
"""


_ALL = ("opentelemetry",)
_OURS = tuple(
    f"opentelemetry.{part}" for part in ("exporter", "instrumentation", "proto", "sdk.trace")
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "prefixes"), [("segment", _ALL), ("corpus", _ALL), ("ranker", _OURS)]
)
def test_off_nothing_of_it_is_imported(
    name: str,
    prefixes: tuple[str, ...],
    start_service: ServiceStarter,
    redis_url: str,
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", _PROGRAM.format(name=name, prefixes=prefixes)]
    variables = {
        "ASSAY_RANKER_DATABASE": str(tmp_path / "evidence.sqlite"),
        "REDIS_URL": redis_url,
        # A collector that is named is not enough: it may be meant for others.
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317",
    }
    with start_service(name, variables, command) as service:
        if name == "ranker":
            _compared(service, _SEGFORMER, _PILE)
    assert service.log.read_text("utf-8").splitlines()[-1] == "imported: []"
