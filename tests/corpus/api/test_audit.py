"""AuditService over a real socket: proofs that hold and that do not, and audits."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.audit.v1alpha1 import audit_pb2
from assay_rpc.common.v1.common_pb2 import ModelRef
from assay_rpc.corpus.v1 import scoring_pb2, selection_pb2

from services.corpus.api import audit as service
from services.corpus.audit.verdict import Mistake
from services.corpus.proof import file_format
from tests.corpus.conftest import Client, Start
from tests.corpus.shard_files import line, write_corpus

BYTES, CORPUS = ModelRef(name="byte-reference"), selection_pb2.CorpusRef(name="c")
TEXTS = ["def f(x):\n    return x\n", "Gr\u00fc\u00dfe, \u4f60\u597d", "", "spam and eggs " * 9]
SAMPLED = selection_pb2.Selection(sample=selection_pb2.Sample(spans=3))
SIZE = sum(len(text.encode()) for text in TEXTS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c")
    return write_corpus(folder, {"test.jsonl.zst": [line(text) for text in TEXTS]})


def proving(**more: Any) -> audit_pb2.ProveBPBRequest:
    pytest.importorskip("onnx", reason="needs the export extra")
    definition = scoring_pb2.Definition(max_length=32)
    return audit_pb2.ProveBPBRequest(corpus=CORPUS, model=BYTES, definition=definition, **more)


async def prove(client: Client, **more: Any) -> tuple[bytes, audit_pb2.Proof]:
    updates = [one async for one in client.audit.ProveBPB(proving(**more))]
    assert updates[-1].WhichOneof("update") == "result"
    return b"".join(one.chunk for one in updates), updates[-1].result


def sent(data: bytes, step: int = 1000, **more: Any) -> Iterator[audit_pb2.VerifyProofRequest]:
    yield audit_pb2.VerifyProofRequest(proof=audit_pb2.ProofToVerify(**{"model": BYTES} | more))
    for start in range(0, len(data), step):
        yield audit_pb2.VerifyProofRequest(chunk=data[start : start + step])


async def verify(client: Client, data: bytes, **more: Any) -> audit_pb2.ProofVerdict:
    updates = [one async for one in client.audit.VerifyProof(sent(data, **more))]
    return updates[-1].result


@pytest.mark.slow
async def test_a_proof_travels_and_holds(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    data, proof = await prove(client)
    assert (proof.documents, proof.text_bytes, proof.file_bytes) == (4, SIZE, len(data))
    assert proof.bits_per_byte == pytest.approx(proof.nats / math.log(2) / SIZE)
    assert proof.code_bits <= proof.nats / math.log(2) + 2 * len(TEXTS)
    assert proof.code_bits_per_byte < proof.file_bits_per_byte == 8 * len(data) / SIZE
    assert proof.sha256 == data[-32:].hex()
    score = scoring_pb2.ScoreBPBRequest(
        corpus=CORPUS, model=BYTES, definition=scoring_pb2.Definition(max_length=32)
    )
    final = [one async for one in client.scoring.ScoreBPB(score)][-1].result
    assert proof.bits_per_byte == pytest.approx(final.overall.bits_per_byte, abs=1e-5)
    for more in ({}, {"corpus": CORPUS}):
        verdict = await verify(client, data, **more)
        assert verdict.holds
        assert verdict.proof == proof
    other = selection_pb2.Selection(max_documents=2)
    verdict = await verify(client, data, corpus=CORPUS, selection=other)
    assert not verdict.holds
    assert verdict.failures_total == len(verdict.failures) == 2
    assert "is not among the documents" in verdict.failures[0].reason
    assert (await prove(client))[0] == data, "the same documents give the same file"


@pytest.mark.slow
async def test_what_is_no_proof_of_this_model_is_refused(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    data, _ = await prove(client)
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    cases: list[tuple[bytes, dict[str, Any], grpc.StatusCode, str]] = [
        (bytes(flipped), {}, grpc.StatusCode.INVALID_ARGUMENT, "is damaged"),
        (data[:-1], {}, grpc.StatusCode.INVALID_ARGUMENT, "is cut short"),
        (data + b"x", {}, grpc.StatusCode.INVALID_ARGUMENT, "longer than it says"),
        (b"", {}, grpc.StatusCode.INVALID_ARGUMENT, "is not a proof"),
        (data, {"model": ModelRef(name="gpt9")}, grpc.StatusCode.NOT_FOUND, "gpt9"),
        (data, {"model": ModelRef(name="xz")}, grpc.StatusCode.NOT_FOUND, "xz"),
        (
            data,
            {"model": ModelRef(name="byte-reference", digest="sha256:00")},
            grpc.StatusCode.FAILED_PRECONDITION,
            "has the digest",
        ),
        (
            data,
            {
                "corpus": CORPUS,
                "selection": selection_pb2.Selection(sample=selection_pb2.Sample(spans=3)),
            },
            grpc.StatusCode.INVALID_ARGUMENT,
            "is for scoring",
        ),
    ]
    for content, more, code, words in cases:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await verify(client, content, **more)
        assert caught.value.code() == code, words
        assert words in (caught.value.details() or "")


async def test_a_file_comes_after_what_it_is_of(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    start, chunk = next(sent(b"")), audit_pb2.VerifyProofRequest(chunk=b"x")
    for messages, words in (
        ([], "no message was sent"),
        ([chunk], "the first message must have it"),
        ([start, start], "is given twice"),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match=words):
            async for _ in client.audit.VerifyProof(iter(messages)):
                pass


@pytest.mark.slow
async def test_sizes_are_bounded(serve: Start, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await serve({"c": root})
    data, _ = await prove(client)
    monkeypatch.setattr(service, "MOST_PROVED_BYTES", len(data) - 1)
    monkeypatch.setattr(service, "_MOST_TOKENIZER_BYTES", 3)
    with pytest.raises(grpc.aio.AioRpcError, match="the file has more than") as caught:
        await verify(client, data)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    claims = replace(file_format.parse(data).records[0], text_bytes=2**40, tokens=2**40)
    forged, _ = file_format.pack(file_format.parse(data).header, [claims])
    monkeypatch.undo()
    with pytest.raises(grpc.aio.AioRpcError, match="the proof is of 1,099,511,627,776 bytes"):
        await verify(client, forged)
    monkeypatch.setattr(service, "_MOST_TOKENIZER_BYTES", 3)
    monkeypatch.setattr(service, "MOST_PROVED_BYTES", SIZE - 1)
    with pytest.raises(grpc.aio.AioRpcError, match="prove it in parts"):
        await prove(client)
    request = audit_pb2.AuditBPBRequest(record=b'{"bits_per_byte": 1}', tokenizer_json=b"[[[[")
    with pytest.raises(grpc.aio.AioRpcError, match="the tokenizer has 4 bytes"):
        await client.audit.AuditBPB(request)


async def test_what_has_no_proof_is_refused(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    guide = scoring_pb2.Definition(preset=scoring_pb2.DEFINITION_PRESET_HUGGINGFACE_GUIDE)
    for request, words in (
        (audit_pb2.ProveBPBRequest(corpus=CORPUS, model=BYTES, definition=guide), "choose lm_eval"),
        (
            proving(selection=SAMPLED),
            "is for scoring",
        ),
        (audit_pb2.ProveBPBRequest(corpus=CORPUS), "model.name"),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
            async for _ in client.audit.ProveBPB(request):
                pass
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.slow
async def test_leaving_ends_the_work_and_frees_the_place(serve: Start, tmp_path: Path) -> None:
    texts = ["spam and eggs " * 2000] * 64  # minutes of work
    long = write_corpus(tmp_path / "long", {"test.jsonl.zst": [line(text) for text in texts]})
    client = await serve({"c": long})
    call = client.audit.ProveBPB(proving())
    async for update in call:
        assert update.HasField("progress")
        break
    with pytest.raises(grpc.aio.AioRpcError, match="another proof is running") as caught:
        await prove(client)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    call.cancel()
    small = selection_pb2.Selection(max_documents=1, max_text_bytes=1)
    while (code := await refused(client, small)) == grpc.StatusCode.RESOURCE_EXHAUSTED:
        pass  # the step that it is in is not over
    assert code == grpc.StatusCode.INVALID_ARGUMENT  # no document is that small


@pytest.mark.slow
async def test_leaving_ends_the_decoding_of_a_document(serve: Start, root: Path) -> None:
    """The file is of one document, which says that it has tokens for hours."""
    client = await serve({"c": root})
    data, _ = await prove(client)
    proof = file_format.parse(data)
    endless = replace(proof.records[0], text_bytes=2**27, tokens=2**27)
    forged, _ = file_format.pack(proof.header, [endless])
    call = client.audit.VerifyProof(sent(forged))
    async for update in call:
        assert update.HasField("progress")
        break
    call.cancel()
    while True:
        try:
            assert (await verify(client, data)).holds
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017
        else:
            break


async def refused(client: Client, selection: selection_pb2.Selection) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await prove(client, selection=selection)
    return caught.value.code()


def record(**more: Any) -> dict[str, Any]:
    nats = [0.7 * len(text.encode()) for text in TEXTS]
    documents = [
        {"id": str(place), "text": text, "bytes": len(text.encode()), "nats": nats[place]}
        for place, text in enumerate(TEXTS)
        if text
    ]
    return {
        "name": "ours",
        "bits_per_byte": 0.7 / math.log(2),
        "totals": {"bytes": SIZE, "nats": sum(nats)},
        "tokenizer": "bytes",
        "documents": documents,
        **more,
    }


@pytest.mark.parametrize("place", ["name", "id", "field"])
async def test_a_record_may_have_names_that_are_no_utf8(serve: Start, place: str) -> None:
    names = {"name": "n", "id": "i"} | {place: "\ud800"}
    document = {"id": names["id"], "nats": -1.0, "bytes": 1}
    value: dict[str, Any] = {
        "name": names["name"],
        "bits_per_byte": 1.0,
        "documents": [document],
    }
    client = await serve({})
    if place == "field":
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await audit(client, value | {"\ud800": 1})
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        return
    verdict = await audit(client, value)
    assert "\ufffd" in verdict.name + "".join(verdict.impossible)


async def audit(client: Client, value: Any, **more: Any) -> audit_pb2.AuditBPBResponse:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return await client.audit.AuditBPB(audit_pb2.AuditBPBRequest(record=data, **more))


async def test_a_figure_is_tried(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    sound = await audit(client, record())
    assert sound.name == "ours"
    assert sound.status in {audit_pb2.AUDIT_STATUS_SOUND, audit_pb2.AUDIT_STATUS_CONSISTENT}
    characters = sum(map(len, TEXTS))
    wrong = record(bits_per_byte=0.7 * SIZE / math.log(2) / characters)
    wrong["totals"]["bytes"] = characters
    for one in wrong["documents"]:
        one["bytes"] = len(one["text"])
    found = await audit(client, wrong)
    assert found.status == audit_pb2.AUDIT_STATUS_WRONG
    [finding] = found.findings
    assert [one.id for one in finding.mistakes] == [Mistake.CHARACTERS.value]
    assert found.corrected == pytest.approx(0.7 / math.log(2), rel=1e-3)
    assert found.corrected_of == "the texts"
    never = await audit(client, record(bits_per_byte=-1))
    assert never.status == audit_pb2.AUDIT_STATUS_IMPOSSIBLE
    assert never.impossible
    assert not never.HasField("corrected")


async def test_texts_are_found_by_digest(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    by_digest = record()
    for one in by_digest["documents"]:
        one["sha256"] = hashlib.sha256(one.pop("text").encode()).hexdigest()
    unknown = await audit(client, by_digest)
    assert any("whose texts are not known" in one for one in unknown.unchecked)
    for more in ({"texts": [text.encode() for text in TEXTS]}, {"corpus": CORPUS}):
        known = await audit(client, by_digest, **more)
        assert not any("whose texts are not known" in one for one in known.unchecked)
        assert known.status == (await audit(client, record())).status


async def test_a_path_in_a_record_is_never_read(serve: Start, root: Path, tmp_path: Path) -> None:
    client = await serve({"c": root})
    secret = tmp_path / "tokenizer.json"
    secret.write_text("secret")
    for path in (str(secret), "/etc/passwd", "nowhere"):
        with pytest.raises(grpc.aio.AioRpcError, match="which is not read here") as caught:
            await audit(client, record(tokenizer=path))
        assert "secret" not in (caught.value.details() or "")
        assert (await audit(client, record(tokenizer=path), model=BYTES)).name == "ours"


@pytest.mark.parametrize(
    ("value", "more", "words"),
    [
        (b"", {}, "neither JSON nor JSON lines"),
        (b"\xff", {}, "neither JSON nor JSON lines"),
        (b"[" * 100_000, {}, "nested too deeply"),
        (b"{}", {}, "bits_per_byte"),
        ({"bits_per_byte": 1}, {"tokenizer_json": b"nonsense"}, "cannot be read as a tokenizer"),
        ({"bits_per_byte": 1}, {"tokenizer_json": b"\xff"}, "cannot be read as a tokenizer"),
        ({"bits_per_byte": 1}, {"texts": [b"\xff"]}, "is not UTF-8"),
        ({"bits_per_byte": 1}, {"model": ModelRef()}, "model.name"),
    ],
)
async def test_bad_records_are_refused(
    serve: Start, root: Path, value: Any, more: dict[str, Any], words: str
) -> None:
    if "tokenizer_json" in more:
        pytest.importorskip("tokenizers", reason="needs the score extra")
    client = await serve({"c": root})
    with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
        await audit(client, value, **more)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.slow
async def test_a_stream_that_is_cut_off_leaves_the_place_free(serve: Start, root: Path) -> None:
    client = await serve({"c": root})
    data, _ = await prove(client)

    async def stops() -> AsyncIterator[audit_pb2.VerifyProofRequest]:
        for part in list(sent(data))[:1]:
            yield part
        await asyncio.Event().wait()

    call = client.audit.VerifyProof(stops())
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert (await verify(client, data)).holds
