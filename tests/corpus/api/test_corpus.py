"""Every call of the corpus service, over a socket."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.common.v1.common_pb2 import ModelRef
from assay_rpc.corpus.v1 import describe_pb2, scoring_pb2, selection_pb2, stream_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from services.corpus.shards.documents import parse_line
from tests.corpus.conftest import Client, Start, described
from tests.corpus.shard_files import compress, line, write_corpus

GOLDEN = Path(__file__).parent / "golden"
SUBSETS = ("Github", "Enron Emails")
LINES = {
    "train/00.jsonl.zst": [line(f"train {n} " + "x" * n * 10, SUBSETS[n % 2]) for n in range(50)],
    "test.jsonl.zst": [line(f"test {n} \ud800", SUBSETS[n % 2]) for n in range(20)],
}
SMALL = selection_pb2.CorpusRef(name="small")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "small", LINES)


async def _stream(client: Client, **request: Any) -> list[stream_pb2.StreamCorpusResponse]:
    call = client.corpus.StreamCorpus(
        stream_pb2.StreamCorpusRequest(**{"corpus": SMALL, **request})
    )
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
    first = await client.corpus.ListCorpora(describe_pb2.ListCorporaRequest(page_size=1))
    assert [summary.ref.name for summary in first.corpora] == ["other"]
    rest = await client.corpus.ListCorpora(
        describe_pb2.ListCorporaRequest(page_token=first.next_page_token)
    )
    (summary,) = rest.corpora
    assert not rest.next_page_token
    assert summary.ref.name == "small"
    assert summary.ref.digest.startswith("sha256:")
    assert summary.kind == describe_pb2.CORPUS_KIND_SAMPLE
    assert list(summary.splits) == ["train", "test"]
    assert summary.stored_bytes == sum((root / path).stat().st_size for path in LINES)


async def test_describe_corpus(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    found = await described(client, describe_pb2.DescribeCorpusRequest(corpus=SMALL))
    assert (found.corpus.source, found.corpus.license.id) == ("a test", "MIT")
    assert found.documents == 70
    assert [(s.split, s.path, s.documents) for s in found.corpus.shards] == [
        ("train", "train/00.jsonl.zst", 50),
        ("test", "test.jsonl.zst", 20),
    ]
    assert all(shard.digest.startswith("sha256:") for shard in found.corpus.shards)
    assert [shard.content_bytes for shard in found.corpus.shards] == [
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
    request = describe_pb2.DescribeCorpusRequest(corpus=selection_pb2.CorpusRef(name="the-pile"))
    subsets = {s.name: s for s in (await described(client, request)).subsets}
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
    responses = await _stream(client, delivery=stream_pb2.DELIVERY_JSONL, chunk_bytes=4096)
    assert len(responses) > 1
    assert b"".join(r.jsonl.lines for r in responses) == b"".join(
        raw for lines in LINES.values() for raw in lines
    )


async def test_stream_a_selection(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    selection = selection_pb2.Selection(
        splits=["test", "train"], subsets=["Github"], max_documents=15
    )
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
    whole = await _stream(first, delivery=stream_pb2.DELIVERY_JSONL, chunk_bytes=4096)
    delivered = 0
    for response in whole:
        delivered += len(response.jsonl.lines)
        rest = await _stream(second, cursor=response.cursor, delivery=stream_pb2.DELIVERY_JSONL)
        assert b"".join(r.jsonl.lines for r in rest) == lines[delivered:]
        parsed = await _stream(second, cursor=response.cursor)
        texts = [d.text for r in parsed for d in r.documents.documents]
        assert texts == [parse_line(raw, "", 0).text for raw in lines[delivered:].splitlines()]


@pytest.mark.parametrize("delivery", [stream_pb2.DELIVERY_DOCUMENTS, stream_pb2.DELIVERY_JSONL])
async def test_documents_over_the_message_limit_come_in_fragments(
    serve: Start, tmp_path: Path, delivery: stream_pb2.Delivery.ValueType
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
    if delivery == stream_pb2.DELIVERY_JSONL:
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
    for name, delivery in (
        ("documents", stream_pb2.DELIVERY_DOCUMENTS),
        ("jsonl", stream_pb2.DELIVERY_JSONL),
    ):
        (response,) = await _stream(client, delivery=delivery)
        assert response.corpus.name == "small"
        response.ClearField("corpus")
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


def _unknown_corpus() -> stream_pb2.StreamCorpusRequest:
    return stream_pb2.StreamCorpusRequest(corpus=selection_pb2.CorpusRef(name="nope"))


def _selection(**fields: Any) -> Callable[[], stream_pb2.StreamCorpusRequest]:
    return lambda: stream_pb2.StreamCorpusRequest(
        corpus=SMALL, selection=selection_pb2.Selection(**fields)
    )


def _request(**fields: Any) -> Callable[[], stream_pb2.StreamCorpusRequest]:
    return lambda: stream_pb2.StreamCorpusRequest(**{"corpus": SMALL, **fields})


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
            _request(corpus=selection_pb2.CorpusRef(name="small", digest="sha256:0")),
            "FAILED_PRECONDITION",
            "corpus.digest",
        ),
    ],
)
async def test_bad_requests(
    serve: Start,
    root: Path,
    request_: Callable[[], stream_pb2.StreamCorpusRequest],
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
    cursor = (await _stream(client, corpus=selection_pb2.CorpusRef(name="other")))[-1].cursor
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
        (lambda good: b"\x1f\x8b" + good, 0, "is gzip data: its name has to end with .gz"),
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
            stream_pb2.StreamCorpusRequest(
                corpus=SMALL, selection=selection_pb2.Selection(subsets=subsets)
            )
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
        await described(client, describe_pb2.DescribeCorpusRequest(corpus=SMALL))
    assert caught.value.code() == grpc.StatusCode.DATA_LOSS


async def test_a_deadline_already_past(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    call = client.corpus.StreamCorpus(stream_pb2.StreamCorpusRequest(corpus=SMALL), timeout=-1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.slow
async def test_scoring_is_wired_to_the_corpus(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    models = await client.scoring.ListLanguageModels(scoring_pb2.ListLanguageModelsRequest())
    assert [model.ref.name for model in models.models] == ["byte-reference"]
    assert set(models.models[0].digests) == {"lm.json", "model.onnx"}
    request = scoring_pb2.ScoreBPBRequest(corpus=SMALL, model=models.models[0].ref)
    request.selection.splits.append("dev")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in client.scoring.ScoreBPB(request):
            pass
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    request.selection.splits[:] = ["train"]
    request.selection.max_documents = 1
    last = [update async for update in client.scoring.ScoreBPB(request)][-1].result
    assert last.corpus.digest.startswith("sha256:")
    assert last.overall.text_bytes == len(json.loads(LINES["train/00.jsonl.zst"][0])["text"])


async def _last(call: Any) -> Any:
    return [update async for update in call][-1].result


ZSTD, XZ = ModelRef(name="zstd-19"), ModelRef(name="xz")
BYTES = ModelRef(name="byte-reference")


def _score(**more: Any) -> scoring_pb2.ScoreBPBRequest:
    selection = selection_pb2.Selection(splits=["train"])
    return scoring_pb2.ScoreBPBRequest(corpus=SMALL, selection=selection, model=ZSTD, **more)


async def test_a_scoring_is_answered_again_from_what_was_kept(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    first = await _last(client.scoring.ScoreBPB(_score()))
    again = await _last(client.scoring.ScoreBPB(_score()))
    fresh = await _last(client.scoring.ScoreBPB(_score(fresh=True)))
    assert (first.cached, again.cached, fresh.cached) == (False, True, False)
    assert first.tokens_per_second > 0
    assert not again.HasField("tokens_per_second")
    again.cached = False
    for final in (first, again, fresh):
        final.ClearField("environment")  # it has the time
        final.ClearField("tokens_per_second")
    assert first == again == fresh
    assert first.overall.basis.standing == scoring_pb2.STANDING_EXACT
    assert not first.overall.HasField("interval")
    assert not first.HasField("definition")


def _selecting(selection: selection_pb2.Selection) -> scoring_pb2.ScoreBPBRequest:
    return scoring_pb2.ScoreBPBRequest(selection=selection)


async def test_a_checkpoint_of_another_request_is_refused(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    await _last(client.scoring.ScoreBPB(_score(checkpoint="mine")))
    for change, words in (
        (scoring_pb2.ScoreBPBRequest(definition=scoring_pb2.Definition()), ""),
        (scoring_pb2.ScoreBPBRequest(model=XZ), "another engine"),
        (_selecting(selection_pb2.Selection(min_text_bytes=3)), "another selection.limits"),
        (
            _selecting(selection_pb2.Selection(sample=selection_pb2.Sample(documents=5))),
            "selection.sample.",
        ),
    ):
        request = _score(checkpoint="mine")
        request.MergeFrom(change)
        if not words:
            assert (await _last(client.scoring.ScoreBPB(request))).cached
            continue
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _last(client.scoring.ScoreBPB(request))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert words in (caught.value.details() or "")


async def test_a_sample_is_for_scoring_and_a_small_one_is_an_example(
    serve: Start, root: Path
) -> None:
    client = await serve({"small": root})
    truth = (await _last(client.scoring.ScoreBPB(_score()))).overall
    request = _score()
    request.selection.sample.documents = 24
    final = await _last(client.scoring.ScoreBPB(request))
    again = await _last(client.scoring.ScoreBPB(request))
    assert again.cached
    assert (again.overall, again.macro) == (final.overall, final.macro)
    overall, basis = final.overall, final.overall.basis
    assert 24 <= overall.documents == basis.scored < 50
    assert basis.standing == scoring_pb2.STANDING_EXAMPLE
    assert basis.no_interval == f"needs 50 documents drawn by chance, has {basis.by_chance}"
    assert basis.scope == scoring_pb2.INTERVAL_SCOPE_DOCUMENTS
    assert basis.unit == scoring_pb2.SAMPLE_UNIT_DOCUMENTS
    assert (basis.documents, basis.text_bytes) == (50, truth.text_bytes)
    assert basis.effective_documents == pytest.approx(truth.basis.effective_documents)
    assert not overall.HasField("interval")
    assert not overall.HasField("word_perplexity")
    assert truth.HasField("word_perplexity")
    request.selection.sample.documents = 51
    everything = (await _last(client.scoring.ScoreBPB(request))).overall
    assert everything.basis.standing == scoring_pb2.STANDING_EXACT
    assert everything.bits_per_byte == truth.bits_per_byte
    with pytest.raises(grpc.aio.AioRpcError, match="is for scoring"):
        await _stream(client, selection=request.selection)


@pytest.mark.slow
async def test_spans_are_of_models_and_of_these_documents(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    request = _score()
    request.selection.sample.spans = 10
    with pytest.raises(grpc.aio.AioRpcError, match=r"compresses whole documents.*--sample-doc"):
        await _last(client.scoring.ScoreBPB(request))
    request.model.CopyFrom(BYTES)
    request.definition.max_length = 64
    final = await _last(client.scoring.ScoreBPB(request))
    assert final.overall.basis.unit == scoring_pb2.SAMPLE_UNIT_SPANS
    assert final.overall.basis.scored >= 10
    request.interval_scope = scoring_pb2.INTERVAL_SCOPE_CORPUS_BEHIND
    with pytest.raises(grpc.aio.AioRpcError, match="need whole documents"):
        await _last(client.scoring.ScoreBPB(request))
    request.selection.sample.documents = 10
    with pytest.raises(grpc.aio.AioRpcError, match="are both given"):
        await _last(client.scoring.ScoreBPB(request))
    request.selection.sample.Clear()
    request.selection.sample.seed = 3
    with pytest.raises(grpc.aio.AioRpcError, match="is 0; say how many"):
        await _last(client.scoring.ScoreBPB(request))


async def test_documents_of_a_sample_and_a_comparison_come_once(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    weights = selection_pb2.Mixture(weights=selection_pb2.SubsetWeights(by_subset={"Github": 1}))
    corpora = [selection_pb2.WeightedCorpus(corpus=SMALL, weight=1)] * 2
    sample = selection_pb2.Sample(documents=5)
    for name, twice in (
        ("epochs", selection_pb2.Selection(epochs=2)),
        ("mixture", selection_pb2.Selection(mixture=weights)),
        ("corpora", selection_pb2.Selection(corpora=corpora)),
    ):
        both = scoring_pb2.CompareBPBRequest(corpus=SMALL, selection=twice, model=ZSTD, against=XZ)
        sampled = selection_pb2.Selection(sample=sample)
        sampled.MergeFrom(twice)
        one = scoring_pb2.ScoreBPBRequest(corpus=SMALL, selection=sampled, model=ZSTD)
        for call in (client.scoring.CompareBPB(both), client.scoring.ScoreBPB(one)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _last(call)
            assert f"selection.{name}" in (caught.value.details() or "")
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_of_the_corpus_behind_is_told_when_asked(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    scope = scoring_pb2.INTERVAL_SCOPE_CORPUS_BEHIND
    final = await _last(client.scoring.ScoreBPB(_score(interval_scope=scope)))
    assert final.overall.basis.scope == scope
    assert final.overall.HasField("interval")
    for subset in final.subsets:
        assert subset.score.basis.standing == scoring_pb2.STANDING_EXAMPLE
        assert "needs 25" in subset.score.basis.no_interval
    with pytest.raises(grpc.aio.AioRpcError, match="99 is not a scope"):
        await _last(client.scoring.ScoreBPB(_score(interval_scope=99)))


@pytest.mark.parametrize("level", [0.4, 1.0, -1.0, float("nan")])
async def test_levels_that_no_sample_reaches(serve: Start, root: Path, level: float) -> None:
    client = await serve({"small": root})
    with pytest.raises(grpc.aio.AioRpcError, match="interval_level"):
        await _last(client.scoring.ScoreBPB(_score(interval_level=level)))


async def test_a_surer_interval_is_a_wider_one_of_the_same_sample(
    serve: Start, tmp_path: Path
) -> None:
    lines = [line(f"train {n} " + "xyz"[n % 3] * n, SUBSETS[n % 2]) for n in range(300)]
    client = await serve({"small": write_corpus(tmp_path / "large", {"train.jsonl.zst": lines})})
    found = []
    for level in (0, 0.95, 0.99):
        request = _score(interval_level=level)
        request.selection.sample.documents = 120
        found.append((await _last(client.scoring.ScoreBPB(request))).overall)
    assert found[0] == found[1]
    assert found[1].bits_per_byte == found[2].bits_per_byte
    assert found[1].basis.standing == scoring_pb2.STANDING_ESTIMATE
    assert found[1].basis.unit == scoring_pb2.SAMPLE_UNIT_DOCUMENTS
    usual, sure = found[1].interval, found[2].interval
    assert usual.effective_n == found[1].basis.by_chance
    assert (usual.level, sure.level) == (0.95, 0.99)
    assert sure.low < usual.low <= found[1].bits_per_byte <= usual.high < sure.high


@pytest.mark.slow
async def test_two_models_are_compared_on_the_same_documents(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    request = scoring_pb2.CompareBPBRequest(
        corpus=SMALL,
        selection=selection_pb2.Selection(splits=["test"]),
        model=BYTES,
        against=XZ,
        definition=scoring_pb2.Definition(max_length=64),
    )
    final = await _last(client.scoring.CompareBPB(request))
    assert final.model.definition.max_length == 64
    assert not final.against.HasField("definition")
    assert final.overall.bits_per_byte == pytest.approx(
        final.model.overall.bits_per_byte - final.against.overall.bits_per_byte
    )
    assert final.overall.basis.standing == scoring_pb2.STANDING_EXACT
    assert not final.overall.HasField("interval")
    assert final.macro.HasField("value")
    assert [one.subset for one in final.subsets] == sorted(SUBSETS)
    assert final.documents_left_out == 0


@pytest.mark.slow
async def test_a_text_after_a_context_is_scored_alone(serve: Start, root: Path) -> None:
    client = await serve({"small": root})

    async def score(**more: Any) -> scoring_pb2.TextScore:
        text = scoring_pb2.ScoredText(text=b"import os\n", **more)
        request = scoring_pb2.ScoreTextsRequest(texts=[text], model=BYTES, token_likelihoods=True)
        return (await client.scoring.ScoreTexts(request)).texts[0]

    alone, after = await score(), await score(context=b"import sys\n" * 4)
    for one in (alone, after):
        assert (one.score.tokens, one.score.text_bytes, len(one.token_nats)) == (10, 10, 10)
        assert sum(one.token_nats) == pytest.approx(one.score.nats)
        assert list(one.token_starts) == list(range(10)), "a byte is a token"
    assert after.score.nats < alone.score.nats, "it has seen such lines"
    plain = scoring_pb2.ScoreTextsRequest(
        texts=[scoring_pb2.ScoredText(text=b"import os\n")], model=BYTES
    )
    [whole] = (await client.scoring.ScoreTexts(plain)).texts
    assert whole.score == alone.score
    assert not whole.token_nats
    assert not whole.token_starts
    levanter = scoring_pb2.Definition(preset=scoring_pb2.DEFINITION_PRESET_LEVANTER)
    with pytest.raises(grpc.aio.AioRpcError, match=r"texts\[0\].context: is not UTF-8"):
        await score(context=b"\xff")
    for model, definition, words in (
        (XZ, None, "xz has no likelihoods of tokens"),
        (BYTES, levanter, "levanter counts the bytes of scored tokens only"),
        (BYTES, scoring_pb2.Definition(special_tokens=True), "are not put around a text"),
    ):
        request = scoring_pb2.ScoreTextsRequest(
            texts=[scoring_pb2.ScoredText(text=b"x", context=b"y")],
            model=model,
            definition=definition,
        )
        with pytest.raises(grpc.aio.AioRpcError, match=words):
            await client.scoring.ScoreTexts(request)


async def test_the_figures_of_each_document_come_when_asked_for(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    for _ in range(2):  # the second from what was kept
        updates = [one async for one in client.scoring.ScoreBPB(_score(per_document=True))]
        documents = [one.document for one in updates if one.HasField("document")]
        final = updates[-1].result
        assert len(documents) == final.overall.documents == 50
        assert len({one.id for one in documents}) == 50
        assert sum(one.score.text_bytes for one in documents) == final.overall.text_bytes
        assert sum(one.score.nats for one in documents) == pytest.approx(final.overall.nats)
        assert {one.subset for one in documents} == {one.subset for one in final.subsets}
    plain = [one async for one in client.scoring.ScoreBPB(_score())]
    assert not any(one.HasField("document") for one in plain)


@pytest.mark.slow
async def test_both_models_figures_of_each_document_come_when_asked_for(
    serve: Start, root: Path
) -> None:
    client = await serve({"small": root})

    def both(**more: Any) -> scoring_pb2.CompareBPBRequest:
        return scoring_pb2.CompareBPBRequest(
            corpus=SMALL,
            model=BYTES,
            against=XZ,
            definition=scoring_pb2.Definition(max_length=64),
            **more,
        )

    few = selection_pb2.Selection(max_documents=9)
    drawn = selection_pb2.Selection(sample=selection_pb2.Sample(documents=5))
    for selection in (few, drawn):
        request = both(per_document=True, selection=selection)
        updates = [one async for one in client.scoring.CompareBPB(request)]
        documents = [one.document for one in updates if one.HasField("document")]
        final = updates[-1].result
        assert len({one.id for one in documents}) == len(documents) == final.model.overall.documents
        for ours in documents:
            assert ours.model.text_bytes == ours.against.text_bytes > 0
            assert ours.bits_per_byte == ours.model.bits_per_byte - ours.against.bits_per_byte
            assert not ours.model_excluded
            assert not ours.against_excluded
        for total, parts in (
            (final.overall.model.nats, [one.model.nats for one in documents]),
            (final.overall.against.nats, [one.against.nats for one in documents]),
        ):
            assert math.fsum(parts) == pytest.approx(total)
    plain = [one async for one in client.scoring.CompareBPB(both(selection=few))]
    assert not any(one.HasField("document") for one in plain)


@pytest.mark.slow
async def test_levanters_bytes_are_of_no_sample_and_no_second_model(
    serve: Start, root: Path
) -> None:
    client = await serve({"small": root})
    definition = scoring_pb2.Definition(
        preset=scoring_pb2.DEFINITION_PRESET_LEVANTER, max_length=64
    )
    request = scoring_pb2.ScoreBPBRequest(corpus=SMALL, model=BYTES, definition=definition)
    request.selection.max_documents = 3
    final = await _last(client.scoring.ScoreBPB(request))
    assert final.definition.preset == scoring_pb2.DEFINITION_PRESET_LEVANTER
    assert final.overall.tokens == final.overall.text_bytes  # a token is a byte
    request.selection.sample.spans = 10
    with pytest.raises(grpc.aio.AioRpcError, match="which a sample cannot have"):
        await _last(client.scoring.ScoreBPB(request))
    both = scoring_pb2.CompareBPBRequest(
        corpus=SMALL, model=BYTES, against=BYTES, definition=definition
    )
    with pytest.raises(grpc.aio.AioRpcError, match="which two models cannot have"):
        await _last(client.scoring.CompareBPB(both))


@pytest.mark.slow
async def test_texts_of_the_caller_are_scored(serve: Start, root: Path) -> None:
    client = await serve({"small": root})
    request = scoring_pb2.ScoreTextsRequest(
        texts=[
            scoring_pb2.ScoredText(text=b"import os\n", subset="code"),
            scoring_pb2.ScoredText(),
            scoring_pb2.ScoredText(text=b"x"),
        ],
        model=BYTES,
    )
    reply = await client.scoring.ScoreTexts(request)
    assert [one.score.tokens for one in reply.texts] == [10, 0, 1]
    reasons = [scoring_pb2.ExclusionReason.Name(one.excluded) for one in reply.texts]
    assert [reason.removeprefix("EXCLUSION_REASON_") for reason in reasons] == [
        "UNSPECIFIED",
        "EMPTY",
        "UNSPECIFIED",
    ]
    assert not reply.texts[1].score.HasField("bits_per_byte")
    assert [(one.reason, list(one.ids)) for one in reply.result.excluded] == [
        (scoring_pb2.EXCLUSION_REASON_EMPTY, ["1"])
    ]
    assert reply.result.overall.nats == sum(one.score.nats for one in reply.texts)
    assert [one.subset for one in reply.result.subsets] == ["", "code"]
    for texts, words in (
        ([], "texts: is empty"),
        ([b"ok", b"a\xff"], "texts[1].text: is not UTF-8"),
    ):
        sent = [scoring_pb2.ScoredText(text=text) for text in texts]
        bad = scoring_pb2.ScoreTextsRequest(texts=sent, model=XZ)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.scoring.ScoreTexts(bad)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert words in (caught.value.details() or "")
