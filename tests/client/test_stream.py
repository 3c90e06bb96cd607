"""The client's stream against a real server that is stopped and started under it."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay.corpus import CorpusStream
from assay.corpus.v1 import corpus_pb2 as pb

from tests.client.conftest import Server


def ids(stream: CorpusStream, count: int | None = None) -> list[str]:
    found = []
    for document in stream:
        found.append(document.id)
        if len(found) == count:
            break
    return found


@pytest.mark.parametrize("delivery", [None, pb.DELIVERY_DOCUMENTS])
def test_every_delivery_gives_the_same_documents(
    server: Server, delivery: pb.Delivery.ValueType | None
) -> None:
    selection = pb.Selection(seed=5)
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
    selection = pb.Selection(seed=5)
    with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
        whole = ids(stream)
    for taken in (0, 1, 7, 100, len(whole)):
        with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
            before = ids(stream, taken) if taken else []
            state = json.loads(json.dumps(stream.state_dict()))
        with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
            stream.load_state_dict(state)
            assert before + ids(stream) == whole


def test_another_number_of_ranks_goes_on(server: Server) -> None:
    selection = pb.Selection(seed=9)
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
    with pytest.raises(ValueError, match="resume_from"):
        stream.load_state_dict(states[1])


def test_a_killed_server_costs_nothing_but_time(server: Server) -> None:
    """kill -9 at random places; the same stream goes on, each document once and in order."""
    chance = random.Random(11)
    selection = pb.Selection(seed=2, epochs=3)
    with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
        whole = ids(stream)
    found: list[str] = []
    stops = {chance.randrange(len(whole)) for _ in range(3)}
    with CorpusStream(server.address, "c", selection=selection, chunk_bytes=4096) as stream:
        for document in stream:
            found.append(document.id)
            if len(found) in stops:
                server.kill()
                server.start()
    assert found == whole


def test_patience_ends(tmp_path: Path) -> None:
    begun = time.monotonic()
    with (
        CorpusStream("127.0.0.1:9", "c", patience_seconds=0.3) as stream,
        pytest.raises(grpc.RpcError),
    ):
        next(iter(stream))
    assert time.monotonic() - begun < 60


def test_a_corpus_without_index_says_what_to_do(server: Server) -> None:
    with (
        CorpusStream(server.address, "plain", selection=pb.Selection(seed=1)) as stream,
        pytest.raises(grpc.RpcError, match="assay corpus index"),
    ):
        next(iter(stream))
    with CorpusStream(server.address, "plain", delivery=pb.DELIVERY_DOCUMENTS) as stream:
        assert len(ids(stream)) > 500
