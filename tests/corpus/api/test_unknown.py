"""What the corpus service does not know is absent, 0 is said; old cursors are refused."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.common.v1.common_pb2 import ModelRef
from assay_rpc.corpus.v1 import describe_pb2, scoring_pb2, selection_pb2, stream_pb2
from assay_rpc.errors import AssayError

from services.corpus.shards.index.writer import write_index
from tests.corpus.conftest import Client, Start, described
from tests.corpus.shard_files import line, write_corpus

BYTES = ModelRef(name="byte-reference")


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    """The same documents without an index and with one."""
    lines = [line("one", "Github"), line("two", "Github")]
    plain = write_corpus(tmp_path / "plain", {"test.jsonl.zst": lines})
    write_index(plain / "test.jsonl.zst", "test.jsonl.zst", tmp_path / "indexed")
    return {"plain": plain, "indexed": tmp_path / "indexed"}


def of(name: str) -> selection_pb2.CorpusRef:
    return selection_pb2.CorpusRef(name=name)


async def streamed(client: Client, name: str, **more: Any) -> list[stream_pb2.StreamCorpusResponse]:
    request = stream_pb2.StreamCorpusRequest(corpus=of(name), **more)
    return [one async for one in client.corpus.StreamCorpus(request)]


async def test_a_frame_is_absent_without_an_index_and_0_in_the_first(
    serve: Start, roots: dict[str, Path]
) -> None:
    client = await serve(roots)
    for name, known in (("plain", False), ("indexed", True)):
        for chunk in await streamed(client, name):
            for one in chunk.documents.documents:
                assert (one.HasField("frame"), one.frame) == (known, 0)


async def test_a_shard_has_counts_once_they_are_known(serve: Start, roots: dict[str, Path]) -> None:
    client = await serve(roots)
    names = ("content_bytes", "documents", "frames")

    async def known(name: str) -> list[bool]:
        reply = await client.corpus.GetCorpus(describe_pb2.GetCorpusRequest(corpus=of(name)))
        shard: Any = reply.corpus.shards[0]
        return [shard.HasField(one) for one in names]

    assert await known("indexed") == [True, True, True]
    assert await known("plain") == [False, False, False]
    await described(client, describe_pb2.DescribeCorpusRequest(corpus=of("plain")))
    assert await known("plain") == [True, True, False]


@pytest.mark.slow
async def test_nothing_scored_has_no_figures(serve: Start, tmp_path: Path) -> None:
    empty = write_corpus(tmp_path / "empty", {"test.jsonl.zst": [line("", "Github")] * 3})
    client = await serve({"empty": empty})
    request = scoring_pb2.ScoreBPBRequest(
        corpus=of("empty"),
        model=BYTES,
        definition=scoring_pb2.Definition(special_tokens=False),
    )
    updates = [one async for one in client.scoring.ScoreBPB(request)]
    result = updates[-1].result
    for name in ("bits_per_byte", "nats_per_token", "bytes_per_token"):
        assert not result.overall.HasField(name)
    assert (result.overall.documents, result.overall.text_bytes) == (0, 0)
    (excluded,) = result.excluded
    assert excluded.score.documents == 3
    assert not excluded.score.HasField("bits_per_byte")
    assert not result.macro.HasField("value")
    assert not any(one.HasField("bits_per_byte") for one in result.weighted)
    # What the caller said with a false is said back, and not left out.
    assert result.definition.HasField("special_tokens")
    assert not result.definition.special_tokens


def of_version(cursor: bytes, version: int) -> bytes:
    """A cursor as another version of the service would have sealed it."""
    head, body = cursor[:13], json.loads(cursor[13:-4])
    changed = head + json.dumps({**body, "version": version}, separators=(",", ":")).encode()
    return changed + zlib.crc32(changed).to_bytes(4, "big")


@pytest.mark.parametrize("name", ["plain", "indexed"])
async def test_a_cursor_of_another_version_is_refused_with_the_way_out(
    serve: Start, roots: dict[str, Path], name: str
) -> None:
    client = await serve(roots)
    cursor = (await streamed(client, name))[-1].cursor
    assert of_version(cursor, 2) == cursor
    rank = stream_pb2.ReaderRank(rank=0, world_size=1)
    given: list[dict[str, Any]] = [{"cursor": of_version(cursor, 1)}]
    if name == "indexed":
        point = stream_pb2.ResumePoint(cursor=of_version(cursor, 1), rank=rank)
        given.append({"resume": [point], "rank": rank})
    for position in given:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await streamed(client, name, **position)
        error = AssayError.of(caught.value)
        assert error.reason == "CURSOR_MISMATCH"
        assert "version 1" in error.message
        assert "start over" in error.message
