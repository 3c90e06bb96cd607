from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from services.common.license import License
from services.corpus.catalog.catalog import Catalog, Registration
from services.corpus.catalog.corpus import CorpusRef, Kind
from services.corpus.catalog.describe import describe
from services.corpus.catalog.published import NAMES, SUBSETS
from services.corpus.shards.layout import LayoutError
from services.corpus.stream.selection import Selection
from services.errors import DataLoss, NotFound, PreconditionFailed, Unavailable
from tests.corpus.shard_files import NAME, compress, line, open_corpus, write_corpus

LINES = {
    "train/00.jsonl.zst": [line("aa"), line("häß", "Enron Emails"), line("aa", "Enron Emails")],
    "test.jsonl.zst": [line("aa"), line("b", None)],
}
LICENSE = License("MIT")


def _digest(root: Path) -> str:
    """The digest by its definition."""
    total = hashlib.sha256()
    for path in ("train/00.jsonl.zst", "test.jsonl.zst"):
        content = (root / path).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        total.update(f"{path} {len(content)} sha256:{digest}\n".encode())
    return f"sha256:{total.hexdigest()}"


def test_a_corpus_knows_its_shards_and_digest(tmp_path: Path) -> None:
    corpus = open_corpus(write_corpus(tmp_path / "root", LINES), tmp_path / "cache")
    assert corpus.ref == CorpusRef(NAME, _digest(tmp_path / "root"))
    assert corpus.splits == ("train", "test")
    assert corpus.compressed_bytes == sum(shard.compressed_bytes for shard in corpus.shards)


def test_the_digest_follows_the_content_and_not_the_cache(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "root", LINES)
    before = open_corpus(root, tmp_path / "cache").ref.digest
    write_corpus(root, {"test.jsonl.zst": [line("something longer than before")]})
    after = open_corpus(root, tmp_path / "cache").ref.digest
    assert before != after == _digest(root)


def test_digests_are_kept_by_path_size_and_time(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "root", LINES)
    first = open_corpus(root, tmp_path / "cache").ref
    shard = root / "test.jsonl.zst"
    status = shard.stat()
    shard.write_bytes(b"x" * status.st_size)
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert open_corpus(root, tmp_path / "cache").ref == first, "read although nothing changed"
    assert open_corpus(root, tmp_path / "other").ref != first


@pytest.mark.parametrize("rubbish", [b"", b"{", b"[]", b'{"key": {}, "value": {}}', b"\xff"])
def test_a_broken_cache_is_no_cache(tmp_path: Path, rubbish: bytes) -> None:
    root = write_corpus(tmp_path / "root", LINES)
    first = open_corpus(root, tmp_path / "cache")
    counted = first.counts()
    for file in (tmp_path / "cache").iterdir():
        file.write_bytes(rubbish)
    again = open_corpus(root, tmp_path / "cache")
    assert again.ref == first.ref
    assert again.counts() == counted


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    root = write_corpus(tmp_path / "root", LINES)
    corpus = open_corpus(root, tmp_path / "file" / "cache")
    assert corpus.ref.digest == _digest(root)
    assert corpus.counts().documents == 5


def test_open_refuses_unknown_names_and_other_digests(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "root", LINES)
    catalog = Catalog(tmp_path / "cache")
    entry = Registration(root, Kind.SAMPLE, "", LICENSE)
    catalog.load({"b": entry, "a": entry})
    assert [corpus.ref.name for corpus in catalog.list()] == ["a", "b"]
    ref = catalog.open("a").ref
    assert catalog.open(ref.name, ref.digest).ref == ref
    with pytest.raises(NotFound, match="no corpus named 'c'; known: a, b"):
        catalog.open("c")
    with pytest.raises(PreconditionFailed, match=ref.digest):
        catalog.open("a", "sha256:0")


def test_a_directory_that_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="holds no shard"):
        open_corpus(tmp_path, tmp_path / "cache")


def test_census(tmp_path: Path) -> None:
    corpus = open_corpus(write_corpus(tmp_path / "root", LINES), tmp_path / "cache")
    counted = corpus.counts()
    assert [(shard.documents, shard.jsonl_bytes) for shard in counted.shards] == [
        (len(lines), sum(map(len, lines))) for lines in LINES.values()
    ]
    counts = {name: (count.documents, count.text_bytes) for name, count in counted.subsets.items()}
    assert counts == {"": (1, 1), "Enron Emails": (2, 7), "Github": (2, 4)}
    assert counted.duplicate_documents == 2
    assert (counted.documents, counted.text_bytes) == (5, 12)


def test_a_census_is_kept_by_digest(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "root", LINES)
    counted = open_corpus(root, tmp_path / "cache").counts()
    again = open_corpus(root, tmp_path / "cache")
    for shard in again.shards:
        assert isinstance(shard.file, Path)
        shard.file.unlink()
    assert again.counts() == counted


def test_a_shard_that_was_replaced_is_not_served_under_the_old_digest(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "root", LINES)
    corpus = open_corpus(root, tmp_path / "cache")
    write_corpus(root, {"test.jsonl.zst": [line("something longer than before")]})
    untouched = corpus.resolve(Selection(splits=("train",)))
    assert len(list(corpus.documents(untouched))) == 3
    with pytest.raises(PreconditionFailed, match=r"^test\.jsonl\.zst has changed"):
        corpus.documents(corpus.resolve(Selection()))
    with pytest.raises(PreconditionFailed, match=r"^test\.jsonl\.zst has changed"):
        corpus.counts()


def test_a_census_ends_when_the_server_does(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "cache")
    root = write_corpus(tmp_path / "root", LINES)
    catalog.load({"a": Registration(root, Kind.SAMPLE, "", LICENSE)})
    catalog.close()
    with pytest.raises(Unavailable):
        catalog.open("a").counts()


def test_damage_is_told_and_the_rest_is_counted(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "root", LINES)
    write_corpus(root, {"train/00.jsonl.zst": compress(line("aa"))[:-1]})
    corpus = open_corpus(root, tmp_path / "cache")
    counted = corpus.counts()
    assert [shard.documents for shard in counted.shards][1] == 2
    assert counted.damage is not None
    with pytest.raises(DataLoss, match=r"^train/00\.jsonl\.zst: "):
        describe(corpus)


def test_subsets_of_the_pile_are_beside_its_table(tmp_path: Path) -> None:
    found = describe(open_corpus(write_corpus(tmp_path / "root", LINES), tmp_path / "cache"))
    subsets = {subset.name: subset for subset in found.subsets}
    assert subsets.keys() == NAMES
    assert [subsets[name].share for name in ("Enron Emails", "Github")] == [7 / 12, 4 / 12]
    assert subsets["Github"].documents == 2
    assert subsets["Books3"].documents == 0
    assert subsets["Books3"].published == SUBSETS["Books3"]
    assert found.documents_without_subset == 1


def test_an_empty_corpus_has_no_shares(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "root", {"val.jsonl.zst": []})
    found = describe(open_corpus(root, tmp_path / "cache"))
    assert found.counts.documents == 0
    assert found.subsets == ()
