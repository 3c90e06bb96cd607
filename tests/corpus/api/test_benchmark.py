from __future__ import annotations

import asyncio
import functools
import shutil
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.corpus.v1 import benchmark_pb2, selection_pb2

from services.common.kernel_times import KernelTimes
from services.common.license import License
from services.corpus.api.benchmark import CorpusBenchmarkService
from services.corpus.catalog.catalog import Catalog, Registration
from services.corpus.catalog.corpus import Kind
from services.rpc.worker import run_worker
from tests.corpus.conftest import Client, Start
from tests.corpus.shard_files import compress, line, write_corpus

LINES = [line(f"document {number} " + "some words of it, " * 40) for number in range(500)]
SMALL = selection_pb2.CorpusRef(name="small")


def _run(client: Client, **fields: Any) -> Any:
    return client.admin.BenchmarkStorage(
        benchmark_pb2.BenchmarkStorageRequest(**{"corpus": SMALL, "repetitions": 3, **fields})
    )


@pytest.mark.process
async def test_benchmark_storage(serve: Start, tmp_path: Path) -> None:
    shards = {"train/00.jsonl.zst": LINES[:300], "train/01.jsonl.zst": LINES[300:]}
    client = await serve({"small": write_corpus(tmp_path / "root", shards)})
    *progress, last = [update async for update in _run(client)]
    assert [update.progress.done for update in progress] == list(range(1, len(progress) + 1))
    assert {update.progress.total for update in progress} == {len(progress)}
    result = last.result
    assert result.corpus.digest.startswith("sha256:")
    assert result.sample_bytes == sum(map(len, LINES))
    codecs = {codec.codec: codec for codec in result.codecs}
    assert list(codecs) == ["stored", "gzip-6", "zstd-1", "zstd-3", "zstd-19"]
    for codec in codecs.values():
        assert codec.ratio > 1
        interval = codec.decompress_interval
        assert 0 < interval.low <= codec.decompress_bytes_per_second <= interval.high
        assert interval.level == 0.75  # the best that three repetitions can do
        assert len(codec.seconds) == 3
    stored = sum((tmp_path / "root" / path).stat().st_size for path in shards)
    assert codecs["stored"].ratio == pytest.approx(result.sample_bytes / stored, rel=1e-3)
    assert result.streaming.shard == "train/00.jsonl.zst"
    assert result.streaming.content_bytes >= 128 << 20
    assert (result.plain_parse.lines, result.plain_parse.parsed) == (500, 500)
    assert {"zstandard", "zlib", "libzstd"} <= set(result.environment.versions)
    for codec in codecs.values():
        tool = codec.codec.partition("-")[0]
        by_tool = codec.codec in {"gzip-6", "zstd-3"} and shutil.which(tool) is not None
        assert len(codec.tool_seconds) == (3 if by_tool else 0)
        if by_tool:
            assert all(seconds >= 0 for seconds in codec.tool_seconds)
            assert result.environment.versions[tool][0].isdigit()
    assert result.load.others_cores >= 0
    assert result.load.kernel_seconds > 0
    assert not result.load.HasField("kernel_ratio")  # this machine was never timed before
    assert not result.load.clean


@pytest.mark.process
async def test_a_sample_may_be_less_than_a_shard(serve: Start, tmp_path: Path) -> None:
    lines = [line(f"{number} " + "many words, " * 100) for number in range(1000)]
    lines[3] = b"{not json}\n"
    lines[4] = b'{"text": "caf\xe9"}\n'
    lines[5] = b'{"text": "a", "meta": ' + b"[" * 20_000 + b"]" * 20_000 + b"}\n"
    client = await serve({"small": write_corpus(tmp_path / "root", {"val.jsonl.zst": lines})})
    last = [update async for update in _run(client, sample_bytes=200_000)][-1].result
    assert 200_000 <= last.sample_bytes < 200_000 + (128 << 10)
    text = b"".join(lines)[: last.sample_bytes]
    assert last.plain_parse.lines == text.count(b"\n")
    assert last.plain_parse.parsed == last.plain_parse.lines - 3


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"corpus": selection_pb2.CorpusRef(name="nope")}, "NOT_FOUND", "known: small"),
        ({"split": "dev"}, "NOT_FOUND", "known: test"),
        ({"sample_bytes": (1 << 30) + 1}, "INVALID_ARGUMENT", "sample_bytes"),
        ({"repetitions": 2}, "INVALID_ARGUMENT", "repetitions"),
        ({"repetitions": 101}, "INVALID_ARGUMENT", "repetitions"),
    ],
)
async def test_bad_requests(
    serve: Start, tmp_path: Path, fields: dict[str, Any], code: str, words: str
) -> None:
    client = await serve({"small": write_corpus(tmp_path / "root", {"test.jsonl.zst": LINES})})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _run(client, **fields).read()
    assert caught.value.code() == grpc.StatusCode[code]
    assert words in (caught.value.details() or "")


