"""An indexed corpus over a real server: every document once, in the same order, from any place."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import zstandard
from assay_rpc.corpus.v1 import selection_pb2, stream_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.corpus.__main__ import build_service
from services.corpus.settings import CorpusSettings
from services.corpus.shards.index.format import open_index
from services.corpus.shards.index.writer import IndexOptions, write_index
from services.rpc.serving.server import build_server
from tests.corpus.conftest import Client, Start

SUBSETS = ("ArXiv", "Github", "PubMed Central", "Books3")
SHARDS = ("train/00.jsonl.zst", "train/01.jsonl.zst", "test.jsonl.zst")


def documents_of(shard: int) -> list[dict[str, Any]]:
    """About 250 documents of four subsets, some empty, some large, one without a subset's name."""
    found: list[dict[str, Any]] = []
    for number in range(250):
        text = f"{shard}.{number} é\n" + "x" * ((number * 37) % 200) if number % 50 else ""
        found.append({"text": text, "meta": {"pile_set_name": SUBSETS[number * 7 % 11 % 4]}})
    found[9]["meta"] = {"pile_set_name": "Github", "stars": 3}
    return found


def make_corpus(root: Path, frame_bytes: int = 1000) -> Path:
    """Three shards, indexed with small frames."""
    for shard, name in enumerate(SHARDS):
        source = root / "source" / name
        source.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(one) + "\n" for one in documents_of(shard))
        source.write_bytes(zstandard.ZstdCompressor().compress(lines.encode()))
        write_index(source, name, root / "indexed", IndexOptions(frame_bytes=frame_bytes))
    return root / "indexed"


@pytest.fixture
async def client(serve: Start, tmp_path: Path) -> Client:
    return await serve({"c": make_corpus(tmp_path)})


def unpack(
    chunk: stream_pb2.StreamCorpusResponse, held: list[stream_pb2.Frame]
) -> list[tuple[str, bytes]]:
    """Ids and texts of a chunk in its order; `held` keeps frames until their batch is whole."""
    found = [(one.id, one.text) for one in chunk.documents.documents]
    for frame in chunk.frames.frames:
        if held and held[-1].continues:
            held[-1].data += frame.data
            held[-1].continues = frame.continues
        else:
            held.append(frame)
    if chunk.WhichOneof("payload") == "frames" and chunk.cursor:
        batch: list[tuple[str, bytes]] = []
        for frame in held:
            data = zstandard.ZstdDecompressor().decompress(frame.data)
            assert len(data) == frame.content_bytes
            if frame.form == stream_pb2.FRAME_FORM_TEXT:
                texts, start = [], 0
                for size in frame.text_bytes:
                    texts.append(data[start : start + size])
                    start += size
            else:
                texts = [json.loads(line)["text"].encode() for line in data.splitlines()]
            for place, text in enumerate(texts):
                batch.append((f"{frame.shard}:{frame.first_line + place}", text))
        order = list(chunk.frames.order) or range(len(batch))
        found += [batch[index] for index in order]
        held.clear()
    return found


async def read(
    client: Client, chunks: int | None = None, **fields: Any
) -> tuple[list[tuple[str, bytes]], bytes]:
    """Read all chunks, or some; return the documents and the last cursor."""
    request = stream_pb2.StreamCorpusRequest(corpus=selection_pb2.CorpusRef(name="c"), **fields)
    found: list[tuple[str, bytes]] = []
    cursor, held, seen = fields.get("cursor", b""), list[stream_pb2.Frame](), 0
    if chunks == 0:
        return found, cursor
    call = client.corpus.StreamCorpus(request)
    async for chunk in call:
        found += unpack(chunk, held)
        if chunk.cursor:
            cursor = chunk.cursor
            seen += 1
            if seen == chunks:
                call.cancel()
                break
    return found, cursor


PASSES = selection_pb2.Mixture(
    passes=selection_pb2.SubsetWeights(by_subset={"ArXiv": 1.5, "Github": 1})
)
SELECTIONS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    seed=st.none() | st.integers(0, 2**64 - 1),
    subsets=st.sampled_from([(), ("Github",), ("Books3", "ArXiv")]),
    max_documents=st.sampled_from([0, 1, 100, 401]),
    max_bytes=st.sampled_from([0, 0, 5000]),
    min_text_bytes=st.sampled_from([0, 60]),
    epochs=st.sampled_from([1, 2]),
    mixture=st.sampled_from([None, None, PASSES, selection_pb2.Mixture(weights=PASSES.passes)]),
)


