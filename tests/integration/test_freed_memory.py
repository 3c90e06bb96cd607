"""A server gives back what streams took that nobody read."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.corpus.v1 import corpus_pb2_grpc, stream_pb2

STREAMS = 24
CHUNK_BYTES = 2 << 20


def resident(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    assert found
    return int(found[1]) * 1024


@pytest.mark.slow
async def test_what_unread_streams_took_is_given_back(start_service: Any) -> None:
    with start_service("corpus") as service:
        async with grpc.aio.insecure_channel(service.address) as channel:
            stub = corpus_pb2_grpc.CorpusServiceStub(channel)
            idle = resident(service.process.pid)
            request = stream_pb2.StreamCorpusRequest(chunk_bytes=CHUNK_BYTES)
            request.corpus.name = "python-reference"
            streams = [stub.StreamCorpus(request) for _ in range(STREAMS)]
            for stream in streams:
                await stream.read()
            taken = resident(service.process.pid) - idle
            assert taken > STREAMS * CHUNK_BYTES / 2  # or there is nothing to give back
            for stream in streams:
                stream.cancel()
            async with asyncio.timeout(120):
                while resident(service.process.pid) - idle > taken / 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
