"""Fixtures of the corpus tests: servers of small corpora in this process."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.audit.v1alpha1 import audit_pb2_grpc, corpus_audit_pb2_grpc
from assay_rpc.corpus.v1 import (
    benchmark_pb2_grpc,
    corpus_pb2_grpc,
    describe_pb2,
    scoring_pb2_grpc,
)

from services.corpus.__main__ import build_service
from services.corpus.settings import CorpusSettings
from services.rpc.serving.server import Server, build_server

Start = Callable[..., Awaitable["Client"]]


class Client:
    """Stubs of a running server, over a real socket."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
        self.corpus = corpus_pb2_grpc.CorpusServiceStub(self.channel)
        self.scoring = scoring_pb2_grpc.ScoringServiceStub(self.channel)
        self.audit = audit_pb2_grpc.AuditServiceStub(self.channel)
        self.corpus_audit = corpus_audit_pb2_grpc.CorpusAuditServiceStub(self.channel)
        self.admin = benchmark_pb2_grpc.CorpusBenchmarkServiceStub(self.channel)


async def described(
    client: Client, request: describe_pb2.DescribeCorpusRequest
) -> describe_pb2.CorpusDescription:
    """Follow DescribeCorpus to its result."""
    updates = [update async for update in client.corpus.DescribeCorpus(request)]
    assert [update.WhichOneof("update") for update in updates[:-1]] == ["progress"] * (
        len(updates) - 1
    )
    return updates[-1].result


@pytest.fixture
async def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Start a server: `await serve({name: root})`; return its client. Stops all in the end."""
    clients: list[Client] = []

    async def start(
        corpora: dict[str, Path], home: Path = tmp_path / "home", **settings: Any
    ) -> Client:
        entries = {
            name: {"path": str(root), "kind": "sample", "source": "a test", "license": "MIT"}
            for name, root in corpora.items()
        }
        monkeypatch.setenv("ASSAY_HOME", str(home))
        monkeypatch.setenv("ASSAY_CORPUS_CORPORA", json.dumps(entries))
        ports = {"port": 0, "health_port": 0, "metrics_port": 0}
        chosen = CorpusSettings(**{**ports, **settings})
        server = build_server(chosen, build_service(chosen))
        await server.start()
        clients.append(Client(server))
        return clients[-1]

    yield start
    for client in clients:
        await client.channel.close()
        await client.server.stop(grace=0)
