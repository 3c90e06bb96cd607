from __future__ import annotations

from pathlib import Path

import pytest
from assay_rpc.corpus.v1 import describe_pb2, selection_pb2

from services.corpus.catalog.corpus import Corpus
from services.corpus.reference import build
from services.corpus.stream.selection import Selection
from tests.corpus.conftest import Start, described
from tests.corpus.shard_files import open_corpus

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.ensure_reference_corpus(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def corpus(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return open_corpus(root, tmp_path_factory.mktemp("cache"), build.NAME)


def test_it_has_every_split_and_subset(corpus: Corpus) -> None:
    assert corpus.splits == ("train", "val", "test")
    counted = corpus.counts()
    # Some distributions leave the documentation out.
    assert counted.subsets.keys() >= {build.SOURCES, build.DOCSTRINGS}
    assert 3_000_000 < counted.text_bytes < 40_000_000
    train = sum(
        count.jsonl_bytes
        for shard, count in zip(corpus.shards, counted.shards, strict=True)
        if shard.split == "train"
    )
    assert 0.75 < train / sum(shard.jsonl_bytes for shard in counted.shards) < 0.97


def test_it_is_the_same_every_time(root: Path, tmp_path: Path) -> None:
    again = build.ensure_reference_corpus(tmp_path)
    assert again.name == root.name
    files = sorted(file.relative_to(root) for file in root.rglob("*.zst"))
    assert len(files) == build.TRAIN_SHARDS + 2
    for file in files:
        assert (root / file).read_bytes() == (again / file).read_bytes()


def test_it_is_built_once_and_nothing_is_left_over(root: Path) -> None:
    before = (root / "test.jsonl.zst").stat().st_mtime_ns
    assert build.ensure_reference_corpus(root.parents[1]) == root
    assert (root / "test.jsonl.zst").stat().st_mtime_ns == before
    assert [entry.name for entry in root.parent.iterdir()] == [root.name]


def test_no_held_out_text_is_training_text(corpus: Corpus) -> None:
    train = {d.text for d in corpus.documents(corpus.resolve(Selection(splits=("train",))))}
    held_out = list(corpus.documents(corpus.resolve(Selection(splits=("val", "test")))))
    shared = [document.id for document in held_out if document.text in train]
    # Python has a few modules twice, word for word.
    assert len(shared) <= len(held_out) // 20


async def test_it_is_what_a_server_without_settings_serves(serve: Start, root: Path) -> None:
    client = await serve({}, home=root.parents[1])
    ref = selection_pb2.CorpusRef(name=build.NAME)
    reply = await described(client, describe_pb2.DescribeCorpusRequest(corpus=ref))
    assert reply.corpus.kind == describe_pb2.CORPUS_KIND_REFERENCE
    assert reply.corpus.license.id == "PSF-2.0"
    assert reply.corpus.source == build.SOURCE
    assert all(not subset.HasField("published") for subset in reply.subsets)
