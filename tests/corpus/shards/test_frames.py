"""Frames that are not what their index says, and lines at the edge of what a frame can hold."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import xxhash
import zstandard
from assay_rpc.corpus.v1 import selection_pb2, stream_pb2

from services.corpus.shards.frames import DamagedFrame, FrameReader
from services.corpus.shards.index.format import Index, open_index
from services.corpus.shards.index.writer import write_index
from tests.corpus.conftest import Client, Start
from tests.corpus.stream.test_indexed import read

NAME = "test.jsonl.zst"


def index_lines(root: Path, *lines: bytes) -> Index:
    source = root / "plain" / NAME
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(zstandard.ZstdCompressor().compress(b"".join(b"%b\n" % x for x in lines)))
    return write_index(source, NAME, root / "indexed")


def line(text: str) -> bytes:
    return json.dumps({"text": text, "meta": {"pile_set_name": "Github"}}).encode()


@pytest.mark.slow
@pytest.mark.parametrize("honest_header", [True, False])
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path: Path, honest_header: bool) -> None:
    """A frame of 32 KB that holds a gigabyte, with a digest that is right."""
    index = index_lines(tmp_path, line("one"))
    compressor = zstandard.ZstdCompressor(write_content_size=honest_header).compressobj()
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(1 << 10))
    bomb += compressor.flush()
    if honest_header:
        bomb = zstandard.ZstdCompressor().compress(bytes(1 << 30))
    file = tmp_path / "bomb"
    file.write_bytes(bomb)
    frames = index.frames.copy()
    frames["offset"], frames["bytes"] = 0, len(bomb)
    frames["digest"] = xxhash.xxh3_64_intdigest(bomb)
    with closing(FrameReader(NAME, file, file, replace(index, frames=frames))) as reader:
        with pytest.raises(DamagedFrame, match="frame 0 is not of the size that its index says"):
            reader.lines(0)
        # Nor does an index that lies with it get a gigabyte.
        frames["jsonl_bytes"] = (1 << 30) + 1
        with pytest.raises(DamagedFrame, match="not of the size"):
            reader.lines(0)


async def test_a_file_that_goes_away_is_data_loss_that_names_it(
    serve: Start, tmp_path: Path
) -> None:
    index_lines(tmp_path, line("one"), line("two"))
    client = await serve({"c": tmp_path / "indexed"})
    (tmp_path / "indexed" / "test.text.zst").unlink()
    with pytest.raises(
        grpc.aio.AioRpcError, match=r"test\.jsonl\.zst.*frame 0 cannot be read"
    ) as e:
        await read(client, delivery=stream_pb2.DELIVERY_FRAMES)
    assert e.value.code() == grpc.StatusCode.DATA_LOSS
    # The lines are there yet.
    found, _ = await read(client)
    assert [text for _, text in found] == [b"one", b"two"]


@pytest.fixture
async def extremes(serve: Start, tmp_path: Path, request: pytest.FixtureRequest) -> Client:
    """Lone surrogates, an escaped name, an empty text, and a line of 100 MB."""
    large = b'{"text": "' + b"ab" * 50_000_000 + b'", "meta": {"pile_set_name": "Github"}}'
    index_lines(
        tmp_path,
        rb'{"text": "lone \ud800 surrogate", "meta": {"pile_set_name": "Github"}}',
        large,
        rb'{"text": "escaped", "meta": {"pile_set_name": "Git\u0068ub"}}',
        line(""),
    )
    index = open_index(tmp_path / "indexed" / "test.index")
    assert index.header.subsets == ("Github",)
    return await serve({"c": tmp_path / request.param})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extremes", "delivery"),
    [
        ("indexed", stream_pb2.DELIVERY_FRAMES),
        ("indexed", stream_pb2.DELIVERY_DOCUMENTS),
        ("indexed", stream_pb2.DELIVERY_JSONL),
        ("plain", stream_pb2.DELIVERY_DOCUMENTS),
        ("plain", stream_pb2.DELIVERY_JSONL),
    ],
    indirect=["extremes"],
)
async def test_extreme_lines_come_whole(
    extremes: Client, delivery: stream_pb2.Delivery.ValueType
) -> None:
    parts: list[bytes] = []
    whole = True
    compressed = lines = b""
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name="c"), delivery=delivery
    )
    async for chunk in extremes.corpus.StreamCorpus(request):
        for document in chunk.documents.documents:
            parts = parts if whole else [*parts[:-1], parts[-1] + document.text]
            if whole:
                parts.append(document.text)
            whole = not document.continues
        lines += chunk.jsonl.lines
        for frame in chunk.frames.frames:
            compressed += frame.data
            if not frame.continues:
                data = zstandard.ZstdDecompressor().decompress(compressed)
                compressed = b""
                if frame.form == stream_pb2.FRAME_FORM_TEXT:
                    ends = frame.text_bytes
                    parts += [data[sum(ends[:n]) : sum(ends[: n + 1])] for n in range(len(ends))]
                else:
                    texts = [json.loads(one)["text"] for one in data.splitlines()]
                    parts += [one.encode("utf-8", "surrogatepass") for one in texts]
    texts = [json.loads(one)["text"] for one in lines.splitlines()]
    parts += [one.encode("utf-8", "surrogatepass") for one in texts]
    assert [len(part) for part in parts] == [len(b"lone \xed\xa0\x80 surrogate"), 100_000_000, 7, 0]
    assert parts[0] == b"lone \xed\xa0\x80 surrogate"
    assert parts[1][:4] == parts[1][-4:] == b"abab"
