"""Every reason of the contract's errors, each from a real call to a real service.

A test at the end compares the reasons that were provoked here with the enum's.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from assay_rpc.channel import connect_async
from assay_rpc.common.v1 import common_pb2
from assay_rpc.connection import Connection
from assay_rpc.corpus.v1 import (
    benchmark_pb2,
    benchmark_pb2_grpc,
    corpus_pb2_grpc,
    scoring_pb2,
    scoring_pb2_grpc,
    selection_pb2,
    stream_pb2,
)
from assay_rpc.errors import AssayError
from assay_rpc.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    artifact_pb2,
    ranker_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)
from assay_rpc.segment.v1 import admin_pb2 as segment_admin_pb2
from assay_rpc.segment.v1 import admin_pb2_grpc as segment_admin_pb2_grpc
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc

from services.corpus.stream.budget import held_bytes
from services.rpc.access.tokens import line_of, new_token
from tests.corpus.shard_files import line, write_corpus
from tests.ports import free_port
from tests.ranker.claims.test_manifest import ARTIFACT
from tests.segment.images.test_decode import png_header
from tests.segment.tiny_model import RESEARCH, Tiny, write

DAMAGED = b"\x28\xb5\x2f\xfd" + bytes(40)
LARGE = "x" * 60_000
POLICY = """
anonymous = ["read"]
[[grant]]
identities = ["token:operator"]
roles = ["read", "verify", "report", "operate"]
[[grant]]
identities = ["token:busy"]
roles = ["read"]
calls_per_second = 0.001
[[grant]]
identities = ["token:reader"]
roles = ["read"]
"""


class Place:
    """The three services, and what their callers need."""

    def __init__(self, start_service: Any, folder: Path) -> None:
        self.folder = folder
        self.tokens = {name: new_token() for name in ("operator", "busy", "reader")}
        (folder / "policy.toml").write_text(POLICY)
        lines = (line_of(name, token) for name, token in self.tokens.items())
        (folder / "tokens").write_text("\n".join(lines))
        for name, license_ in (("tiny", None), ("research", RESEARCH)):
            tiny = Tiny(name=name) if license_ is None else Tiny(name=name, license=license_)
            write(folder / "models" / name, tiny)
        self.changing = write_corpus(folder / "changing", {"test.jsonl.zst": [line("before")]})
        many = [line(f"document {number}") for number in range(3_000)]
        corpora = {
            "plain": write_corpus(folder / "plain", {"test.jsonl.zst": [line("one"), line("two")]}),
            "many": write_corpus(folder / "many", {"test.jsonl.zst": many}),
            "large": write_corpus(folder / "large", {"test.jsonl.zst": [line(LARGE)] * 300}),
            "damaged": write_corpus(folder / "damaged", {"test.jsonl.zst": DAMAGED}),
            "changing": self.changing,
        }
        entries = {name: {"path": str(root), "kind": "sample"} for name, root in corpora.items()}
        # Journals of scores are cut off at 64 KiB, as on a full disk.
        limited = ["sh", "-c", 'ulimit -f 128; exec "$0" -m services.corpus', sys.executable]
        variables = {
            "ASSAY_CORPUS_CORPORA": json.dumps(entries),
            "ASSAY_CORPUS_STREAM_BYTES": str(held_bytes(2 << 20, indexed=False)),
            "ASSAY_CORPUS_MAX_REQUEST_BYTES": str(1 << 16),
            "ASSAY_CORPUS_LANGUAGE_MODELS": json.dumps({"broken": str(self._broken_model())}),
            "ASSAY_HOME": str(folder / "home"),
            "ASSAY_CORPUS_LOG_LEVEL": "error",
        }
        self.corpus = start_service("corpus", variables, limited)
        models = [str(folder / "models" / name) for name in ("tiny", "research")]
        self.segment = start_service(
            "segment",
            {
                "ASSAY_SEGMENT_MODELS": json.dumps(models),
                "ASSAY_SEGMENT_ENGINE": "onnxruntime",
                "ASSAY_SEGMENT_DESIRED": str(folder / "desired.json"),
            },
        )
        self.bare = start_service(
            "segment",
            {"ASSAY_SEGMENT_MODELS": json.dumps(models[:1]), "ASSAY_SEGMENT_ENGINE": "onnxruntime"},
        )
        self.ranker = start_service(
            "ranker",
            {
                "ASSAY_RANKER_DATABASE": str(folder / "evidence.sqlite"),
                "ASSAY_RANKER_POLICY_FILE": str(folder / "policy.toml"),
                "ASSAY_RANKER_TOKEN_FILE": str(folder / "tokens"),
                "REDIS_URL": f"redis://127.0.0.1:{free_port()}",
            },
        )

    def _broken_model(self) -> Path:
        """A folder whose configuration is a language model's and whose tokenizer is damaged."""
        folder = self.folder / "broken"
        folder.mkdir()
        config = {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "n_positions": 16,
            "vocab_size": 257,
        }
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "tokenizer.json").write_text("{}")
        (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
        return folder

    def as_caller(self, name: str = "operator") -> grpc.aio.Channel:
        return connect_async(Connection(self.ranker.address, token=self.tokens[name]))


@pytest.fixture(scope="module")
def place(start_service: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Place(start_service, tmp_path_factory.mktemp("reasons"))
    yield made
    for service in (made.corpus, made.segment, made.bare, made.ranker):
        service.stop()


Case = Callable[[Place], Awaitable[None]]
CASES: dict[str, Case] = {}


def case(reason: str) -> Callable[[Case], Case]:
    def kept(function: Case) -> Case:
        assert reason not in CASES
        CASES[reason] = function
        return function

    return kept


async def read(call: Any) -> None:
    async for _ in call:
        pass


def stream(name: str, **more: Any) -> stream_pb2.StreamCorpusRequest:
    return stream_pb2.StreamCorpusRequest(corpus=selection_pb2.CorpusRef(name=name), **more)


async def streamed(place: Place, name: str, **more: Any) -> None:
    async with connect_async(place.corpus.address) as channel:
        await read(corpus_pb2_grpc.CorpusServiceStub(channel).StreamCorpus(stream(name, **more)))


async def scored(place: Place, name: str, model: str = "zstd-19", **more: Any) -> None:
    request = scoring_pb2.ScoreBPBRequest(
        corpus=selection_pb2.CorpusRef(name=name), model=common_pb2.ModelRef(name=model), **more
    )
    async with connect_async(place.corpus.address) as channel:
        await read(scoring_pb2_grpc.ScoringServiceStub(channel).ScoreBPB(request, timeout=120))


async def labelled(place: Place, encoded: bytes, model: str = "tiny", **more: Any) -> None:
    request = segment_pb2.SegmentImageRequest(
        model=common_pb2.ModelRef(name=model, **more), image=images_pb2.Image(encoded=encoded)
    )
    async with connect_async(place.segment.address) as channel:
        await segment_pb2_grpc.SegmentServiceStub(channel).SegmentImage(request, timeout=60)


@case("INVALID_ARGUMENT")
async def _(place: Place) -> None:
    await streamed(place, "plain", chunk_bytes=1)


@case("NOT_FOUND")
async def _(place: Place) -> None:
    await streamed(place, "nowhere")


@case("BAD_IMAGE")
async def _(place: Place) -> None:
    await labelled(place, b"not a picture")


@case("IMAGE_TOO_LARGE")
async def _(place: Place) -> None:
    await labelled(place, png_header(60_000, 60_000))


@case("DIGEST_MISMATCH")
async def _(place: Place) -> None:
    await labelled(place, png_header(8, 8), digest=f"sha256:{'0' * 64}")


@case("LICENSE_NOT_ACCEPTED")
async def _(place: Place) -> None:
    await labelled(place, png_header(8, 8), model="research")


@case("DATA_LOSS")
async def _(place: Place) -> None:
    await streamed(place, "damaged")


@case("OVERLOADED")
async def _(place: Place) -> None:
    async with connect_async(place.corpus.address) as channel:
        stub = corpus_pb2_grpc.CorpusServiceStub(channel)
        first = stub.StreamCorpus(stream("large", chunk_bytes=2 << 20))
        await first.read()
        try:
            await read(stub.StreamCorpus(stream("large", chunk_bytes=2 << 20)))
        finally:
            first.cancel()


@case("TOO_LARGE")
async def _(place: Place) -> None:
    await streamed(place, "plain", cursor=bytes(100_000))


@case("CURSOR_MISMATCH")
async def _(place: Place) -> None:
    async with connect_async(place.corpus.address) as channel:
        stub = corpus_pb2_grpc.CorpusServiceStub(channel)
        cursor = b""
        async for message in stub.StreamCorpus(stream("plain")):
            cursor = message.cursor
    await streamed(place, "many", cursor=cursor)


@case("INDEX_REQUIRED")
async def _(place: Place) -> None:
    await streamed(place, "plain", rank=stream_pb2.ReaderRank(rank=0, world_size=2))


@case("SOURCE_CHANGED")
async def _(place: Place) -> None:
    write_corpus(place.changing, {"test.jsonl.zst": [line("after, and longer than before")]})
    await streamed(place, "changing")


@case("CHECKPOINT_MISMATCH")
async def _(place: Place) -> None:
    await scored(place, "plain", checkpoint="kept")
    await scored(place, "plain", model="xz", checkpoint="kept")


@case("STORAGE_FULL")
async def _(place: Place) -> None:
    await scored(place, "many", checkpoint="full")


@case("ENGINE_UNAVAILABLE")
async def _(place: Place) -> None:
    compute = scoring_pb2.Compute(engine="onnxruntime-cpu", precision=common_pb2.PRECISION_BF16)
    await scored(place, "plain", model="byte-reference", compute=compute)


@case("MODEL_UNUSABLE")
async def _(place: Place) -> None:
    pytest.importorskip("torch", reason="needs the score extra")
    whatever = scoring_pb2.Definition(prefix=scoring_pb2.PREFIX_TOKEN_NONE)
    await scored(place, "plain", model="broken", definition=whatever)


@case("UNSUPPORTED")
async def _(place: Place) -> None:
    request = segment_admin_pb2.SetDesiredModelsRequest(everything=True)
    async with connect_async(place.bare.address) as channel:
        await segment_admin_pb2_grpc.SegmentAdminServiceStub(channel).SetDesiredModels(request)


@case("REVISION_MISMATCH")
async def _(place: Place) -> None:
    request = segment_admin_pb2.SetDesiredModelsRequest(
        models=[segment_admin_pb2.DesiredModel(name="tiny")], expected_revision="another"
    )
    async with connect_async(place.segment.address) as channel:
        await segment_admin_pb2_grpc.SegmentAdminServiceStub(channel).SetDesiredModels(request)


@case("VERSION_CONFLICT")
async def _(place: Place) -> None:
    async with place.as_caller() as channel:
        stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
        for name in ("One content", "Another content"):
            text = yaml.safe_dump({**ARTIFACT, "name": name}).encode()
            await stub.RegisterManifest(admin_pb2.RegisterManifestRequest(manifest=text))


@case("REQUEST_ID_REUSED")
async def _(place: Place) -> None:
    async with place.as_caller() as channel:
        stub = verification_pb2_grpc.VerificationServiceStub(channel)
        for claim in ("P1.2", "P2.2"):
            await stub.SubmitVerification(
                verification_pb2.SubmitVerificationRequest(
                    artifact="the-pile", claims=[f"the-pile/{claim}"], request_id="same"
                )
            )


@case("UNAVAILABLE")
async def _(place: Place) -> None:
    async with place.as_caller() as channel:
        stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
        await stub.InvalidateCache(admin_pb2.InvalidateCacheRequest(all=True), timeout=30)


async def listed(channel: grpc.aio.Channel) -> None:
    await ranker_pb2_grpc.RankerServiceStub(channel).ListArtifacts(
        artifact_pb2.ListArtifactsRequest()
    )


@case("UNAUTHENTICATED")
async def _(place: Place) -> None:
    async with connect_async(Connection(place.ranker.address, token="a-guess")) as channel:  # noqa: S106
        await listed(channel)


@case("FORBIDDEN")
async def _(place: Place) -> None:
    async with place.as_caller("reader") as channel:
        stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
        await stub.InvalidateCache(admin_pb2.InvalidateCacheRequest(all=True))


@case("QUOTA_EXCEEDED")
async def _(place: Place) -> None:
    async with place.as_caller("busy") as channel:
        stub = admin_pb2_grpc.RankerAdminServiceStub(channel)
        for _ in range(2):
            await stub.ValidateManifest(admin_pb2.ValidateManifestRequest(manifest=b"a: 1"))


def workers(parent: int) -> list[int]:
    """Processes that a process has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text("ascii")
    return [int(number) for number in children.split()]


@case("INTERNAL")
async def _(place: Place) -> None:
    """A worker is killed while it measures."""
    request = benchmark_pb2.BenchmarkStorageRequest(corpus=selection_pb2.CorpusRef(name="many"))

    async def kill() -> None:
        while not (found := workers(place.corpus.process.pid)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        os.kill(found[0], signal.SIGKILL)

    async with connect_async(place.corpus.address) as channel, asyncio.timeout(60):
        killing = asyncio.create_task(kill())
        stub = benchmark_pb2_grpc.CorpusBenchmarkServiceStub(channel)
        try:
            await read(stub.BenchmarkStorage(request))
        finally:
            await killing


# A client's own library ends a call at its deadline, and has no reason from the server; an item's
# is the server's to end: tests/segment/api/test_image_stream.py provokes it.
OF_AN_ITEM = {"DEADLINE_EXCEEDED"}


@pytest.mark.parametrize("reason", CASES)
async def test_a_real_call_fails_for_this_reason(place: Place, reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await CASES[reason](place)
    error = AssayError.of(caught.value)
    assert error.reason == reason, error
    assert reason == error.REASON  # it has a class of its own in the client package
    assert error.request_id
    assert str(error)
    if reason in {"OVERLOADED", "QUOTA_EXCEEDED"}:
        assert (error.retry_after or 0) > 0
    else:
        assert error.retry_after is None
    if reason in {"INVALID_ARGUMENT", "BAD_IMAGE", "IMAGE_TOO_LARGE"}:
        assert error.violations


def test_every_reason_is_provoked() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in common_pb2.ErrorReason.keys()}  # noqa: SIM118  no dict
    assert names - {"UNSPECIFIED"} == set(CASES) | OF_AN_ITEM
