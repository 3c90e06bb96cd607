"""Fixtures of the segment tests: a tiny model, and servers that serve it in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import (
    admin_pb2_grpc,
    benchmark_pb2_grpc,
    segment_pb2,
    segment_pb2_grpc,
)

from services.inference.v2 import open_inference_pb2_grpc
from services.rpc.serving.server import Server, build_server
from services.segment.__main__ import build_service
from services.segment.settings import SegmentSettings
from tests.segment import tiny_model

Start = Callable[..., Awaitable["Client"]]


class Client:
    """Stubs of a running server, over a real socket."""

    def __init__(self, server: Server) -> None:
        self.server = server
        limit = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", options=limit)
        self.segment = segment_pb2_grpc.SegmentServiceStub(self.channel)
        self.admin = benchmark_pb2_grpc.SegmentBenchmarkServiceStub(self.channel)
        self.models = admin_pb2_grpc.SegmentAdminServiceStub(self.channel)
        self.inference = open_inference_pb2_grpc.GRPCInferenceServiceStub(self.channel)


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
async def start(
    tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Start]:
    """Start a server with the tiny model, or with other settings; return its client."""
    clients: list[Client] = []

    async def starter(**settings: Any) -> Client:
        values: dict[str, Any] = {
            "port": 0,
            "health_port": 0,
            "metrics_port": 0,
            "models": [tiny_directory],
            # Nothing is known of the machine.
            "ASSAY_HOME": tmp_path_factory.mktemp("home"),
            "threads": 1,
            # OpenVINO takes no batches, and need not be installed: tests of it ask for it.
            "engine": "onnxruntime",
        } | settings
        config = SegmentSettings(**values)
        server = build_server(config, build_service(config))
        await server.start()
        clients.append(Client(server))
        return clients[-1]

    yield starter
    for client in clients:
        await client.channel.close()
        await client.server.stop(0)


async def evaluated(
    client: Client, requests: AsyncIterator[segment_pb2.EvaluateSegmentationRequest], **options: Any
) -> segment_pb2.EvaluationResult:
    """Follow EvaluateSegmentation to its result."""
    call = client.segment.EvaluateSegmentation(requests, **options)
    updates = [update async for update in call]
    assert updates[-1].HasField("result")
    return updates[-1].result


def precision_of(engine: common_pb2.Engine) -> str:
    return common_pb2.Precision.Name(engine.precision).removeprefix("PRECISION_").lower()
