"""Fixtures of the ranker's tests: a ranker in this process, its peers on free ports."""

from __future__ import annotations

import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.channel import connect_async
from assay_rpc.corpus.v1 import benchmark_pb2_grpc as corpus_benchmark_pb2_grpc
from assay_rpc.corpus.v1 import corpus_pb2_grpc, scoring_pb2_grpc
from assay_rpc.ranker.v1 import (
    evidence_pb2,
    ranker_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)
from assay_rpc.segment.v1 import benchmark_pb2_grpc as segment_benchmark_pb2_grpc
from assay_rpc.segment.v1 import segment_pb2_grpc

from services.ranker.__main__ import build_service
from services.ranker.settings import RankerSettings
from services.rpc.serving.server import Server, build_server
from tests.ranker.servers_fake import CorpusServer, SegmentServer


@dataclass
class Ranker:
    """Starts rankers over the two peers; gives their stubs."""

    segment: SegmentServer
    corpus: CorpusServer
    segment_addr: str
    corpus_addr: str
    folder: Path
    opened: AsyncExitStack
    server: Server | None = None
    channel: grpc.aio.Channel | None = None

    async def start(self, **settings: Any) -> ranker_pb2_grpc.RankerServiceAsyncStub:
        """Start a ranker as `connect` does, and return its stub."""
        self.channel = await self.connect(**settings)
        return ranker_pb2_grpc.RankerServiceStub(self.channel)

    async def verify(self, artifact: str, *claims: str) -> dict[str, evidence_pb2.ClaimVerdict]:
        """Verify as `verify` does, by the ranker that was started last."""
        assert self.channel is not None
        return await verify(self.channel, artifact, *claims)

    async def stop(self) -> None:
        """Stop the one that runs: the database is one ranker's at a time."""
        if self.server is not None:
            await self.server.stop()
            self.server = None

    async def connect(self, **settings: Any) -> grpc.aio.Channel:
        """Start a ranker with its database in `folder`, in place of the one that runs."""
        await self.stop()
        chosen = RankerSettings(
            **{
                "port": 0,
                "health_port": 0,
                "metrics_port": 0,
                "drain_seconds": 0,
                "segment_addr": self.segment_addr,
                "corpus_addr": self.corpus_addr,
                "database": self.folder / "evidence.sqlite",
                **settings,
            }
        )
        self.server = build_server(chosen, build_service(chosen))
        await self.server.start()
        return await self.opened.enter_async_context(connect_async(f"127.0.0.1:{self.server.port}"))


async def verify(
    channel: grpc.aio.Channel, artifact: str, *claims: str
) -> dict[str, evidence_pb2.ClaimVerdict]:
    """Verify claims (all without any) as a job, and return its verdicts by the claims' ids."""
    stub = verification_pb2_grpc.VerificationServiceStub(channel)
    request = verification_pb2.SubmitVerificationRequest(
        artifact=artifact,
        claims=[f"{artifact}/{one}" for one in claims],
        request_id=uuid.uuid4().hex,
    )
    job = (await stub.SubmitVerification(request, timeout=60)).job
    watched = stub.WatchJob(verification_pb2.WatchJobRequest(job=job.id), timeout=60)
    updates = [update async for update in watched]
    assert updates[0].HasField("progress")
    assert updates[-1].progress.state == verification_pb2.JOB_STATE_SUCCEEDED, updates[-1]
    results = [one.result for one in updates if one.HasField("result")]
    assert [f"{artifact}/{one.claim.id}" for one in results] == list(job.plan.claims)
    return {one.claim.id: one for one in results}


@pytest.fixture
def dead_address() -> Iterator[str]:
    """An address that nothing answers at: its port is taken, and nobody listens on it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
async def ranker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ranker]:
    """The two peers, serving, and what starts rankers over them."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    segment, corpus = SegmentServer(), CorpusServer()
    server = grpc.aio.server()
    segment_pb2_grpc.add_SegmentServiceServicer_to_server(segment, server)
    segment_benchmark_pb2_grpc.add_SegmentBenchmarkServiceServicer_to_server(segment, server)
    corpus_pb2_grpc.add_CorpusServiceServicer_to_server(corpus, server)
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(corpus, server)
    corpus_benchmark_pb2_grpc.add_CorpusBenchmarkServiceServicer_to_server(corpus, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with AsyncExitStack() as opened:
        opened.push_async_callback(server.stop, None)
        rankers = Ranker(segment, corpus, address, address, tmp_path, opened)
        opened.push_async_callback(rankers.stop)
        yield rankers