@pytest.mark.process
async def test_a_damaged_shard(serve: Start, tmp_path: Path) -> None:
    damaged = compress(b"".join(LINES))[:-10]
    client = await serve({"small": write_corpus(tmp_path / "root", {"test.jsonl.zst": damaged})})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in _run(client):
            pass
    assert caught.value.code() == grpc.StatusCode.DATA_LOSS
    assert "test.jsonl.zst: is cut off" in (caught.value.details() or "")


@pytest.mark.process
async def test_one_benchmark_at_a_time(serve: Start, tmp_path: Path) -> None:
    client = await serve({"small": write_corpus(tmp_path / "root", {"test.jsonl.zst": LINES})})
    first = _run(client, repetitions=100)
    await first.read()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _run(client).read()
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "a storage benchmark is running" in (caught.value.details() or "")
    # The loop must not be closed before the first call has ended its worker process.
    method = {"grpc_service": "assay.corpus.v1.CorpusBenchmarkService",
              "grpc_method": "BenchmarkStorage"}  # fmt: skip
    calls = functools.partial(
        client.server.registry.get_sample_value, "grpc_server_in_flight", method
    )
    assert calls() == 1
    first.cancel()
    async with asyncio.timeout(60):
        while calls():  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.01)


class _Reader:
    """A client that says when the first message is there."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def write(self, _: benchmark_pb2.BenchmarkStorageResponse) -> None:
        self.begun.set()


@pytest.mark.process
async def test_a_cancelled_benchmark_makes_room(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "cache")
    root = write_corpus(tmp_path / "root", {"test.jsonl.zst": LINES})
    catalog.load({"small": Registration(root, Kind.SAMPLE, "", License("MIT"))})
    service = CorpusBenchmarkService(catalog, KernelTimes(tmp_path, "", 1))
    request = benchmark_pb2.BenchmarkStorageRequest(corpus=SMALL, repetitions=100)
    for _ in range(2):
        reader = _Reader()
        benchmark = asyncio.create_task(service.BenchmarkStorage(request, reader))  # type: ignore[arg-type]
        await reader.begun.wait()
        benchmark.cancel()
        with pytest.raises(asyncio.CancelledError):
            await benchmark


@pytest.mark.process
async def test_shards_without_text_are_refused(serve: Start, tmp_path: Path) -> None:
    client = await serve({"small": write_corpus(tmp_path / "root", {"val.jsonl.zst": []})})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [update async for update in _run(client)]
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.process
@pytest.mark.parametrize("times", [1, 600])  # 0.4 MB, read again and again; 230 MB, read in part
async def test_memory_does_not_grow_with_the_text(tmp_path: Path, times: int) -> None:
    write_corpus(tmp_path, {"test.jsonl.zst": compress(b"".join(LINES) * times, level=1)})
    request = {
        "shards": [{"path": "test.jsonl.zst", "file": str(tmp_path / "test.jsonl.zst")}],
        "sample_bytes": 1,
        "repetitions": 3,
    }
    updates = [update async for update in run_worker("services.corpus.storage_benchmark", request)]
    streaming = updates[-1]["result"]["streaming"]
    assert streaming["content_bytes"] >= 128 << 20
    assert streaming["peak_growth_bytes"] < 32 << 20


async def test_shards_that_are_not_zstd_are_refused(serve: Start, tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "root", {"train.jsonl": b'{"text": "x"}\n'})
    client = await serve({"small": root})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [update async for update in _run(client)]
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "train.jsonl is not a .jsonl.zst file" in (caught.value.details() or "")
