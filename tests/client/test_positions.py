"""Where a stream is: states, fallbacks, and frames that are larger than they say."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from assay_rpc import errors
from assay_rpc.client import AsyncCorpusStream, CorpusStream, stream
from assay_rpc.corpus.v1 import selection_pb2, stream_pb2
from hypothesis import given
from hypothesis import strategies as st

from tests.client.small_server import DIGEST, TEXTS, Small, serving

DELIVERIES = [None, stream_pb2.DELIVERY_DOCUMENTS]


def texts(documents: Any, count: int | None = None) -> list[str]:
    found: list[str] = []
    if count == 0:
        return found
    for document in documents:
        found.append(document.text)
        if len(found) == count:
            break
    return found


@pytest.mark.slow
@pytest.mark.parametrize("corpus", ["c", "plain"])
@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("cut", [None, 0, 2])
def test_a_state_continues_with_the_next_document(
    corpus: str, delivery: stream_pb2.Delivery.ValueType | None, cut: int | None
) -> None:
    with serving(Small(cut)) as address:
        for taken in range(len(TEXTS) + 1):
            with stream(address, corpus, delivery=delivery) as documents:
                before = texts(documents, taken)
                state = json.loads(json.dumps(documents.state_dict()))
            with stream(address, corpus, delivery=delivery) as documents:
                documents.load_state_dict(state)
                assert before + texts(documents) == TEXTS


def test_the_state_of_the_only_rank_is_resumed_from_without_an_index() -> None:
    with serving(Small()) as address:
        with stream(address, "plain") as documents:
            before = texts(documents, 7)
            state = documents.state_dict()
        with stream(address, "plain") as documents:
            documents.resume_from([state])
            assert before + texts(documents) == TEXTS


@pytest.mark.slow
@given(taken=st.lists(st.integers(1, 7), max_size=6))
def test_iterating_again_continues(taken: list[int]) -> None:
    with serving(Small()) as address, stream(address, "plain") as documents:
        found = [text for count in taken for text in texts(documents, count)]
        assert found + texts(documents) == TEXTS


def test_documents_and_texts_are_the_same() -> None:
    with serving(Small()) as address:
        with stream(address, "c") as documents:
            found = list(documents)
        with stream(address, "c") as documents:
            assert [text for batch in documents.texts() for text in batch] == TEXTS
        with stream(address, "c") as documents:
            as_bytes = [text for batch in documents.texts_bytes() for text in batch]
    assert [one.text for one in found] == TEXTS
    assert [one.text_bytes for one in found] == as_bytes
    assert [(one.id, one.line) for one in found] == [(f"a:{line}", line) for line in range(20)]
    assert {one.frame for one in found} == {0, 1, 2, 3}
    with pytest.raises(AttributeError):
        found[0].text = ""  # type: ignore[misc]  # meant


def test_a_corpus_without_an_index_gives_documents() -> None:
    small = Small()
    with serving(small) as address:
        with stream(address, "plain") as documents:
            found = list(documents)
        assert [one.text for one in found] == TEXTS
        assert {one.frame for one in found} == {None}
        assert [one.delivery for one in small.requests] == [
            stream_pb2.DELIVERY_FRAMES,
            stream_pb2.DELIVERY_DOCUMENTS,
        ]
        with stream(address, "plain", seed=1) as documents, pytest.raises(errors.IndexRequired):
            next(iter(documents))
        with (
            stream(address, "plain", delivery=stream_pb2.DELIVERY_FRAMES) as documents,
            pytest.raises(errors.IndexRequired),
        ):
            next(iter(documents))


def test_a_state_says_what_it_is_of() -> None:
    with serving(Small()) as address, stream(address, "c", subsets=["s"], seed=2**63) as documents:
        texts(documents, 7)
        state = json.loads(json.dumps(documents.state_dict()))
    assert state["digest"] == DIGEST
    assert state["selection"]["subsets"] == ["s"]
    with CorpusStream("localhost:1", "c", selection=selection_pb2.Selection(seed=1)) as other:
        for changed, named in (
            ({}, "selection"),
            ({"selection": {"seed": "1"}, "corpus": "d"}, "corpus"),
            ({"selection": {"seed": "1"}, "rank": 1}, "resume_from takes"),
            ({"version": 1}, "start over"),
        ):
            with pytest.raises(errors.CursorMismatch, match=named):
                other.load_state_dict({**state, **changed})
        own = other.state_dict()
        with pytest.raises(errors.CursorMismatch, match="different epochs"):
            other.resume_from([own, {**own, "epoch": 1}])


def test_a_state_holds_a_corpus_to_its_digest() -> None:
    small = Small()
    with serving(small) as address, stream(address, "c") as documents:
        texts(documents, 3)
        state = documents.state_dict()
        assert not small.requests[0].corpus.digest
        documents.load_state_dict(state)
        texts(documents)
    assert small.requests[-1].corpus.digest == DIGEST


def test_an_epoch_is_another_seed_and_begins_anew() -> None:
    small = Small()
    with serving(small) as address, stream(address, "c", seed=2**64 - 1) as documents:
        texts(documents, 3)
        documents.set_epoch(2)
        assert texts(documents) == TEXTS
        state = documents.state_dict()
        with stream(address, "c", seed=2**64 - 1) as others:
            others.load_state_dict(state)
            assert texts(others) == []
    assert [one.selection.seed for one in small.requests] == [2**64 - 1, 1, 1]
    with stream("localhost:1", "c") as documents, pytest.raises(ValueError, match="give a seed"):
        documents.set_epoch(1)


@pytest.mark.parametrize("corpus", ["bomb", "bomb-with-size"])
def test_a_frame_is_decoded_no_further_than_its_stated_size(corpus: str) -> None:
    pytest.importorskip("zstandard")
    with (
        serving(Small()) as address,
        stream(address, corpus) as documents,
        pytest.raises(errors.DataLoss, match="frame 0 of a arrived damaged"),
    ):
        next(iter(documents))


@pytest.mark.parametrize("corpus", ["c", "plain"])
@pytest.mark.parametrize("cut", [None, 0, 2])
async def test_the_asyncio_stream_gives_the_same(corpus: str, cut: int | None) -> None:
    with serving(Small(cut)) as address:
        async with AsyncCorpusStream(address, corpus) as documents:
            found = [one.text async for one in documents]
        assert found == TEXTS
        async with AsyncCorpusStream(address, corpus) as documents:
            assert [one for batch in [x async for x in documents.texts()] for one in batch] == TEXTS
        async with AsyncCorpusStream(address, corpus) as documents:
            raw = [one for batch in [x async for x in documents.texts_bytes()] for one in batch]
        assert [one.decode("utf-8", "surrogatepass") for one in raw] == TEXTS
        async with AsyncCorpusStream(address, corpus) as documents:
            before = []
            async for one in documents:
                before.append(one.text)
                if len(before) == 7:
                    break
            state = documents.state_dict()
        with stream(address, corpus) as blocking:
            blocking.load_state_dict(state)
            assert before + texts(blocking) == TEXTS


def test_a_program_that_ends_in_the_middle_says_nothing() -> None:
    program = (
        "import sys; from assay_rpc.client import stream; "
        "documents = iter(stream(sys.argv[1], 'endless')); print(next(documents).text)"
    )
    with serving(Small()) as address:
        for _ in range(5):
            ended = subprocess.run(
                [sys.executable, "-c", program, address],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            assert (ended.stdout, ended.stderr) == ("document 0\n", "")
