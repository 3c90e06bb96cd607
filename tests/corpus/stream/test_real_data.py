"""Real documents of The Pile, where they are at hand."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from assay_rpc.corpus._decode import Batch, frame_decoder
from assay_rpc.corpus.v1 import selection_pb2, stream_pb2

from services.corpus.catalog.corpus import Corpus
from services.corpus.catalog.describe import describe
from services.corpus.catalog.published import NAMES
from services.corpus.shards.blocks import read_blocks
from services.corpus.shards.documents import parse_line
from services.corpus.shards.index.writer import write_index
from services.corpus.shards.layout import find_shards
from services.corpus.storage.files import StoredFile
from services.corpus.stream.chunks import chunks
from services.corpus.stream.cursor import CursorCodec
from services.corpus.stream.selection import Selection
from tests.corpus.conftest import Start
from tests.corpus.shard_files import open_corpus

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def indexed(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("indexed")
    for shard in find_shards(data_dir / "pile"):
        write_index(shard.file, shard.path, out)
    return out


@pytest.fixture(scope="module")
def pile(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_corpus(data_dir / "pile", tmp_path_factory.mktemp("cache"), "the-pile")


def _zstd(file: StoredFile) -> bytes:
    program = shutil.which("zstd")
    if program is None:
        pytest.skip("no zstd on PATH to compare with")
    return subprocess.run([program, "-dc", str(file)], check=True, capture_output=True).stdout


def _records(corpus: Corpus) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for shard in corpus.shards:
        for number, raw in enumerate(_zstd(shard.file).splitlines()):
            yield shard.path, number, json.loads(raw)


def _codec(corpus: Corpus, selection: Selection) -> CursorCodec:
    return CursorCodec(corpus.ref.digest, selection.digests())


def test_every_document_is_what_zstd_and_json_read(pile: Corpus) -> None:
    selection = pile.resolve(Selection())
    records = _records(pile)
    count = 0
    parts: list[bytes] = []
    for chunk in chunks(pile.shards, selection, _codec(pile, selection)):
        for document in chunk.documents if chunk else ():
            parts.append(document.text)
            if chunk and chunk.continues:
                continue
            path, number, record = next(records)
            assert document.id == f"{path}:{number}"
            assert b"".join(parts) == record["text"].encode("utf-8", "surrogatepass")
            assert document.subset == record["meta"]["pile_set_name"]
            assert json.loads(document.meta) == record["meta"]
            parts, count = [], count + 1
    assert next(records, None) is None
    assert count == describe(pile).counts.documents > 1000


def test_every_line_is_the_shards_own(pile: Corpus) -> None:
    selection = pile.resolve(Selection())
    found = hashlib.sha256()
    for chunk in chunks(pile.shards, selection, _codec(pile, selection), jsonl=True):
        found.update(chunk.lines if chunk else b"")
    expected = hashlib.sha256()
    for shard in pile.shards:
        expected.update(_zstd(shard.file))
    assert found.digest() == expected.digest()


@pytest.mark.parametrize("form", ["as published", "indexed"])
@pytest.mark.parametrize(
    "delivery",
    [stream_pb2.DELIVERY_DOCUMENTS, stream_pb2.DELIVERY_JSONL, stream_pb2.DELIVERY_FRAMES],
)
async def test_every_document_comes_over_the_wire_byte_for_byte(
    serve: Start, data_dir: Path, indexed: Path, form: str, delivery: stream_pb2.Delivery.ValueType
) -> None:
    """Against zstd and json alone on the shards as they were published."""
    if form == "as published" and delivery == stream_pb2.DELIVERY_FRAMES:
        pytest.skip("frames need an index")
    root = data_dir / "pile"
    client = await serve({"c": root if form == "as published" else indexed})
    lines = [
        raw for shard in find_shards(root) for raw in _zstd(shard.file).splitlines(keepends=True)
    ]
    found: list[bytes] = []
    begun, whole = b"", Batch()
    decode = frame_decoder()
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name="c"), delivery=delivery
    )
    async for chunk in client.corpus.StreamCorpus(request):
        if delivery == stream_pb2.DELIVERY_JSONL:
            begun += chunk.jsonl.lines
            if not chunk.jsonl.continues:
                found += begun.splitlines(keepends=True)
                begun = b""
            continue
        whole.add(chunk, decode)
        if chunk.cursor:
            found += whole.texts()
            whole = Batch()
    if delivery == stream_pb2.DELIVERY_JSONL:
        wanted = lines
    else:
        wanted = [json.loads(raw)["text"].encode("utf-8", "surrogatepass") for raw in lines]
    assert len(wanted) == 6507
    # An index brings the lines of one subset together.
    assert found == wanted if form == "as published" else sorted(found) == sorted(wanted)


def test_each_subset_is_the_whole_filtered(pile: Corpus) -> None:
    everything = list(pile.documents(pile.resolve(Selection())))
    subsets = {document.subset for document in everything}
    assert subsets <= NAMES
    for subset in sorted(subsets)[::5]:
        selection = pile.resolve(Selection(subsets=frozenset({subset})))
        assert list(pile.documents(selection)) == [d for d in everything if d.subset == subset]


def test_the_first_documents_of_the_official_shards_are_read(data_dir: Path) -> None:
    files = sorted((data_dir / "pile" / "official-head").glob("*.jsonl.zst"))
    files.append(data_dir / "pile" / "pg19-3books.jsonl.zst")
    for file in files:
        for block in read_blocks(file, file.name):
            for raw in block.data.splitlines():
                document = parse_line(raw, file.name, 0)
                assert document.text == json.loads(raw)["text"].encode()
                assert document.subset in NAMES
