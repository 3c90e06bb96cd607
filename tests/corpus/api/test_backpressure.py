"""What a client that does not read costs, told by how far the server has read its shard."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from assay_rpc.corpus.v1 import describe_pb2, selection_pb2, stream_pb2

from services.corpus.shards.index.writer import write_index
from tests.corpus.conftest import Start
from tests.corpus.shard_files import line, write_corpus

REQUEST = stream_pb2.StreamCorpusRequest(
    corpus=selection_pb2.CorpusRef(name="small"), delivery=stream_pb2.DELIVERY_JSONL
)
_MEBIBYTE = 1 << 20


def _large(root: Path) -> Path:
    """A shard of 48 MiB that zstd can't make smaller than half."""
    source = random.Random(1)
    lines = [line(source.randbytes(_MEBIBYTE // 8).hex()) for _ in range(192)]
    return write_corpus(root, {"test.jsonl.zst": lines})


def _positions(file: Path) -> list[int]:
    """How far each open handle of this process on `file` has been read."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        if link.resolve() == file.resolve():
            info = Path(f"/proc/self/fdinfo/{link.name}").read_text(encoding="ascii")
            found.append(int(info.split()[1]))
    return found


@pytest.mark.slow
async def test_a_client_that_never_reads_costs_a_bounded_amount(
    serve: Start, tmp_path: Path
) -> None:
    root = _large(tmp_path / "large")
    file = root / "test.jsonl.zst"
    size = file.stat().st_size
    client = await serve({"small": root}, reader_threads=1)
    stalled = [client.corpus.StreamCorpus(REQUEST) for _ in range(4)]
    for call in stalled:
        await call.read()
    # Every other client is served to the end by the one thread there is, meanwhile.
    other = [len(r.jsonl.lines) async for r in client.corpus.StreamCorpus(REQUEST)]
    assert sum(other) > 48 * _MEBIBYTE
    positions = _positions(file)
    assert len(positions) == len(stalled)
    # Two chunks of half a megabyte, what the transport's windows take, and the file's buffer.
    assert max(positions) < size / 3
    for call in stalled:
        call.cancel()
    for _ in range(200):
        if not _positions(file):
            break
        await client.corpus.ListCorpora(describe_pb2.ListCorporaRequest())
    assert not _positions(file), "a cancelled call holds its file"


@pytest.mark.slow
async def test_a_stalled_client_of_frames_costs_a_bounded_amount(
    serve: Start, tmp_path: Path
) -> None:
    """Memory grows by a few messages a client, and not by what there is to send."""
    root = _large(tmp_path / "large")
    write_index(root / "test.jsonl.zst", "test.jsonl.zst", tmp_path / "indexed")
    client = await serve({"small": tmp_path / "indexed"}, reader_threads=1)
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name="small"),
        delivery=stream_pb2.DELIVERY_FRAMES,
        chunk_bytes=1 << 20,
    )
    whole = [chunk.ByteSize() async for chunk in client.corpus.StreamCorpus(request)]
    made: list[int] = []
    tracemalloc.start()
    stalled = [client.corpus.StreamCorpus(request) for _ in range(8)]
    try:
        for call in stalled:
            await call.read()
        for _ in range(20):
            await client.corpus.ListCorpora(describe_pb2.ListCorporaRequest())
            made.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        for call in stalled:
            call.cancel()
    # Of each client two messages are made, and one is being sent.
    assert made[-1] < len(stalled) * 4 * max(whole) < len(stalled) * sum(whole) / 2


@pytest.mark.slow
async def test_cancelled_streams_leave_room_for_others(serve: Start, tmp_path: Path) -> None:
    client = await serve({"small": _large(tmp_path / "large")}, reader_threads=1)
    for _ in range(20):
        call = client.corpus.StreamCorpus(REQUEST)
        await call.read()
        call.cancel()
    assert len([r async for r in client.corpus.StreamCorpus(REQUEST)]) > 1
