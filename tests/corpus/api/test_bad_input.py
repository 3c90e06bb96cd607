"""What is wrong with a corpus or a request is refused or told, and the rest is delivered."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import grpc
import pytest
from assay_rpc.corpus.v1 import describe_pb2, selection_pb2, stream_pb2

from services.corpus.api import corpus as servicer
from services.corpus.catalog.lookup import find_documents
from services.corpus.shards.index.format import open_index
from tests.corpus.conftest import Client, Start
from tests.corpus.shard_files import line, open_corpus, write_corpus
from tests.corpus.stream.test_indexed import SHARDS, make_corpus, read

Damage = Callable[[bytearray], bytes | bytearray]


def flip(data: bytearray, offset: int) -> bytearray:
    data[offset] ^= 0x55
    return data


DAMAGES: dict[str, Damage] = {
    "truncated": lambda data: data[: len(data) // 2],
    "flipped": lambda data: flip(data, len(data) // 3),
    "wrong magic": lambda data: flip(data, 0),
    "empty": lambda _: b"",
}


def hurt(file: Path, damage: Damage, *, unseen: bool = False) -> None:
    """Damage a file; `unseen` as a disk does, without a new time."""
    times = file.stat()
    file.write_bytes(damage(bytearray(file.read_bytes())))
    if unseen:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize("damage", DAMAGES)
async def test_an_indexed_shard_that_was_damaged_stops_the_start(
    serve: Start, tmp_path: Path, damage: str
) -> None:
    root = make_corpus(tmp_path)
    hurt(root / SHARDS[0], DAMAGES[damage])
    with pytest.raises(BaseException, match=r"train/00\.jsonl\.zst is not what its index"):
        await serve({"c": root})


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("delivery", [stream_pb2.DELIVERY_FRAMES, stream_pb2.DELIVERY_DOCUMENTS])
async def test_a_shard_that_is_damaged_while_it_is_served_is_told(
    serve: Start, tmp_path: Path, damage: str, delivery: stream_pb2.Delivery.ValueType
) -> None:
    client = await serve({"c": make_corpus(tmp_path)})
    hurt(tmp_path / "indexed" / SHARDS[0], DAMAGES[damage])
    with pytest.raises(grpc.aio.AioRpcError, match=r"train/00.*has changed") as refused:
        await read(client, delivery=delivery)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    rest, _ = await read(
        client, delivery=delivery, selection=selection_pb2.Selection(splits=["test"])
    )
    assert rest


@pytest.mark.parametrize("damage", ["flipped", "wrong magic"])
@pytest.mark.parametrize(
    ("file", "delivery"),
    [("00.text.zst", stream_pb2.DELIVERY_FRAMES), ("00.jsonl.zst", stream_pb2.DELIVERY_DOCUMENTS)],
)
async def test_damage_that_only_a_digest_tells_is_data_loss_with_where(
    serve: Start, tmp_path: Path, damage: str, file: str, delivery: stream_pb2.Delivery.ValueType
) -> None:
    """Of a frame: the rest is to be had. Where a frame begins is in the message."""
    root = make_corpus(tmp_path)
    client = await serve({"c": root})
    whole, _ = await read(client, delivery=delivery)
    hurt(root / "train" / file, DAMAGES[damage], unseen=True)
    with pytest.raises(grpc.aio.AioRpcError, match="the digest is off") as refused:
        await read(client, delivery=delivery)
    assert refused.value.code() == grpc.StatusCode.DATA_LOSS
    said = refused.value.details() or ""
    frame = int(said.partition("frame ")[2].partition(" ")[0])
    index = open_index(root / "train" / "00.index")
    record = index.frames[frame]
    column = "text_offset" if file == "00.text.zst" else "offset"
    assert said.endswith(f"at compressed byte {record[column]}")
    found, _ = await read(client, delivery=delivery, skip_damaged=True)
    first = int(record["first_line"])
    lost = {f"{SHARDS[0]}:{first + place}" for place in range(record["documents"])}
    assert found == [one for one in whole if one[0] not in lost]
    assert len(found) < len(whole)


@pytest.mark.parametrize("seed", [None, 3, 4])
@pytest.mark.parametrize("delivery", [stream_pb2.DELIVERY_DOCUMENTS, stream_pb2.DELIVERY_JSONL])
async def test_wherever_a_call_is_gone_on_from_damage_is_told_once(
    serve: Start, tmp_path: Path, seed: int | None, delivery: stream_pb2.Delivery.ValueType
) -> None:
    """Every second frame, so that documents of good and damaged ones take turns, and the last."""
    root = make_corpus(tmp_path, frame_bytes=500)
    client = await serve({"c": root})
    expected: set[tuple[str, int]] = set()
    lost = 0
    for name in SHARDS:
        index = open_index(root / name.replace(".jsonl.zst", ".index"))
        last = len(index.frames) - 1
        hurt_ones = {number for number in range(last + 1) if number % 2 or number == last}
        data = bytearray((root / name).read_bytes())
        for number in hurt_ones:
            record = index.frames[number]
            flip(data, int(record["offset"]) + 10)
            if index.header.subsets[int(record["subset"])] != "Books3":
                expected.add((name, number))
                lost += int(record["documents"])
        hurt(root / name, lambda _, damaged=data: damaged, unseen=True)  # type: ignore[misc]
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name="c"),
        selection=selection_pb2.Selection(seed=seed),
        delivery=delivery,
        chunk_bytes=4096,
        skip_damaged=True,
    )
    whole = [chunk async for chunk in client.corpus.StreamCorpus(request)]
    assert len(whole) > 5
    for cut, chunk in enumerate(whole, 1):
        assert chunk.cursor
        request.cursor = chunk.cursor
        rest = [chunk async for chunk in client.corpus.StreamCorpus(request)]
        told = [frame for chunk in [*whole[:cut], *rest] for frame in chunk.damaged]
        assert sum(frame.documents for frame in told) == lost
        assert sorted((frame.shard, frame.frame) for frame in told) == sorted(expected)
    assert not rest  # nothing is left after the last cursor


@pytest.mark.parametrize("world", [(0, 0), (1, 1), (5, 2)])
async def test_ranks_that_there_are_not_need_no_index_to_be_refused(
    serve: Start, tmp_path: Path, world: tuple[int, int]
) -> None:
    make_corpus(tmp_path)
    client = await serve({"c": tmp_path / "source"})
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await read(client, rank=stream_pb2.ReaderRank(rank=world[0], world_size=world[1]))
    needs = grpc.StatusCode.FAILED_PRECONDITION if world[1] > 1 else None
    assert refused.value.code() == (needs or grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize("by", ["weights", "passes"])
@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"ArXiv": -1.0}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"ArXiv": float("nan")}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"ArXiv": float("inf")}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"ArXiv": 0.0}, grpc.StatusCode.INVALID_ARGUMENT),
        ({}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"Nothing": 1.0}, grpc.StatusCode.NOT_FOUND),
    ],
)
async def test_weights_and_passes_that_mean_nothing_are_refused(
    serve: Start, tmp_path: Path, by: str, values: dict[str, float], code: grpc.StatusCode
) -> None:
    client = await serve({"c": make_corpus(tmp_path)})
    chosen = selection_pb2.SubsetWeights(by_subset=values)
    mixture = (
        selection_pb2.Mixture(weights=chosen)
        if by == "weights"
        else selection_pb2.Mixture(passes=chosen)
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await read(client, selection=selection_pb2.Selection(mixture=mixture))
    assert refused.value.code() == code


SPELLINGS = (b"Books3", rb"\u0042ooks3", rb"Book\u00733", rb"Books\u0033", rb"B\u006f\u006Fks3")


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("delivery", [stream_pb2.DELIVERY_JSONL, stream_pb2.DELIVERY_DOCUMENTS])
async def test_a_withdrawn_subset_stays_away_however_it_is_spelled(
    serve: Start, tmp_path: Path, spelling: bytes, delivery: stream_pb2.Delivery.ValueType
) -> None:
    kept = [line(f"\u00e9 {number}") for number in range(3)]
    withdrawn = line("a book", "Books3").replace(b"Books3", spelling)
    write_corpus(tmp_path, {"test.jsonl.zst": [*kept[:2], withdrawn, kept[2]]})
    client = await serve({"c": tmp_path})
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name="c"), delivery=delivery
    )
    lines, texts = b"", []
    async for chunk in client.corpus.StreamCorpus(request):
        lines += chunk.jsonl.lines
        texts += [document.text.decode() for document in chunk.documents.documents]
    assert lines == (b"".join(kept) if delivery == stream_pb2.DELIVERY_JSONL else b"")
    assert texts == ([] if lines else [f"\u00e9 {number}" for number in range(3)])
    request.selection.subsets.append("Books3")
    (named,) = [chunk async for chunk in client.corpus.StreamCorpus(request)]
    assert named.jsonl.lines == (withdrawn if lines else b"")
    assert len(named.documents.documents) == (0 if lines else 1)


async def ids(client: Client, *wanted: str) -> list[bytes]:
    request = stream_pb2.GetDocumentsRequest(corpus=selection_pb2.CorpusRef(name="c"), ids=wanted)
    return [one.text for one in (await client.corpus.GetDocuments(request)).documents]


async def test_documents_of_a_shard_without_an_index_are_looked_for(
    serve: Start, tmp_path: Path
) -> None:
    lines = [line(f"{number} " + "x" * 400_000) for number in range(20)]
    root = write_corpus(tmp_path / "plain", {"test.jsonl.zst": [*lines, b"{oops}\n"]})
    client = await serve({"c": root}, reader_threads=1)
    found = await ids(client, "test.jsonl.zst:17", "test.jsonl.zst:3", "test.jsonl.zst:17")
    assert [text.split()[0] for text in found] == [b"17", b"3", b"17"]
    for wanted, code in (
        ("test.jsonl.zst:20", grpc.StatusCode.DATA_LOSS),
        ("test.jsonl.zst:21", grpc.StatusCode.NOT_FOUND),
        ("test.jsonl.zst:017", grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ids(client, wanted)
        assert refused.value.code() == code
    # It stops after every block, so that others get their turn.
    steps = list(find_documents(open_corpus(root, tmp_path / "c"), ["test.jsonl.zst:17"], 1 << 20))
    assert [step is None for step in steps] == [*[True] * (len(steps) - 1), False]
    assert len(steps) >= 6


@pytest.mark.parametrize("name", ["a\nb.jsonl", "a:1.jsonl", "a%0A \u2028.jsonl"])
async def test_documents_are_found_and_streams_continue_whatever_the_file_is_called(
    serve: Start, tmp_path: Path, name: str
) -> None:
    root = write_corpus(tmp_path / "plain", {name: line("a") + line("b")})
    client = await serve({"c": root})
    assert await ids(client, f"{name}:1", f"{name}:0") == [b"b", b"a"]
    request = stream_pb2.StreamCorpusRequest(corpus=selection_pb2.CorpusRef(name="c"))
    request.selection.max_documents = 1
    chunks = [chunk async for chunk in client.corpus.StreamCorpus(request)]
    request.cursor = chunks[-1].cursor
    assert [chunk async for chunk in client.corpus.StreamCorpus(request)] == []


async def test_a_search_ends_with_its_call(
    serve: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, closed = threading.Event(), threading.Event()

    def search(*_: object) -> Generator[None]:
        try:
            while True:  # a shard without an end
                looking.set()
                yield None
        finally:
            closed.set()

    monkeypatch.setattr(servicer, "find_documents", search)
    root = write_corpus(tmp_path / "plain", {"test.jsonl.zst": [line("a")]})
    client = await serve({"c": root}, reader_threads=1)
    call = client.corpus.GetDocuments(
        stream_pb2.GetDocumentsRequest(
            corpus=selection_pb2.CorpusRef(name="c"), ids=["test.jsonl.zst:0"]
        )
    )
    assert await asyncio.to_thread(looking.wait, 10)
    call.cancel()
    assert await asyncio.to_thread(closed.wait, 10)


async def test_bad_lines_and_files_that_are_not_read_are_named(
    serve: Start, tmp_path: Path
) -> None:
    root = write_corpus(
        tmp_path / "corpus",
        {
            "train/00.jsonl.zst": [line("a"), b'{"text": null}\n', b"\n", line("b")],
            "train/01.jsonl.gz": b"",
        },
    )
    client = await serve({"small": root})
    ref = selection_pb2.CorpusRef(name="small")
    reply = await client.corpus.GetCorpus(describe_pb2.GetCorpusRequest(corpus=ref))
    assert (list(reply.corpus.left_out), reply.corpus.left_out_total) == (["train/01.jsonl.gz"], 1)
    for delivery in (stream_pb2.DELIVERY_DOCUMENTS, stream_pb2.DELIVERY_JSONL):
        request = stream_pb2.StreamCorpusRequest(corpus=ref, delivery=delivery)
        with pytest.raises(grpc.aio.AioRpcError, match=r"line 1 .*--skip-bad-lines"):
            async for _ in client.corpus.StreamCorpus(request):
                pass
        request.skip_bad_lines = True
        chunks = [chunk async for chunk in client.corpus.StreamCorpus(request)]
        (bad,) = [one for chunk in chunks for one in chunk.bad_lines]
        assert (bad.shard, bad.line, bad.rest) == ("train/00.jsonl.zst", 1, False)
        # What resumes after the report does not repeat it.
        request.cursor = chunks[-1].cursor
        assert not [one async for one in client.corpus.StreamCorpus(request) if one.bad_lines]
    with pytest.raises(grpc.aio.AioRpcError, match="line 1"):
        async for _ in client.corpus.DescribeCorpus(describe_pb2.DescribeCorpusRequest(corpus=ref)):
            pass
