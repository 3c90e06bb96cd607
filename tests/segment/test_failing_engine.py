"""A service whose engine dies while it serves: what callers, probes and the supervisor see."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.rpc.exits import Exit
from services.segment.serving.engine_guard import MAX_FAILURES
from tests.segment import tiny_model
from tests.segment.api.test_segment import png

SECONDS = 60
# A probe when the model is opened, and the runs that warm it: then come the requests.
WARM_RUNS = 4
REQUESTS = 20
Status = health_pb2.HealthCheckResponse


@pytest.mark.parametrize("batch", [1, 4])
def test_the_service_says_so_and_ends(start_service: Any, tmp_path: Path, batch: int) -> None:
    program = Path(__file__).with_name("failing_service.py")
    runs = WARM_RUNS + (3 if batch > 1 else 0) + REQUESTS
    variables = {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "ASSAY_SEGMENT_MODELS": json.dumps([str(tiny_model.write(tmp_path / "tiny"))]),
        "ASSAY_SEGMENT_ENGINE": "onnxruntime",
        "ASSAY_SEGMENT_MAX_BATCH": str(batch),
    }
    command = [sys.executable, str(program), str(runs)]
    with (
        start_service("segment", variables, command) as service,
        grpc.insecure_channel(service.address, [("grpc.enable_retries", 0)]) as channel,
        grpc.insecure_channel(f"127.0.0.1:{service.health_port}") as probe,
    ):
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        health: Any = health_pb2_grpc.HealthStub(probe)
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        assert next(watch).status == Status.SERVING
        request = segment_pb2.SegmentImageRequest(image=images_pb2.Image(encoded=png()))
        for _ in range(REQUESTS):
            stub.SegmentImage(request, timeout=SECONDS)
        codes = []
        for _ in range(MAX_FAILURES):
            with pytest.raises(grpc.RpcError) as caught:
                stub.SegmentImage(request, timeout=SECONDS)
            codes.append(caught.value.code())
        assert codes == [grpc.StatusCode.UNAVAILABLE] * MAX_FAILURES
        assert next(watch).status == Status.NOT_SERVING
        assert service.process.wait(SECONDS) == Exit.FAILED
        log = [json.loads(line) for line in service.log.read_text("utf-8").splitlines()]
        failed = [line for line in log if line["event"] == "the service has failed"]
        assert len(failed) == 1
        assert f"failed {MAX_FAILURES} times in a row" in failed[0]["error"]
        assert "an illegal memory access" in failed[0]["error"]
