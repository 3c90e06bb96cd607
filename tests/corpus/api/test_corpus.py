"""Every call of the corpus service, over a socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay.common.v1.common_pb2 import ModelRef
from assay.corpus.v1 import corpus_pb2 as pb
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from services.corpus.shards.documents import parse_line
from tests.corpus.conftest import Client, Start
from tests.corpus.shard_files import compress, line, write_corpus

GOLDEN = Path(__file__).parent / "golden"
SUBSETS = ("Github", "Enron Emails")
LINES = {
    "train/00.jsonl.zst": [line(f"train {n} " + "x" * n * 10, SUBSETS[n % 2]) for n in range(50)],
    "test.jsonl.zst": [line(f"test {n} \ud800", SUBSETS[n % 2]) for n in range(20)],
}
SMALL = pb.CorpusRef(name="small")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "small", LINES)


async def _stream(client: Client, **request: Any) -> list[pb.StreamCorpusResponse]:
    call = client.corpus.StreamCorpus(pb.StreamCorpusRequest(**{"corpus": SMALL, **request}))
    return [response async for response in call]


def _details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The status details by the name of their message."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert isinstance(status, status_pb2.Status)
    found = {}
    for packed in status.details:
        kind = packed.type_url.rpartition(".")[2]
        message = getattr(error_details_pb2, kind)()
        assert packed.Unpack(message)
        found[kind] = message
    return found


async def test_list_corpora(serve: Start, root: Path) -> None:
    client = await serve({"small": root, "other": root})
    first = await client.corpus.ListCorpora(pb.ListCorporaRequest(page_size=1))
    assert [summary.corpus.name for summary in first.corpora] == ["other"]
    rest = await client.corpus.ListCorpora(pb.ListCorporaRequest(page_token=first.next_page_token))
    (summary,) = rest.corpora
    assert not rest.next_page_token
    assert summary.corpus.name == "small"
    assert summary.corpus.digest.startswith("sha256:")
    assert summary.kind == pb.CORPUS_KIND_SAMPLE
    assert list(summary.splits) == ["train", "test"]
    assert summary.compressed_bytes == sum((root / path).stat().st_size for path in LINES)


async def test_describe_corpus(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    found = await client.corpus.DescribeCorpus(pb.DescribeCorpusRequest(corpus=SMALL))
    assert (found.source, found.license.id) == ("a test", "MIT")
    assert found.documents == 70
    assert [(s.split, s.path, s.documents) for s in found.shards] == [
        ("train", "train/00.jsonl.zst", 50),
        ("test", "test.jsonl.zst", 20),
    ]
    assert all(shard.digest.startswith("sha256:") for shard in found.shards)
    assert [shard.jsonl_bytes for shard in found.shards] == [
        sum(map(len, lines)) for lines in LINES.values()
    ]
    assert [(s.name, s.documents) for s in found.subsets if s.documents] == [
        ("Enron Emails", 35),
        ("Github", 35),
    ]
    assert sum(subset.share for subset in found.subsets) == pytest.approx(1)
    assert all(subset.HasField("published") for subset in found.subsets)
    assert (found.documents_without_subset, found.duplicate_documents) == (0, 0)


async def test_describe_the_pile_beside_what_was_published(serve: Start, root: Path) -> None:
    client = await serve({"the-pile": root})
    request = pb.DescribeCorpusRequest(corpus=pb.CorpusRef(name="the-pile"))
    subsets = {s.name: s for s in (await client.corpus.DescribeCorpus(request)).subsets}
    assert len(subsets) == 22
    assert subsets["Books3"].published.weight == pytest.approx(0.1207)
    assert subsets["Books3"].published.source == "Gao et al. 2020, The Pile, Table 1"
    assert (subsets["Books3"].documents, subsets["Github"].documents) == (0, 35)


async def test_stream_documents(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    documents = [d for r in await _stream(client) for d in r.documents.documents]
    expected = [
        parse_line(raw[:-1], path, number)
        for path, lines in LINES.items()
        for number, raw in enumerate(lines)
    ]
    assert [(d.id, d.subset, d.text, d.meta, d.shard, d.line, d.continues) for d in documents] == [
        (e.id, e.subset, e.text, e.meta, e.shard, e.line, False) for e in expected
    ]


async def test_stream_jsonl_is_the_shards_own_bytes(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    responses = await _stream(client, delivery=pb.DELIVERY_JSONL, chunk_bytes=4096)
    assert len(responses) > 1
    assert b"".join(r.jsonl.lines for r in responses) == b"".join(
        raw for lines in LINES.values() for raw in lines
    )


async def test_stream_a_selection(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    selection = pb.Selection(splits=["test", "train"], subsets=["Github"], max_documents=15)
    found = [d for r in await _stream(client, selection=selection) for d in r.documents.documents]
    assert [d.id for d in found] == [
        *(f"test.jsonl.zst:{n}" for n in range(0, 20, 2)),
        *(f"train/00.jsonl.zst:{n}" for n in range(0, 10, 2)),
    ]


async def test_every_cursor_resumes_in_either_delivery_on_another_server(
    serve: Start, root: Path
) -> None:
    first, second = await serve({"small": root}), await serve({"small": root})
    lines = b"".join(raw for lines in LINES.values() for raw in lines)
    whole = await _stream(first, delivery=pb.DELIVERY_JSONL, chunk_bytes=4096)
    delivered = 0
    for response in whole:
        delivered += len(response.jsonl.lines)
        rest = await _stream(second, cursor=response.cursor, delivery=pb.DELIVERY_JSONL)
        assert b"".join(r.jsonl.lines for r in rest) == lines[delivered:]
        parsed = await _stream(second, cursor=response.cursor)
        texts = [d.text for r in parsed for d in r.documents.documents]
        assert texts == [parse_line(raw, "", 0).text for raw in lines[delivered:].splitlines()]


@pytest.mark.parametrize("delivery", [pb.DELIVERY_DOCUMENTS, pb.DELIVERY_JSONL])
async def test_documents_over_the_message_limit_come_in_fragments(
    serve: Start, tmp_path: Path, delivery: pb.Delivery.ValueType
) -> None:
    lines = [line("before"), line("y" * 5_000_000), line("after")]
    client = await serve({"small": write_corpus(tmp_path / "big", {"test.jsonl.zst": lines})})
    responses = await _stream(client, delivery=delivery)
    flags = [
        (r.jsonl.continues if r.HasField("jsonl") else r.documents.documents[-1].continues)
        for r in responses
    ]
    assert flags == [False, True, True, False, False]
    assert [bool(r.cursor) for r in responses] == [not flag for flag in flags]
    if delivery == pb.DELIVERY_JSONL:
        assert b"".join(r.jsonl.lines for r in responses) == b"".join(lines)
    else:
        fragments = [r.documents.documents[0] for r in responses[1:4]]
        assert {f.id for f in fragments} == {"test.jsonl.zst:1"}
        assert b"".join(f.text for f in fragments) == b"y" * 5_000_000
    (rest,) = await _stream(client, cursor=responses[3].cursor)
    assert [d.text for d in rest.documents.documents] == [b"after"]


async def test_a_chunk_is_what_is_promised(serve: Start, tmp_path: Path) -> None:
    """The bytes on the wire are a promise: stored shards and stored cursors outlive servers."""
    # Stored and not compressed: what zstd makes of a text may change with its version.
    frame = b"\x28\xb5\x2f\xfd\x20"
    text = line("héllo \ud800") + line("b", None, meta={"x": [1, 2.50]}, id=7) + line("c", None)
    assert len(text) < 256
    block = (len(text) << 3 | 1).to_bytes(3, "little")
    shards = {"test.jsonl.zst": frame + bytes([len(text)]) + block + text}
    client = await serve({"small": write_corpus(tmp_path / "golden", shards)})
    for name, delivery in (("documents", pb.DELIVERY_DOCUMENTS), ("jsonl", pb.DELIVERY_JSONL)):
        (response,) = await _stream(client, delivery=delivery)
        stored = (GOLDEN / f"chunk-{name}-v2.bin").read_bytes()
        assert response.SerializeToString(deterministic=True) == stored


async def test_a_small_message_limit_of_the_server_is_kept(serve: Start, tmp_path: Path) -> None:
    lines = [line("y" * 3_000_000), *(line(f"{number} " + "z" * 900) for number in range(3000))]
    root = write_corpus(tmp_path / "small", {"test.jsonl.zst": lines})
    client = await serve({"small": root}, max_message_bytes=1 << 20)
    responses = await _stream(client)
    texts = b"".join(d.text for r in responses for d in r.documents.documents)
    assert texts == b"".join(parse_line(raw[:-1], "", 0).text for raw in lines)
    assert max(response.ByteSize() for response in responses) <= 1 << 20


def _unknown_corpus() -> pb.StreamCorpusRequest:
    return pb.StreamCorpusRequest(corpus=pb.CorpusRef(name="nope"))


def _selection(**fields: Any) -> Callable[[], pb.StreamCorpusRequest]:
    return lambda: pb.StreamCorpusRequest(corpus=SMALL, selection=pb.Selection(**fields))


def _request(**fields: Any) -> Callable[[], pb.StreamCorpusRequest]:
    return lambda: pb.StreamCorpusRequest(**{"corpus": SMALL, **fields})


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (_unknown_corpus, "NOT_FOUND", "known: small"),
        (_selection(splits=["dev"]), "NOT_FOUND", "no split named 'dev'; known: test, train"),
        (_selection(subsets=["Gitlab"]), "NOT_FOUND", "known: Enron Emails, Github"),
        (_selection(exclude_subsets=["Books3"]), "NOT_FOUND", "published with the Pile"),
        (_selection(splits=["test", "test"]), "INVALID_ARGUMENT", "selection.splits"),
        (_request(chunk_bytes=4095), "INVALID_ARGUMENT", "chunk_bytes"),
        (_request(chunk_bytes=(2 << 20) + 1), "INVALID_ARGUMENT", "chunk_bytes"),
        (_request(delivery=77), "INVALID_ARGUMENT", "delivery"),
        (_request(cursor=b"rubbish"), "INVALID_ARGUMENT", "cursor: is not a cursor"),
        (
            _request(corpus=pb.CorpusRef(name="small", digest="sha256:0")),
            "FAILED_PRECONDITION",
            "corpus.digest",
        ),
    ],
)
async def test_bad_requests(
    serve: Start,
    root: Path,
    request_: Callable[[], pb.StreamCorpusRequest],
    code: str,
    words: str,
) -> None:
    client = await serve({"small": root})
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in client.corpus.StreamCorpus(request_()):
            pass
    assert caught.value.code() == grpc.StatusCode[code]
    assert words in (caught.value.details() or "")
    assert str(root) not in str(caught.value)
    details = _details(caught.value)
    assert details["ErrorInfo"].domain == "assay"
    if code == "NOT_FOUND":
        assert details["ResourceInfo"].resource_name


async def test_a_cursor_of_another_corpus(serve: Start, root: Path, tmp_path: Path) -> None:
    other = write_corpus(tmp_path / "other", {"test.jsonl.zst": [line("z")]})
    client = await serve({"small": root, "other": other})
    cursor = (await _stream(client, corpus=pb.CorpusRef(name="other")))[-1].cursor
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _stream(client, cursor=cursor)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "belongs to a corpus with digest sha256:" in (caught.value.details() or "")


@pytest.mark.parametrize(
    ("damage", "delivered", "words"),
    [
        (lambda good: good + compress(b"x\n" * 9)[:-3], 30, "is cut off"),
        (lambda good: good + b"\x28\xb5\x2f\xfd\x00\x58\xff\xff\xff", 30, "is damaged"),
        (lambda good: good + b"rubbish", 30, "not a zstd frame"),
        (lambda good: good + compress(b'{"meta": {}}\n'), 30, 'line 30 has no "text"'),
        (lambda good: good + compress(b"{oops}\n"), 30, "line 30 is not JSON"),
        (lambda _: b"", 0, "is empty"),
        (lambda good: b"\x1f\x8b" + good, 0, "does not begin with a zstd frame"),
    ],
)
async def test_documents_before_damage_are_delivered(
    serve: Start, tmp_path: Path, damage: Callable[[bytes], bytes], delivered: int, words: str
) -> None:
    lines = [line(f"document {number}") for number in range(30)]
    broken = damage(compress(b"".join(lines)))
    client = await serve({"small": write_corpus(tmp_path / "bad", {"test.jsonl.zst": broken})})
    for subsets in ([], ["Github"]):
        if not delivered and subsets:
            continue
        call = client.corpus.StreamCorpus(
            pb.StreamCorpusRequest(corpus=SMALL, selection=pb.Selection(subsets=subsets))
        )
        texts: list[bytes] = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012  the loop raises
            async for response in call:
                texts += [document.text for document in response.documents.documents]
        assert texts == [f"document {number}".encode() for number in range(delivered)]
        assert caught.value.code() == grpc.StatusCode.DATA_LOSS
        said = caught.value.details() or ""
        assert said.startswith("test.jsonl.zst: ")
        assert words in said
        assert "at compressed byte " in said
        assert str(tmp_path) not in said
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.corpus.DescribeCorpus(pb.DescribeCorpusRequest(corpus=SMALL))
    assert caught.value.code() == grpc.StatusCode.DATA_LOSS


async def test_a_deadline_already_past(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    call = client.corpus.StreamCorpus(pb.StreamCorpusRequest(corpus=SMALL), timeout=0)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_scoring_is_wired_to_the_corpus(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    models = await client.corpus.ListLanguageModels(pb.ListLanguageModelsRequest())
    assert [model.ref.name for model in models.models] == ["byte-reference"]
    request = pb.ScoreBPBRequest(corpus=SMALL, model=models.models[0].ref)
    request.selection.splits.append("dev")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in client.corpus.ScoreBPB(request):
            pass
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    request.selection.splits[:] = ["train"]
    request.selection.max_documents = 1
    last = [update async for update in client.corpus.ScoreBPB(request)][-1].final
    assert last.corpus.digest.startswith("sha256:")
    assert last.overall.text_bytes == len(json.loads(LINES["train/00.jsonl.zst"][0])["text"])


async def _last(call: Any) -> Any:
    return [update async for update in call][-1].final


ZSTD, XZ = ModelRef(name="zstd-19"), ModelRef(name="xz")
BYTES = ModelRef(name="byte-reference")


def _score(**more: Any) -> pb.ScoreBPBRequest:
    selection = pb.Selection(splits=["train"])
    return pb.ScoreBPBRequest(corpus=SMALL, selection=selection, model=ZSTD, **more)


async def test_a_scoring_is_answered_again_from_what_was_kept(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    first = await _last(client.corpus.ScoreBPB(_score()))
    again = await _last(client.corpus.ScoreBPB(_score()))
    fresh = await _last(client.corpus.ScoreBPB(_score(fresh=True)))
    assert (first.cached, again.cached, fresh.cached) == (False, True, False)
    again.cached = False
    for final in (first, again, fresh):
        final.ClearField("environment")  # it has the time
    assert first == again == fresh
    assert first.overall.HasField("interval")
    assert not first.HasField("definition")


def _selecting(selection: pb.Selection) -> pb.ScoreBPBRequest:
    return pb.ScoreBPBRequest(selection=selection)


async def test_a_checkpoint_of_another_request_is_refused(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    await _last(client.corpus.ScoreBPB(_score(checkpoint="mine")))
    for change, words in (
        (pb.ScoreBPBRequest(definition=pb.Definition()), ""),
        (pb.ScoreBPBRequest(model=XZ), "another engine"),
        (_selecting(pb.Selection(min_text_bytes=3)), "another selection.limits"),
        (_selecting(pb.Selection(sample=pb.Sample(documents=5))), "selection.sample."),
    ):
        request = _score(checkpoint="mine")
        request.MergeFrom(change)
        if not words:
            assert (await _last(client.corpus.ScoreBPB(request))).cached
            continue
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _last(client.corpus.ScoreBPB(request))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert words in (caught.value.details() or "")


async def test_a_sample_is_for_scoring_and_no_larger_than_the_corpus(
    serve: Start, root: Path
) -> None:
    client = await serve({"small": root})
    request = _score()
    request.selection.sample.documents = 10
    assert (await _last(client.corpus.ScoreBPB(request))).overall.documents == 10
    request.selection.sample.documents = 51
    with pytest.raises(grpc.aio.AioRpcError, match="is 51, but the selection has 50 documents"):
        await _last(client.corpus.ScoreBPB(request))
    with pytest.raises(grpc.aio.AioRpcError, match="is for scoring"):
        await _stream(client, selection=request.selection)


async def test_two_models_are_compared_on_the_same_documents(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    request = pb.CompareBPBRequest(
        corpus=SMALL,
        selection=pb.Selection(splits=["test"]),
        model=BYTES,
        against=XZ,
        definition=pb.Definition(max_length=64),
    )
    final = await _last(client.corpus.CompareBPB(request))
    assert final.model.definition.max_length == 64
    assert not final.against.HasField("definition")
    assert final.overall.bits_per_byte == pytest.approx(
        final.model.overall.bits_per_byte - final.against.overall.bits_per_byte
    )
    assert final.overall.interval.low <= final.overall.bits_per_byte <= final.overall.interval.high
    assert [one.subset for one in final.subsets] == sorted(SUBSETS)
    assert final.documents_left_out == 0


async def test_texts_of_the_caller_are_scored(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    request = pb.ScoreTextsRequest(
        texts=[
            pb.ScoredText(text=b"import os\n", subset="code"),
            pb.ScoredText(),
            pb.ScoredText(text=b"x"),
        ],
        model=BYTES,
    )
    reply = await client.corpus.ScoreTexts(request)
    assert [one.score.tokens for one in reply.texts] == [10, 0, 1]
    assert all(one.round_trips for one in reply.texts)
    assert reply.final.overall.nats == sum(one.score.nats for one in reply.texts)
    assert [one.subset for one in reply.final.subsets] == ["", "code"]
    for texts, words in (
        ([], "texts: is empty"),
        ([b"ok", b"a\xff"], "texts[1].text: is not UTF-8"),
    ):
        sent = [pb.ScoredText(text=text) for text in texts]
        bad = pb.ScoreTextsRequest(texts=sent, model=XZ)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.corpus.ScoreTexts(bad)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert words in (caught.value.details() or "")