def expected(indexed: Path, selection: dict[str, Any]) -> list[tuple[str, bytes]]:
    """The documents of one epoch in the order of the shards, by nothing but zstd and json."""
    found = []
    for name in SHARDS:
        with zstandard.ZstdDecompressor().stream_reader(
            (indexed / name).open("rb"), read_across_frames=True
        ) as source:
            for number, line in enumerate(source.read().splitlines()):
                value = json.loads(line)
                subset, text = value["meta"]["pile_set_name"], value["text"].encode()
                wanted = selection["subsets"] or tuple(s for s in SUBSETS if s != "Books3")
                if selection["mixture"] is not None and subset not in PASSES.passes.by_subset:
                    continue
                if subset in wanted and len(text) >= selection["min_text_bytes"]:
                    found.append((f"{name}:{number}", text))
    return found


@pytest.mark.slow
@settings(
    # benchmarks/corpus/plans.py runs more of them.
    max_examples=int(os.environ.get("ASSAY_TEST_PLANS", "50")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    selection=SELECTIONS, worlds=st.lists(st.integers(1, 5), min_size=1, max_size=3), data=st.data()
)
def test_any_plan_with_restarts_and_changed_worlds_is_exact(
    event_loop_client: Any, selection: dict[str, Any], worlds: list[int], data: st.DataObject
) -> None:
    """Each document once an epoch, as the whole stream has them, however often it stops."""
    run, client, indexed = event_loop_client
    message = selection_pb2.Selection(**selection)
    whole, _ = run(read(client, selection=message, delivery=stream_pb2.DELIVERY_FRAMES))
    again, _ = run(read(client, selection=message, chunk_bytes=4096))
    assert whole == again
    base = expected(indexed, selection)
    limited = selection["max_documents"] or selection["max_bytes"]
    if selection["mixture"] is PASSES and not limited:
        counts = Counter(whole)
        assert counts.keys() == set(base)
        assert all(selection["epochs"] <= n <= 2 * selection["epochs"] for n in counts.values())
    elif selection["mixture"] is not None:
        assert set(whole) <= set(base)
    elif not limited:
        assert Counter(whole) == Counter(dict.fromkeys(base, selection["epochs"]))
        if selection["seed"] is None:
            assert whole == base * selection["epochs"]
    if selection["max_documents"]:
        assert len(whole) <= selection["max_documents"]
    taken: list[tuple[str, bytes]] = []
    points: list[stream_pb2.ResumePoint] = []
    for turn, size in enumerate(worlds):
        last = turn == len(worlds) - 1
        following: list[stream_pb2.ResumePoint] = []
        for rank in range(size):
            here = stream_pb2.ReaderRank(rank=rank, world_size=size)
            fields: dict[str, Any] = {"selection": message, "rank": here, "resume": points}
            fields["delivery"] = data.draw(st.sampled_from([stream_pb2.DELIVERY_FRAMES, 1]))
            fields["chunk_bytes"] = 4096
            chunks = None if last else data.draw(st.integers(0, 3))
            found, cursor = run(read(client, chunks, **fields))
            if not cursor and not last and points:
                found, cursor = run(read(client, 1, **fields))
            taken += found
            following.append(stream_pb2.ResumePoint(cursor=cursor, rank=here))
        points = following
    assert Counter(taken) == Counter(whole)


@pytest.fixture
def event_loop_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server and a client on a loop of their own, for tests that hypothesis calls many times."""
    indexed = make_corpus(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    entry = {"path": str(indexed), "kind": "sample"}
    monkeypatch.setenv("ASSAY_CORPUS_CORPORA", json.dumps({"c": entry}))
    loop = asyncio.new_event_loop()
    ports: dict[str, Any] = {"port": 0, "health_port": 0, "metrics_port": 0}
    chosen = CorpusSettings(**ports)

    async def start() -> Client:
        server = build_server(chosen, build_service(chosen))
        await server.start()
        return Client(server)

    client = loop.run_until_complete(start())
    yield loop.run_until_complete, client, indexed
    loop.run_until_complete(client.channel.close())
    loop.run_until_complete(client.server.stop(grace=0))
    loop.close()


async def test_a_document_is_found_by_its_id(client: Client) -> None:
    whole, _ = await read(client)
    ids = [whole[3][0], whole[400][0], whole[3][0]]
    request = stream_pb2.GetDocumentsRequest(corpus=selection_pb2.CorpusRef(name="c"), ids=ids)
    reply = await client.corpus.GetDocuments(request)
    assert [(one.id, one.text) for one in reply.documents] == [whole[3], whole[400], whole[3]]
    assert all(one.digest.startswith("sha256:") for one in reply.documents)


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        ([], grpc.StatusCode.INVALID_ARGUMENT),
        (["nonsense"], grpc.StatusCode.INVALID_ARGUMENT),
        (["train/00.jsonl.zst:03"], grpc.StatusCode.INVALID_ARGUMENT),
        (["train/09.jsonl.zst:3"], grpc.StatusCode.NOT_FOUND),
        (["train/00.jsonl.zst:250"], grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_ids_that_are_not_there_are_refused(
    client: Client, ids: list[str], code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.corpus.GetDocuments(
            stream_pb2.GetDocumentsRequest(corpus=selection_pb2.CorpusRef(name="c"), ids=ids)
        )
    assert refused.value.code() == code


@pytest.mark.parametrize("world", [(0, 0), (3, 3), (5, 2), (0, 65_537)])
async def test_ranks_that_there_are_not_are_refused(client: Client, world: tuple[int, int]) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="rank") as refused:
        await read(client, rank=stream_pb2.ReaderRank(rank=world[0], world_size=world[1]))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_cursor_of_another_rank_is_refused_naming_both(client: Client) -> None:
    _, cursor = await read(client, 1, rank=stream_pb2.ReaderRank(rank=1, world_size=3))
    with pytest.raises(grpc.aio.AioRpcError, match=r"rank 1 of 3.*rank 0 of 1") as refused:
        await read(client, cursor=cursor)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    point = stream_pb2.ResumePoint(cursor=cursor)
    with pytest.raises(grpc.aio.AioRpcError, match="rank 0 is missing"):
        await read(client, resume=[point], rank=stream_pb2.ReaderRank(rank=0, world_size=2))


async def test_a_mixture_passes_over_its_subsets_as_often_as_it_says(client: Client) -> None:
    selection = selection_pb2.Selection(mixture=PASSES, seed=7)
    found, _ = await read(client, selection=selection, delivery=stream_pb2.DELIVERY_FRAMES)
    again, _ = await read(client, selection=selection)
    assert found == again
    times = Counter(Counter(one for one, _ in found).values())
    github, _ = await read(client, selection=selection_pb2.Selection(subsets=["Github"]))
    arxiv, _ = await read(client, selection=selection_pb2.Selection(subsets=["ArXiv"]))
    assert {one for one, _ in found} == {one for one, _ in github + arxiv}
    assert times.keys() == {1, 2}
    assert abs(len(found) - len(github) - 1.5 * len(arxiv)) < 0.1 * len(arxiv)


async def test_a_frame_that_changed_is_data_loss_and_the_rest_can_be_had(
    serve: Start, tmp_path: Path
) -> None:
    root = make_corpus(tmp_path)
    file = root / SHARDS[0]
    index = open_index(root / "train" / "00.index")
    times = file.stat()
    books = index.header.subsets.index("Books3")
    broken = next(
        number
        for number, frame in enumerate(index.frames)
        if number > 1 and frame["text_frame_bytes"] and frame["subset"] != books
    )
    for column, name in (("offset", file), ("text_offset", root / "train" / "00.text.zst")):
        with name.open("r+b") as changed:
            changed.seek(int(index.frames[column][broken]) + 20)
            byte = changed.read(1)
            changed.seek(-1, os.SEEK_CUR)
            changed.write(bytes([byte[0] ^ 1]))
        os.utime(name, ns=(times.st_atime_ns, times.st_mtime_ns))
    client = await serve({"c": root})
    for delivery in (stream_pb2.DELIVERY_FRAMES, stream_pb2.DELIVERY_DOCUMENTS):
        with pytest.raises(
            grpc.aio.AioRpcError, match=rf"train/00.*frame {broken} .*digest"
        ) as refused:
            await read(client, delivery=delivery)
        assert refused.value.code() == grpc.StatusCode.DATA_LOSS
        found, _ = await read(client, delivery=delivery, skip_damaged=True)
        whole = expected_without(root, index)
        assert len(found) == len(whole) - int(index.frames["documents"][broken])


def expected_without(root: Path, index: Any) -> list[str]:
    """Ids of all documents that the indexes list, without the withdrawn ones."""
    found = []
    for name in ("train/00.index", "train/01.index", "test.index"):
        one = open_index(root / name)
        for frame in one.frames:
            if one.header.subsets[int(frame["subset"])] != "Books3":
                found += [f"{name}:{frame['first_line'] + i}" for i in range(frame["documents"])]
    return found


@pytest.mark.parametrize("seed", [None, *range(4, 12)])
async def test_what_comes_before_a_damaged_frame_is_delivered(
    serve: Start, tmp_path: Path, seed: int | None
) -> None:
    root = make_corpus(tmp_path, frame_bytes=200)
    client = await serve({"c": root})
    selection = selection_pb2.Selection(seed=seed, exclude_subsets=["ArXiv"])
    whole, _ = await read(client, selection=selection)
    index = open_index(root / "train" / "00.index")
    assert len(index.frames) > 128
    hurt = whole[len(whole) // 6][0] if seed is None else whole[len(whole) // 2][0]
    shard, _, at = hurt.rpartition(":")
    index = open_index(root / (shard.removesuffix(".jsonl.zst") + ".index"))
    frame = int(np.searchsorted(index.frames["first_line"], int(at), side="right")) - 1
    first = int(index.frames["first_line"][frame])
    lines = range(first, first + int(index.frames["documents"][frame]))
    lost = {f"{shard}:{line}" for line in lines}
    before = whole[: next(n for n, one in enumerate(whole) if one[0] in lost)]
    for column, file in (
        ("offset", root / shard),
        ("text_offset", root / shard.replace(".jsonl.zst", ".text.zst")),
    ):
        times = file.stat()
        data = bytearray(file.read_bytes())
        data[int(index.frames[column][frame]) + 10] ^= 1
        file.write_bytes(data)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    for delivery in (
        stream_pb2.DELIVERY_FRAMES,
        stream_pb2.DELIVERY_DOCUMENTS,
        stream_pb2.DELIVERY_JSONL,
    ):
        request = stream_pb2.StreamCorpusRequest(
            corpus=selection_pb2.CorpusRef(name="c"),
            selection=selection,
            delivery=delivery,
            chunk_bytes=1 << 20,  # units before the damaged one are in the same chunk
        )
        found: list[tuple[str, bytes]] = []
        lines_found: list[bytes] = []
        held: list[stream_pb2.Frame] = []

        async def follow(
            request: stream_pb2.StreamCorpusRequest = request,
            found: list[tuple[str, bytes]] = found,
            lines_found: list[bytes] = lines_found,
            held: list[stream_pb2.Frame] = held,
        ) -> None:
            async for chunk in client.corpus.StreamCorpus(request):
                found += unpack(chunk, held)
                lines_found += chunk.jsonl.lines.splitlines()

        with pytest.raises(grpc.aio.AioRpcError, match="digest") as refused:
            await follow()
        assert refused.value.code() == grpc.StatusCode.DATA_LOSS
        if delivery == stream_pb2.DELIVERY_JSONL:
            assert len(lines_found) == len(before)
        else:
            assert found == before


async def test_what_needs_an_index_says_so(serve: Start, tmp_path: Path) -> None:
    make_corpus(tmp_path)
    client = await serve({"c": tmp_path / "source"})
    for fields in (
        {"selection": selection_pb2.Selection(seed=1)},
        {"delivery": stream_pb2.DELIVERY_FRAMES},
        {"rank": stream_pb2.ReaderRank(rank=0, world_size=2)},
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="assay corpus index") as refused:
            await read(client, **fields)
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    found, _ = await read(client)
    assert (
        len(found)
        == len([1 for one in documents_of(0) if one["meta"]["pile_set_name"] != "Books3"]) * 3
    )


async def test_an_index_older_than_its_shard_stops_the_start(serve: Start, tmp_path: Path) -> None:
    root = make_corpus(tmp_path)
    with (root / SHARDS[0]).open("ab") as file:
        file.write(zstandard.ZstdCompressor().compress(b'{"text": "new"}\n'))
    with pytest.raises(BaseException, match="is not what its index"):
        await serve({"c": root})
