"""A corpus in object storage: an HTTP server on loopback, its log, and its faults."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
import xxhash
import zstandard
from assay_rpc.corpus import CorpusStream
from assay_rpc.corpus.v1 import describe_pb2, selection_pb2, stream_pb2
from assay_rpc.errors import AssayError as CallError

from services.common.license import License
from services.corpus.catalog.catalog import Catalog, Registration
from services.corpus.catalog.corpus import Corpus, Kind
from services.corpus.catalog.locate import Location
from services.corpus.catalog.lookup import find_documents
from services.corpus.shards.documents import Document
from services.corpus.shards.index.format import FileFact, encode, open_index
from services.corpus.shards.layout import LayoutError
from services.corpus.storage.objects import ObjectNotFound, Retries
from services.corpus.stream.selection import Selection
from services.errors import AssayError, PreconditionFailed, Unavailable
from tests.corpus.conftest import Start
from tests.corpus.http_store import Store, serve_store
from tests.corpus.shard_files import line, write_corpus
from tests.corpus.stream.test_indexed import SHARDS, make_corpus, read

FAST = Retries(tries=3, first_wait=0.001)
LIMIT = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with serve_store(make_corpus(tmp_path / "made")) as running:
        yield running


def opened(location: Location, cache: Path, limit: int = LIMIT) -> Corpus:
    catalog = Catalog(cache, frame_cache_bytes=limit, retries=FAST)
    catalog.load({"c": Registration(location, Kind.SAMPLE, "a test", License("MIT"))})
    return catalog.open("c")


def find_all(corpus: Corpus, ids: list[str]) -> list[Document]:
    return next(found for found in find_documents(corpus, ids, LIMIT) if found is not None)


def texts(corpus: Corpus, **selection: int) -> list[tuple[str, bytes]]:
    wanted = corpus.resolve(Selection(**selection))  # type: ignore[arg-type]
    return [(one.id, one.text) for one in corpus.documents(wanted)]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 5])
def test_the_same_documents_under_the_same_digest(
    store: Store, tmp_path: Path, seed: int | None
) -> None:
    local, remote = opened(store.root, tmp_path / "a"), opened(store.url, tmp_path / "b")
    assert remote.ref == local.ref
    wanted = {} if seed is None else {"seed": seed}
    assert texts(remote, **wanted) == texts(local, **wanted) != []


def test_to_open_it_takes_the_indexes_and_no_shard(store: Store, tmp_path: Path) -> None:
    corpus = opened(store.url, tmp_path / "cache")
    corpus.counts()
    assert not store.gets(".zst")
    assert len(store.gets(".index")) == len(SHARDS)
    opened(store.url, tmp_path / "cache")
    assert len(store.gets(".index")) == len(SHARDS), "copied again"


def test_a_document_takes_one_range_and_then_none(store: Store, tmp_path: Path) -> None:
    corpus = opened(store.url, tmp_path / "cache")
    wanted = f"{SHARDS[0]}:200"
    for _ in range(2):
        assert [one.id for one in find_all(corpus, [wanted])] == [wanted]
    index = corpus.shards[0].index
    assert index is not None
    frame = index.frames[int(np.searchsorted(index.frames["first_line"], 200, side="right")) - 1]
    start = int(frame["offset"])
    assert store.gets(SHARDS[0]) == [(start, start + int(frame["bytes"]))]


def test_a_second_pass_is_served_from_the_cache(store: Store, tmp_path: Path) -> None:
    first = texts(opened(store.url, tmp_path / "cache"))
    asked = len(store.gets(".zst"))
    assert asked > 0
    assert texts(opened(store.url, tmp_path / "cache")) == first
    assert len(store.gets(".zst")) == asked


def test_a_damaged_frame_of_the_cache_is_fetched_again(store: Store, tmp_path: Path) -> None:
    corpus = opened(store.url, tmp_path / "cache")
    first = texts(corpus)
    asked = len(store.gets(".zst"))
    kept = [file for file in (tmp_path / "cache" / "frames").glob("*/*") if file.is_file()]
    kept[0].write_bytes(b"x" * kept[0].stat().st_size)
    kept[1].write_bytes(b"")
    assert texts(corpus) == first
    assert len(store.gets(".zst")) == asked + 2


@pytest.mark.slow
def test_the_cache_keeps_its_limit(store: Store, tmp_path: Path) -> None:
    corpus = opened(store.url, tmp_path / "cache", limit=3000)
    assert texts(corpus) == texts(opened(store.root, tmp_path / "other"))
    kept = sum(file.stat().st_size for file in (tmp_path / "cache" / "frames").glob("??/*"))
    assert 0 < kept <= 3000


@pytest.mark.parametrize("fault", ["failing", "cut"])
def test_a_fault_that_passes_costs_a_try(store: Store, tmp_path: Path, fault: str) -> None:
    corpus = opened(store.url, tmp_path / "cache")
    setattr(store, fault, 2)
    assert texts(corpus) == texts(opened(store.root, tmp_path / "other"))


def test_a_store_that_stays_away_is_unavailable(store: Store, tmp_path: Path) -> None:
    corpus = opened(store.url, tmp_path / "cache")
    store.failing = 1000
    with pytest.raises(Unavailable, match="status 503"):
        texts(corpus)
    assert 1000 - store.failing == FAST.tries
    with pytest.raises(Unavailable, match="cannot be reached"):
        opened("http://127.0.0.1:1/corpus", tmp_path / "cache")


def test_an_object_that_is_gone_is_named(store: Store, tmp_path: Path) -> None:
    corpus = opened(store.url, tmp_path / "cache")
    for file in store.root.glob("**/*.zst"):
        file.unlink()
    with pytest.raises(ObjectNotFound, match="there is no such object"):
        texts(corpus)


def test_an_object_that_was_replaced_is_stale(store: Store, tmp_path: Path) -> None:
    corpus = opened(store.url, tmp_path / "cache")
    for file in store.root.glob("**/*.zst"):
        file.write_bytes(b"x" * file.stat().st_size)
    with pytest.raises(PreconditionFailed, match="has changed since the server started"):
        texts(corpus)


def test_an_index_of_another_shard_is_refused(store: Store, tmp_path: Path) -> None:
    (store.root / SHARDS[0]).write_bytes(b"another")
    with pytest.raises(LayoutError, match="is not what its index"):
        opened(store.url, tmp_path / "cache")


def test_shards_without_an_index_stream_from_their_beginning(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "root", {"test.jsonl.zst": [line("a"), line("b")]})
    with serve_store(root) as store:
        corpus = opened(store.url, tmp_path / "cache")
        assert [text for _, text in texts(corpus)] == [b"a", b"b"]
        assert corpus.ref == opened(root, tmp_path / "other").ref
        write_corpus(root, {"test.jsonl.zst": [line("c"), line("d")]})
        with pytest.raises(PreconditionFailed, match="has changed"):
            texts(corpus)


def test_a_server_that_lists_nothing_takes_a_list(store: Store, tmp_path: Path) -> None:
    store.listings = False
    with pytest.raises(LayoutError, match="needs the URL of every shard"):
        opened(store.url, tmp_path / "cache")
    urls = tuple(f"{store.url}/{path}?token=secret" for path in SHARDS)
    corpus = opened(urls, tmp_path / "cache")
    assert corpus.ref == opened(store.root, tmp_path / "other").ref
    assert not corpus.unindexed(Selection(corpus.splits))


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        (("http://h/a/00.parquet",), "none of the 1 URLs.*00.parquet is .*copy the corpus there"),
        (("http://h/a/00.json",), "none of the 1 URLs.*00.json is of a kind"),
        (("http://h/a/test.jsonl.zst", "http://h/b/test.jsonl.zst"), "are both test.jsonl.zst"),
        (("http://h/a/readme",), "none of the 1 URLs"),
        (("/a/test.jsonl.zst",), "is not a URL"),
    ],
)
def test_bad_lists(tmp_path: Path, urls: tuple[str, ...], words: str) -> None:
    with pytest.raises(LayoutError, match=words):
        opened(urls, tmp_path)


def test_whole_objects_for_ranges_are_refused(store: Store, tmp_path: Path) -> None:
    corpus = opened(store.url, tmp_path / "cache")
    store.ranges = False
    with pytest.raises(PreconditionFailed, match="no ranges"):
        find_all(corpus, [f"{SHARDS[0]}:200"])


@pytest.mark.parametrize(("status", "kind"), [(403, PreconditionFailed), (500, Unavailable)])
def test_no_error_has_a_secret_in_it(
    store: Store,
    tmp_path: Path,
    status: int,
    kind: type[AssayError],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    store.failing, store.status = 1000, status
    url = store.url.replace("://", "://user:hidden@") + "/?signature=hidden"
    with pytest.raises(kind) as caught:
        opened(url, tmp_path / "cache")
    assert "hidden" not in str(caught.value)
    assert "hidden" not in caplog.text
    assert "127.0.0.1" in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_protocols(tmp_path: Path) -> None:
    with pytest.raises(PreconditionFailed, match="needs the package s3fs"):
        opened("s3://bucket/pile", tmp_path)
    with pytest.raises(PreconditionFailed, match="needs the package gcsfs"):
        opened("gs://bucket/pile", tmp_path)
    with pytest.raises(PreconditionFailed, match="known: https://"):
        opened("ftp://host/pile", tmp_path)


@pytest.mark.slow
async def test_a_resumed_stream_does_not_fetch_what_precedes(
    store: Store, serve: Start, tmp_path: Path
) -> None:
    client = await serve({"c": store.url}, tmp_path / "one")
    whole, _ = await read(client)
    small = {"delivery": stream_pb2.DELIVERY_DOCUMENTS, "chunk_bytes": 4096}
    some, cursor = await read(client, chunks=4, **small)
    fresh = await serve({"c": store.url}, tmp_path / "two")
    store.log.clear()
    rest, _ = await read(fresh, cursor=cursor, **small)
    assert [*some, *rest] == whole
    corpus = opened(store.root, tmp_path / "local")
    index = corpus.shards[0].index
    assert index is not None
    shard, _, next_line = rest[0][0].partition(":")
    assert shard == SHARDS[0]
    frame = int(np.searchsorted(index.frames["first_line"], int(next_line), side="right")) - 1
    assert frame > 0
    assert min(start for start, _ in store.gets(shard)) == int(index.frames["offset"][frame])


@pytest.mark.slow
async def test_a_client_goes_on_after_the_store_was_away(
    store: Store, serve: Start, tmp_path: Path
) -> None:
    client = await serve({"c": store.url})
    whole = dict((await read(client))[0])
    fresh = await serve({"c": store.url}, tmp_path / "fresh", frame_cache_bytes=0)

    def follow() -> list[tuple[str, bytes]]:
        with CorpusStream(f"127.0.0.1:{fresh.server.port}", "c") as stream:
            found: list[tuple[str, bytes]] = []
            for document in stream:
                if len(found) == 100:
                    store.failing = 6  # more than the server tries
                found.append((document.id, document.text_bytes))
            return found

    found = await asyncio.to_thread(follow)
    assert dict(found) == whole
    assert len(found) == len(whole)


@pytest.mark.slow
@pytest.mark.parametrize("says_its_size", [True, False])
async def test_a_bomb_in_an_object_is_refused_before_it_takes_memory(
    serve: Start, tmp_path: Path, says_its_size: bool
) -> None:
    """A frame of lines and one of texts that hold 256 MB each, with digests that are right."""
    root = make_corpus(tmp_path)
    bomb = zstandard.ZstdCompressor(write_content_size=says_its_size).compress(bytes(1 << 28))
    index = open_index(root / "test.index")
    assert index.header.text is not None
    frames = index.frames.copy()
    frames["offset"] = frames["text_offset"] = 0
    frames["bytes"] = frames["text_frame_bytes"] = len(bomb)
    frames["digest"] = frames["text_digest"] = xxhash.xxh3_64_intdigest(bomb)
    fact = FileFact(len(bomb), f"sha256:{hashlib.sha256(bomb).hexdigest()}")
    header = replace(index.header, shard=fact, text=fact)
    (root / "test.jsonl.zst").write_bytes(bomb)
    (root / "test.text.zst").write_bytes(bomb)
    (root / "test.index").write_bytes(encode(replace(index, header=header, frames=frames)))

    def follow(target: str) -> list[str]:
        with CorpusStream(
            target, "c", selection=selection_pb2.Selection(splits=["test"])
        ) as stream:
            return [document.text for document in stream]

    with serve_store(root) as store:
        client = await serve({"c": store.url})
        target = f"127.0.0.1:{client.server.port}"
        tracemalloc.start()
        try:
            for delivery in (stream_pb2.DELIVERY_DOCUMENTS, stream_pb2.DELIVERY_JSONL):
                with pytest.raises(grpc.aio.AioRpcError, match="not of the size") as told:
                    await read(
                        client,
                        delivery=delivery,
                        selection=selection_pb2.Selection(splits=["test"]),
                    )
                assert told.value.code() == grpc.StatusCode.DATA_LOSS
            with pytest.raises(CallError, match="not of the size"):
                await asyncio.to_thread(follow, target)
            one = stream_pb2.GetDocumentsRequest(
                corpus=selection_pb2.CorpusRef(name="c"), ids=["test.jsonl.zst:3"]
            )
            with pytest.raises(grpc.aio.AioRpcError, match="not of the size"):
                await client.corpus.GetDocuments(one)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1 << 26
        rest, _ = await read(client, selection=selection_pb2.Selection(splits=["train"]))
        assert rest


@pytest.mark.slow
@pytest.mark.parametrize("expires", [False, True])
async def test_a_search_for_many_documents_ends_between_frames_with_its_call(
    store: Store, serve: Start, tmp_path: Path, expires: bool
) -> None:
    """The only thread that reads is free again once the frame that was asked for is there."""
    client = await serve({"c": store.url})
    whole, _ = await read(
        client, selection=selection_pb2.Selection(splits=["train"]), chunk_bytes=4096
    )
    ids = [one for one, _ in whole]
    assert len(ids) > 300
    fresh = await serve({"c": store.url}, tmp_path / "fresh", frame_cache_bytes=0, reader_threads=1)
    store.log.clear()
    store.gate = threading.Event()
    request = stream_pb2.GetDocumentsRequest(corpus=selection_pb2.CorpusRef(name="c"), ids=ids)
    call = fresh.corpus.GetDocuments(request, timeout=1 if expires else None)
    assert await asyncio.to_thread(store.held.wait, 10)
    if not expires:
        call.cancel()
    with pytest.raises(asyncio.CancelledError if not expires else grpc.aio.AioRpcError):
        await call
    # The server has heard of it before it hears of what is asked for later on this connection.
    await fresh.corpus.ListCorpora(describe_pb2.ListCorporaRequest())
    store.gate.set()
    await read(fresh, chunks=1, selection=selection_pb2.Selection(splits=["test"]))
    assert len(store.gets(SHARDS[0]) + store.gets(SHARDS[1])) < len(ids)


async def test_the_code_of_a_store_that_stays_away(store: Store, serve: Start) -> None:
    client = await serve({"c": store.url})
    store.failing = 1000
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read(client)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_command_reads_urls(store: Store, tmp_path: Path) -> None:
    arguments = ["corpus", "stream", "--shards", store.url, "--split", "test", "--jsonl"]
    ended = subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        env={"ASSAY_HOME": str(tmp_path / "home"), "HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) > 100
