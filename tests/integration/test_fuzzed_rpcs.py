"""Random and damaged messages to every method: no fault, no dead process, a reason for a refusal.

`python -m benchmarks.faults.fuzz_rpcs` sends a million.
"""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from assay_rpc.ranker.v1 import artifact_pb2, ranker_pb2_grpc
from google.protobuf.message_factory import GetMessageClass
from structlog.testing import capture_logs

from benchmarks.faults.examples import examples
from benchmarks.faults.fuzz_rpcs import fuzzed, services_of, started
from benchmarks.faults.fuzzer import Fuzzer
from services.errors import InternalError, InvalidArgument
from services.rpc.serving.server import build_server
from services.rpc.serving.service import Service
from services.rpc.settings import ServerSettings
from tests.rpc.echo_server import RANKER, Context, nothing

SERVICES = ("segment", "corpus", "ranker")


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("name", SERVICES)
def test_no_message_is_a_fault(name: str, tmp_path: Path, assay_home: Path) -> None:
    with started(name, tmp_path, assay_home, {}) as service:
        found = fuzzed(service, messages=800, seed=1, seconds=600)
    assert found.faults == []
    assert len(found.codes) == sum(len(one.methods) for one in services_of(name))
    assert any(codes["OK"] for method, codes in found.codes.items() if "/assay." in method)


@pytest.mark.parametrize("name", SERVICES)
def test_examples_are_of_their_methods(name: str) -> None:
    methods = [method for service in services_of(name) for method in service.methods]
    for method in methods:
        full = f"/{method.containing_service.full_name}/{method.name}"
        for sent in examples([method])[full]:
            assert len(sent) == 1 or method.client_streaming
            for one in sent:
                GetMessageClass(method.input_type).FromString(one)


class Faulty(ranker_pb2_grpc.RankerServiceServicer):
    """A ranker of one method, which fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def ListArtifacts(  # noqa: N802
        self, request: artifact_pb2.ListArtifactsRequest, context: Context
    ) -> artifact_pb2.ListArtifactsResponse:
        raise self.error


@pytest.mark.parametrize(
    ("error", "fault"),
    [(ZeroDivisionError(), True), (InternalError("x"), True), (InvalidArgument("x", "y"), False)],
)
async def test_a_fault_is_seen(error: Exception, fault: bool) -> None:
    def register(server: grpc.aio.Server) -> None:
        ranker_pb2_grpc.add_RankerServiceServicer_to_server(Faulty(error), server)  # type: ignore[abstract]

    served = Service("echo", register, (RANKER,), warm=nothing, close=nothing)
    server = build_server(ServerSettings(), served)
    await server.start()
    ranker = next(one for one in services_of("ranker") if one.full_name == RANKER)
    with capture_logs():  # drawing tracebacks takes seconds
        found = await Fuzzer(f"127.0.0.1:{server.port}", [ranker], seed=1).run(60)
    await server.stop(0)
    assert fault == any("ListArtifacts: INTERNAL" in one for one in found.faults)
    # What the stubs' base class answers has no reason, or is a bug that it reports.
    assert any("GetArtifact" in one for one in found.faults)
