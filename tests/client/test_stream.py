"""The client's stream against a real server that is stopped and started under it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from assay_rpc import errors
from assay_rpc.corpus import AsyncCorpusStream, CorpusStream
from assay_rpc.corpus.v1 import selection_pb2, stream_pb2

from services.corpus.shards.index.format import Index, open_index
from tests.client.conftest import Server
from tests.corpus.stream.test_indexed import make_corpus


def ids(stream: CorpusStream, count: int | None = None) -> list[str]:
    found = []
    for document in stream:
        found.append(document.id)
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("delivery", [None, stream_pb2.DELIVERY_DOCUMENTS])
def test_every_delivery_gives_the_same_documents(
    server: Server, delivery: stream_pb2.Delivery.ValueType | None
) -> None:
    selection = selection_pb2.Selection(seed=5)
    with CorpusStream(
        server.address, "c", selection=selection, chunk_bytes=4096, delivery=delivery
    ) as stream:
        documents = list(stream)
    with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
        texts = [text for batch in stream.texts() for text in batch]
    assert [one.text for one in documents] == texts
    assert len(documents) == len({one.id for one in documents}) > 500
    assert {one.subset for one in documents} == {"ArXiv", "Github", "PubMed Central"}


def test_a_state_resumes_in_the_middle_of_a_batch(server: Server) -> None:
    selection = selection_pb2.Selection(seed=5)
    with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
        whole = ids(stream)
    for taken in (0, 1, 7, 100, len(whole)):
        with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
            before = ids(stream, taken) if taken else []
            state = json.loads(json.dumps(stream.state_dict()))
        with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
            stream.load_state_dict(state)
            assert before + ids(stream) == whole


def test_damaged_frames_are_skipped_and_every_state_is_exact(tmp_path: Path) -> None:
    """A third of the frames of texts of a shard are damaged: the order is that of the others.

    Units have three frames, whose documents take turns.
    """
    selection = selection_pb2.Selection(seed=5)
    index = open_index(make_corpus(tmp_path, frame_bytes=500) / "train" / "00.index")
    hurt = Server(tmp_path, tmp_path / "home")
    hurt.start()
    try:
        _read_damaged(hurt, index, selection, tmp_path / "indexed" / "train" / "00.text.zst")
    finally:
        hurt.end()


def _read_damaged(
    hurt: Server, index: Index, selection: selection_pb2.Selection, texts: Path
) -> None:
    with CorpusStream(hurt.address, "c", selection=selection, chunk_bytes=4096) as stream:
        whole = ids(stream)
    data = bytearray(texts.read_bytes())
    lost: set[str] = set()
    for frame in index.frames[::3]:
        if frame["text_frame_bytes"]:
            data[int(frame["text_offset"]) + 10] ^= 1
            first = int(frame["first_line"])
            lost |= {f"train/00.jsonl.zst:{first + place}" for place in range(frame["documents"])}
    times = texts.stat()
    texts.write_bytes(data)
    os.utime(texts, ns=(times.st_atime_ns, times.st_mtime_ns))
    left = [one for one in whole if one not in lost]
    assert len(whole) - len(left) > 30

    def opened(**more: Any) -> CorpusStream:
        return CorpusStream(
            hurt.address, "c", selection=selection, chunk_bytes=4096, skip_damaged=True, **more
        )

    def assert_listed_once(listed: list[stream_pb2.DamagedFrame]) -> None:
        assert sum(frame.documents for frame in listed) == len(whole) - len(left)
        assert sorted((frame.shard, frame.frame) for frame in listed) == sorted(known)

    with (
        CorpusStream(hurt.address, "c", selection=selection) as stream,
        pytest.raises(errors.DataLoss, match="digest is off"),
    ):
        list(stream.texts())
    with opened() as stream:
        assert ids(stream) == left
        assert sum(frame.documents for frame in stream.damaged) == len(whole) - len(left)
        known = {(frame.shard, frame.frame) for frame in stream.damaged}
    with opened() as stream:
        before = [one for _ in range(len(left) // 7) for one in ids(stream, 7)]
        assert before + ids(stream) == left
        met = [(frame.shard, frame.frame) for frame in stream.damaged]
        assert len(met) == len(set(met))
        assert set(met) == known
    with opened() as stream:
        assert sum(len(batch) for batch in stream.texts()) == len(left)
    for taken in range(1, len(left), 23):
        with opened() as stream:
            before = ids(stream, taken)
            state = json.loads(json.dumps(stream.state_dict()))
            listed = list(stream.damaged)
        with opened() as stream:
            stream.load_state_dict(state)
            assert before + ids(stream) == left
            assert_listed_once(listed + stream.damaged)
        rest: list[str] = []
        for rank in range(2):
            with opened(rank=rank, world_size=2) as stream:
                stream.resume_from([state])
                rest += ids(stream)
                listed += stream.damaged
        assert sorted(before + rest) == sorted(left)
        assert_listed_once(listed)
    with pytest.raises(ValueError, match="needs DELIVERY_FRAMES"):
        opened(delivery=stream_pb2.DELIVERY_DOCUMENTS)


def test_another_number_of_ranks_goes_on(server: Server) -> None:
    selection = selection_pb2.Selection(seed=9)
    taken: list[str] = []
    states: list[dict[str, Any]] = []
    for rank in range(3):
        with CorpusStream(
            server.address, "c", selection=selection, chunk_bytes=4096, rank=rank, world_size=3
        ) as stream:
            taken += ids(stream, 11 * (rank + 1))
            states.append(stream.state_dict())
    for rank in range(2):
        with CorpusStream(
            server.address, "c", selection=selection, chunk_bytes=4096, rank=rank, world_size=2
        ) as stream:
            stream.resume_from(states)
            taken += ids(stream)
    with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
        assert sorted(taken) == sorted(ids(stream))
    with pytest.raises(errors.CursorMismatch, match="resume_from"):
        stream.load_state_dict(states[1])


@pytest.mark.parametrize("begun", [(), (0,), (1, 2)])
def test_a_rank_that_was_dealt_documents_and_took_none_keeps_them(
    server: Server, begun: tuple[int, ...]
) -> None:
    """Its state, saved before the server says its place, is not one of the beginning."""
    selection = selection_pb2.Selection(seed=9)

    def opened(rank: int, world_size: int) -> CorpusStream:
        return CorpusStream(
            server.address,
            "c",
            selection=selection,
            chunk_bytes=4096,
            rank=rank,
            world_size=world_size,
        )

    with opened(0, 1) as stream:
        whole = ids(stream)
    with opened(0, 1) as stream:
        taken = ids(stream, 100)
        states = [json.loads(json.dumps(stream.state_dict()))]
    for world_size in (3, 4, 3):
        saved = []
        for rank in range(world_size):
            with opened(rank, world_size) as stream:
                stream.resume_from(states)
                if rank in begun:
                    taken += ids(stream, 7)
                saved.append(json.loads(json.dumps(stream.state_dict())))
        states = saved
    with opened(2, 3) as stream:
        stream.load_state_dict(states[2])
        taken += ids(stream, 5)
        states[2] = stream.state_dict()
    with opened(0, 2) as stream:
        stream.resume_from(states)
        taken += ids(stream)

    async def other_half() -> list[str]:
        async with AsyncCorpusStream(
            server.address, "c", selection=selection, rank=1, world_size=2
        ) as other:
            other.resume_from(states)
            return [document.id async for document in other]

    assert sorted(taken + asyncio.run(other_half())) == sorted(whole)
    with opened(0, 1) as stream:
        with pytest.raises(errors.CursorMismatch, match="no state was given"):
            stream.resume_from([])
        with pytest.raises(errors.CursorMismatch, match="damaged"):
            stream.resume_from([states[0] | {"resume": [1], "version": 3}])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_ends_costs_nothing_but_time(server: Server, number: signal.Signals) -> None:
    """At random places; the same stream goes on, each document once and in order."""
    chance = random.Random(11)
    selection = selection_pb2.Selection(seed=2, epochs=3)
    with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
        whole = ids(stream)
    found: list[str] = []
    stops = {chance.randrange(len(whole)) for _ in range(3)}
    with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
        for document in stream:
            found.append(document.id)
            if len(found) in stops:
                server.end(number)
                server.start()
    assert found == whole


def test_patience_ends(tmp_path: Path) -> None:
    begun = time.monotonic()
    with (
        CorpusStream("127.0.0.1:9", "c", patience_seconds=0.3) as stream,
        pytest.raises(errors.Unavailable),
    ):
        next(iter(stream))
    assert time.monotonic() - begun < 60


def test_a_corpus_without_index_says_what_to_do(server: Server) -> None:
    with (
        CorpusStream(server.address, "plain", selection=selection_pb2.Selection(seed=1)) as stream,
        pytest.raises(errors.IndexRequired, match="assay corpus index"),
    ):
        next(iter(stream))
    with CorpusStream(server.address, "plain", delivery=stream_pb2.DELIVERY_DOCUMENTS) as stream:
        whole = ids(stream)
    assert len(whole) > 500


@pytest.mark.parametrize("taken", [1, 7, 300])
def test_a_corpus_without_index_is_streamed_and_continued(server: Server, taken: int) -> None:
    """Nobody says how it is delivered: the server decodes, whatever the client could."""
    with CorpusStream(server.address, "plain", chunk_bytes=4096) as stream:
        whole = ids(stream)
    with CorpusStream(server.address, "plain", chunk_bytes=4096) as stream:
        before = ids(stream, taken)
        state = json.loads(json.dumps(stream.state_dict()))
    with CorpusStream(server.address, "plain", chunk_bytes=8192) as stream:
        stream.load_state_dict(state)
        assert before + ids(stream) == whole
