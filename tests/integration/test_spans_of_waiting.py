"""Spans below a call's own: what segment did with a picture, and what the database was told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from assay_rpc.channel import connect
from assay_rpc.ranker.v1 import outcome_pb2, outcome_pb2_grpc
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc

from benchmarks.faults.callers import picture
from tests.collector import Collector, Received
from tests.conftest import ServiceStarter
from tests.postgres import PostgresServer, programs

pytestmark = pytest.mark.process


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


def below(collector: Collector, call: str, names: set[str]) -> list[Received]:
    """Wait for the spans with these names below a call's; return them by their beginning."""

    def found(received: list[Received]) -> list[Received]:
        calls = [one for one in received if one.span.name.endswith(call)]
        parents = {bytes(one.span.span_id) for one in calls}
        return [one for one in received if bytes(one.span.parent_span_id) in parents]

    seen = collector.until(lambda all_: names <= {one.span.name for one in found(all_)})
    return sorted(found(seen), key=lambda one: int(one.span.start_time_unix_nano))


def test_a_picture_has_a_span_for_each_part_of_its_time(
    start_service: ServiceStarter, collector: Collector
) -> None:
    variables = {"ASSAY_SEGMENT_TRACING": "true", **collector.variables}
    with start_service("segment", variables) as segment, connect(segment.address) as channel:
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        image = images_pb2.Image(encoded=picture())
        reply = stub.SegmentImage(segment_pb2.SegmentImageRequest(image=image))
        parts = ["decode", "queue", "inference", "output"]
        spans = below(collector, "/SegmentImage", set(parts))
    assert [one.span.name for one in spans] == parts
    for one in spans:
        assert one.attributes["assay.model"] == reply.model.name
        assert one.attributes["assay.batch_size"] == 1
    compute = spans[2].span.end_time_unix_nano - spans[2].span.start_time_unix_nano
    # The reply's own figure, which is of the same measurement.
    assert compute == pytest.approx(reply.timings.compute.ToNanoseconds(), abs=1_000)


def test_a_write_of_the_shared_database_is_a_span(
    start_service: ServiceStarter, collector: Collector
) -> None:
    where = programs()
    if where is None:
        pytest.skip("no PostgreSQL server is installed (postgres and initdb)")
    server = PostgresServer(where)
    try:
        variables = {
            "ASSAY_RANKER_TRACING": "true",
            "ASSAY_RANKER_DATABASE_URL": server.url,
            **collector.variables,
        }
        with start_service("ranker", variables) as ranker, connect(ranker.address) as channel:
            outcome_pb2_grpc.OutcomeServiceStub(channel).RecordMatch(
                outcome_pb2.RecordMatchRequest(
                    match_id="one",
                    intent="read text",
                    capability_uri="capability://the-pile/plain-jsonl",
                )
            )
            spans = below(collector, "/RecordMatch", {"database write"})
        assert {one.attributes["db.system"] for one in spans} == {"postgresql"}
        # Neither a statement nor a value, and not where the server is.
        assert all(set(one.attributes) == {"db.system"} for one in spans)
    finally:
        server.close()
