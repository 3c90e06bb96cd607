"""Two rankers of one PostgreSQL database: what one keeps the other has, also after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import grpc
import pytest
from assay_rpc.channel import connect
from assay_rpc.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    artifact_pb2,
    compare_pb2,
    ranker_pb2_grpc,
)

from tests.conftest import ServiceStarter
from tests.postgres import PostgresServer, programs

pytestmark = pytest.mark.process

_MANIFEST = b"""
kind: artifact
schema: 1
id: thing
name: Thing
type: DATASET
description: What it is.
license: {id: MIT, name: MIT}
pricing: Free
capabilities: []
claims: []
"""


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    where = programs()
    if where is None:
        pytest.skip("no PostgreSQL server is installed (postgres and initdb)")
    server = PostgresServer(where)
    yield server
    server.close()


def test_a_reading_ranker_serves_what_the_operating_one_registers_and_outlives_it(
    postgres: PostgresServer, start_service: ServiceStarter
) -> None:
    shared = {"ASSAY_RANKER_DATABASE_URL": postgres.url, "ASSAY_RANKER_LOCK_SECONDS": "30"}
    reads = {**shared, "ASSAY_RANKER_OPERATIONS": "false"}
    operating, reading = start_service("ranker", shared), start_service("ranker", reads)
    with connect(operating.address) as writes, connect(reading.address) as answers:
        stub = ranker_pb2_grpc.RankerServiceStub(answers)
        request = admin_pb2.RegisterManifestRequest(manifest=_MANIFEST)
        with pytest.raises(grpc.RpcError) as refused:
            admin_pb2_grpc.RankerAdminServiceStub(answers).RegisterManifest(request, timeout=30)
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
        admin_pb2_grpc.RankerAdminServiceStub(writes).RegisterManifest(request, timeout=30)
        wanted = artifact_pb2.GetArtifactRequest(artifact="thing")
        found = None
        for _ in range(500):  # the notice of it is on its way
            with suppress(grpc.RpcError):
                found = stub.GetArtifact(wanted, timeout=30)
                break
        assert found is not None
        assert found.artifact.name == "Thing"
        operating.kill()
        postgres.stop()
        postgres.start()
        compared = compare_pb2.CompareRequest(left="thing", right="the-pile")
        assert stub.Compare(compared, timeout=60).left.artifact.id == "thing"
