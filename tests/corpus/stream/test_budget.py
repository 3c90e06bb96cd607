"""Streams that nobody reads hold memory: so many may be open, and one more is refused."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.corpus.v1 import corpus_pb2_grpc, stream_pb2
from assay_rpc.errors import AssayError
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.stream.budget import StreamBudget, held_bytes
from services.errors import Overloaded
from tests.corpus.shard_files import line, write_corpus


@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 500))
def test_never_more_than_the_bound_but_for_one(sizes: list[int], bound: int) -> None:
    budget = StreamBudget(bound)
    with ExitStack() as streams:
        held, count = 0, 0
        for size in sizes:
            fits = not count or held + size <= bound
            if fits:
                streams.enter_context(budget.stream(size))
                held, count = held + size, count + 1
            else:
                with pytest.raises(Overloaded):
                    streams.enter_context(budget.stream(size))
    with budget.stream(bound):  # all of it was given back
        pass


def test_a_shard_without_index_counts_its_window() -> None:
    assert held_bytes(1000, indexed=False) - held_bytes(1000, indexed=True) == 8 << 20


async def test_one_more_stream_is_refused_until_another_ends(serve: Any, tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    # More than the transport takes, so that a stream that nobody reads stays open.
    write_corpus(root, {"test.jsonl.zst": [line("x" * 100_000) for _ in range(200)]})
    client = await serve({"c": root}, stream_bytes=held_bytes(4 << 20, indexed=False))
    stub = corpus_pb2_grpc.CorpusServiceStub(client.channel)
    request = stream_pb2.StreamCorpusRequest(chunk_bytes=2 << 20)
    request.corpus.name = "c"
    first, second = stub.StreamCorpus(request), stub.StreamCorpus(request)
    await first.read()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await second.read()
    error = AssayError.of(caught.value)
    assert error.reason == "OVERLOADED"
    assert error.retry_after == 1
    assert "1 streams are open" in str(error)
    assert "index the corpus" in str(error)
    while await first.read() is not grpc.aio.EOF:
        pass
    async with asyncio.timeout(30):  # the server may learn of the end after the client does
        while not await accepted(stub, request):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def accepted(
    stub: corpus_pb2_grpc.CorpusServiceAsyncStub, request: stream_pb2.StreamCorpusRequest
) -> bool:
    with suppress(grpc.aio.AioRpcError):
        await stub.StreamCorpus(request).read()
        return True
    return False


def test_a_large_window_counts_where_it_is_decoded() -> None:
    usual = held_bytes(1 << 20, indexed=False)
    assert held_bytes(1 << 20, indexed=False, window_bytes=1 << 31) - usual > (1 << 31) - (9 << 20)
    indexed = held_bytes(1 << 20, indexed=True)
    assert held_bytes(1 << 20, indexed=True, window_bytes=1 << 31) == indexed
