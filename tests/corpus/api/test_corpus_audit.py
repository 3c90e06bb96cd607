"""CorpusAuditService over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.audit.v1alpha1 import corpus_audit_pb2 as pb
from assay_rpc.common.v1.common_pb2 import ModelRef
from assay_rpc.corpus.v1 import describe_pb2, scoring_pb2, selection_pb2

from services.corpus.api import corpus_audit as service
from tests.corpus.conftest import Client, Start
from tests.corpus.shard_files import line, write_corpus

CORPUS = selection_pb2.CorpusRef(name="c")
QUESTION = "Which of these rivers of the old kingdom runs north past the seven bridges of the town?"
CLEAN = "Nothing in this one was ever asked of anybody, as far as is known to those who wrote it."
MODEL = ModelRef(name="byte-reference")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(
        tmp_path_factory.mktemp("c"),
        {
            "train/00.jsonl.zst": [
                line(f"Quiz night. {QUESTION.upper()} Answer below.", "Pile-CC"),
                line(CLEAN, "Books3"),
                line(CLEAN, "Github"),
                line("mail ann@example.org", None),
            ],
            "test.jsonl.zst": [line(CLEAN, "Github"), line("", "Github")],
        },
    )


def sent(*texts: str, name: str = "quiz", **more: Any) -> Iterator[pb.AuditCorpusRequest]:
    asked = pb.CorpusToAudit(**{"corpus": CORPUS} | more)
    yield pb.AuditCorpusRequest(audit=asked)
    for text in texts:
        yield pb.AuditCorpusRequest(texts=pb.TestTexts(test_set=name, texts=[text.encode()]))


async def audited(client: Client, *texts: str, **more: Any) -> pb.CorpusAudit:
    call = client.corpus_audit.AuditCorpus(sent(*texts, **more))
    updates = [update async for update in call]
    assert {update.WhichOneof("update") for update in updates[:-1]} <= {"progress"}
    return updates[-1].result


@pytest.mark.slow
async def test_what_a_corpus_has_of_a_test_set(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    found = await audited(client, "of five words or so", QUESTION, CLEAN[:30])
    contamination = found.contamination
    (quiz,) = contamination.test_sets
    assert (quiz.test_set, quiz.texts, quiz.too_short, quiz.found) == ("quiz", 3, 2, 1)
    assert quiz.longest == len(QUESTION.split())
    assert quiz.share.low < 1 == quiz.share.high
    assert (contamination.hits, contamination.ngram_words) == (1, 13)
    (place,) = contamination.places
    assert (place.document, place.subset, place.split) == (
        "train/00.jsonl.zst:0",
        "Pile-CC",
        "train",
    )
    assert (place.number, place.start, place.end) == (1, 12, 12 + len(QUESTION) - 1)
    assert place.excerpt == QUESTION.upper()[:-1]
    parts = {part.name: part for part in found.subsets}
    # Books3 was withdrawn: it is read only where it is named.
    assert list(parts) == ["", "Github", "Pile-CC"]
    assert parts["Pile-CC"].contaminated_documents == 1
    assert parts["Pile-CC"].contaminated_bytes == len(QUESTION) - 1
    assert parts["Github"].contaminated_share.low == 0 < parts["Github"].contaminated_share.high
    assert parts["Pile-CC"].published_share == pytest.approx(0.1811)
    assert not parts[""].HasField("published_share")
    assert parts["Github"].rights.license
    assert parts["Github"].exact_repeats == found.exact.documents == 1
    overlap = {(one.split, one.other): one.documents for one in found.exact.between}
    assert overlap == {("train", "test"): 1, ("test", "train"): 1}
    assert found.whole.documents == 5
    assert found.whole.contaminated_documents == 1
    assert found.whole.personal.emails == parts[""].personal.emails == 1
    assert 0 < found.distance.interval.low <= found.distance.total_variation <= 1
    assert (found.corpus.name, found.license.id) == ("c", "MIT")
    assert not found.HasField("score")
    assert not found.HasField("near")


async def test_a_ranker_is_answered(serve: Start, root: Path) -> None:
    pytest.importorskip("rensa")
    from services.ranker.peers.corpus import CorpusClient  # noqa: PLC0415

    client = await serve({"c": root})
    async with grpc.aio.insecure_channel(f"127.0.0.1:{client.server.port}") as channel:
        found = await CorpusClient(channel).audit(CORPUS)
    assert found.whole.documents == 5
    assert found.whole.personal.documents == 1
    assert found.near.documents == 1


async def test_a_withdrawn_subset_is_audited_where_it_is_named(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    found = await audited(client, selection=selection_pb2.Selection(subsets=["Books3"]))
    (part,) = found.subsets
    assert part.name == "Books3"
    assert part.rights.availability == describe_pb2.AVAILABILITY_BY_NAME
    assert not found.HasField("contamination")
    assert not part.HasField("contaminated_documents")


@pytest.mark.slow
async def test_bits_per_byte_with_and_without(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    found = (await audited(client, QUESTION, model=MODEL)).score
    score = scoring_pb2.ScoreBPBRequest(corpus=CORPUS, model=MODEL, per_document=True)
    updates = [update async for update in client.scoring.ScoreBPB(score)]
    one_by_one = {
        one.document.id: one.document.score for one in updates if one.HasField("document")
    }
    whole = updates[-1].result.overall
    assert found.all.bits_per_byte == pytest.approx(whole.bits_per_byte)
    assert found.all.text_bytes == whole.text_bytes
    assert (found.all.documents, found.without.documents, found.contaminated.documents) == (4, 3, 1)
    assert found.excluded == 1, "the empty document"
    quiz = one_by_one["train/00.jsonl.zst:0"]
    assert found.contaminated.bits_per_byte == pytest.approx(quiz.bits_per_byte)
    assert found.without.text_bytes == whole.text_bytes - quiz.text_bytes
    assert found.model.name == MODEL.name


@pytest.mark.slow
async def test_languages_and_near_duplicates_are_told_on_request(serve: Start, root: Path) -> None:
    pytest.importorskip("rensa")
    pytest.importorskip("py3langid")
    client = await serve({"c": root})
    found = await audited(client, near_duplicates=True, languages=True)
    assert found.near.documents == 1
    assert found.near_documents == found.languages_documents == 5
    assert sum(one.documents for one in found.languages) == 5
    assert all(one.share.low <= one.documents / 5 <= one.share.high for one in found.languages)


async def refused(client: Client, requests: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [update async for update in client.corpus_audit.AuditCorpus(requests)]
    return caught.value.code(), caught.value.details() or ""


async def test_what_cannot_be_audited(
    serve: Start, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await serve({"c": root})
    bad = grpc.StatusCode.INVALID_ARGUMENT
    selection = selection_pb2.Selection
    texts = pb.AuditCorpusRequest(texts=pb.TestTexts(test_set="x"))
    twice = [*sent(), *sent()]
    nameless = [*sent(), pb.AuditCorpusRequest(texts=pb.TestTexts(texts=[b"x"]))]
    weighted = selection(corpora=[selection_pb2.WeightedCorpus(corpus=CORPUS, weight=1)])
    cases: list[tuple[Any, grpc.StatusCode, str]] = [
        ([], bad, "no message was sent"),
        ([texts], bad, "the first message must have it"),
        (twice, bad, "is given twice"),
        (nameless, bad, "texts.test_set"),
        (sent(selection=selection(epochs=2)), bad, "selection.epochs"),
        (sent(selection=selection(sample=selection_pb2.Sample(spans=2))), bad, "selection.sample"),
        (sent(corpus=None, selection=weighted), bad, "selection.corpora"),
        (sent(ngram_words=2000), bad, "an n-gram has 1 to 1,000 words"),
        (sent("x", ngram_words=2000), bad, "an n-gram has 1 to 1,000 words"),
        (sent(selection=selection(subsets=["Nope"])), grpc.StatusCode.NOT_FOUND, "Nope"),
        (sent(corpus=selection_pb2.CorpusRef(name="d")), grpc.StatusCode.NOT_FOUND, "corpus"),
        (sent(model=ModelRef(name="gpt9")), grpc.StatusCode.NOT_FOUND, "gpt9"),
        (sent(model=ModelRef()), bad, "model.name"),
    ]
    for requests, code, words in cases:
        got, details = await refused(client, iter(requests))
        assert (got, words in details) == (code, True), (words, details)
    monkeypatch.setattr(service, "MOST_TEST_BYTES", 50)
    small = await serve({"c": root}, home=root.parent / "home")
    code, details = await refused(small, sent(QUESTION))
    assert (code, "send fewer at a time" in details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
    assert (await audited(client)).whole.documents == 5, "the place is free again"


async def test_one_audit_at_a_time_and_a_cancelled_one_gives_way(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    waiting = asyncio.Event()

    async def never_done() -> AsyncIterator[pb.AuditCorpusRequest]:
        yield next(sent())
        waiting.set()
        await asyncio.Event().wait()

    first = client.corpus_audit.AuditCorpus(never_done())
    reading = asyncio.ensure_future(first.read())
    await waiting.wait()
    code, details = grpc.StatusCode.OK, ""
    while code is not grpc.StatusCode.RESOURCE_EXHAUSTED:  # until the server has seen the first
        try:
            await audited(client)
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), error.details() or ""
    assert "one at a time" in details
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    while code is grpc.StatusCode.RESOURCE_EXHAUSTED:  # until the server has seen it leave
        try:
            found = await audited(client)
        except grpc.aio.AioRpcError as error:
            code = error.code()
        else:
            code = grpc.StatusCode.OK
    assert code is grpc.StatusCode.OK
    assert found.whole.documents == 5


async def test_a_caller_that_is_silent_is_not_waited_for(
    serve: Start, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_SILENCE_SECONDS", 0.01)
    client = await serve({"c": root})

    async def silent() -> AsyncIterator[pb.AuditCorpusRequest]:
        yield next(sent())
        await asyncio.Event().wait()

    code, details = await refused(client, silent())
    assert (code, "no text came" in details) == (grpc.StatusCode.DEADLINE_EXCEEDED, True)
