"""Files as people have them: every format, layout, key and known data set."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.shards.bad_lines import FREE
from services.corpus.shards.blocks import read_blocks
from services.corpus.shards.documents import Document, parse_line
from services.corpus.shards.formats import READING, Keys, Reading, format_of, stem_of
from services.corpus.shards.index.job import index_corpus
from services.corpus.shards.index.verify import verify
from services.corpus.shards.index.writer import IndexOptions
from services.corpus.shards.layout import (
    LayoutError,
    find_layout,
    find_shards,
    in_order,
    indexed_names,
)
from services.corpus.shards.names import split_of
from services.corpus.stream import reader
from services.corpus.stream.reader import Reader
from services.corpus.stream.selection import Selection
from services.errors import DataLoss
from tests.corpus.shard_files import compress, frames, line, open_corpus, write_corpus

TEXTS = ["alpha", "beta \u00e9\u4e2d", "", "gamma\ttab\nline"]
ROWS = [{"text": text, "meta": {"pile_set_name": "Pile-CC"}} for text in TEXTS]
LINES = b"".join(line(text, "Pile-CC") for text in TEXTS)
SPLITS = ("train", "val", "test")


def documents(root: Path, reading: Reading = READING, *, every: bool = False) -> list[Document]:
    """Every document of the corpus at `root`."""
    shards = find_shards(root, reading, every_file=every)
    return list(reader.documents(shards, Selection(SPLITS)))


def texts(root: Path, reading: Reading = READING, *, every: bool = False) -> list[str]:
    return [one.text.decode() for one in documents(root, reading, every=every)]


PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".zst": compress,
    ".zstd": compress,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@pytest.mark.parametrize("pack", PACK)
@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json"])
def test_lines_in_every_compression(tmp_path: Path, suffix: str, pack: str) -> None:
    name = f"part-1{suffix}{pack}"
    write_corpus(tmp_path, {name: PACK[pack](LINES)})
    found = documents(tmp_path)
    assert [one.text.decode() for one in found] == TEXTS
    assert [one.id for one in found] == [f"{name}:{number}" for number in range(4)]
    assert {one.subset for one in found} == {"Pile-CC"}
    assert texts(tmp_path / name) == TEXTS  # a single file


@pytest.mark.parametrize("pack", PACK)
def test_a_json_array_is_records(tmp_path: Path, pack: str) -> None:
    for spelled in (json.dumps(ROWS), "\ufeff \n " + json.dumps(ROWS, indent=2)):
        write_corpus(tmp_path, {f"a.json{pack}": PACK[pack](spelled.encode())})
        assert texts(tmp_path) == TEXTS


@given(
    st.sampled_from([".gz", ".bz2", ".xz", ".zst"]),
    st.binary(max_size=300),
    st.lists(st.integers(0, 4000), max_size=4),
)
def test_any_cut_or_member_is_read_as_far_as_it_goes(
    tmp_path_factory: pytest.TempPathFactory, pack: str, tail: bytes, cuts: list[int]
) -> None:
    root = tmp_path_factory.mktemp("cut")
    data = LINES * 40
    ends = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    whole = b"".join(PACK[pack](data[a:b]) for a, b in itertools.pairwise(ends))
    file = root / f"a.jsonl{pack}"
    file.write_bytes(whole)
    blocks = list(read_blocks(file, file.name, block_bytes=500))
    assert b"".join(block.data for block in blocks) == data
    file.write_bytes(whole[: len(whole) - 1 - len(tail)])
    got: list[bytes] = []
    with pytest.raises(DataLoss, match=r"cut off|damaged|empty"):
        got.extend(block.data for block in read_blocks(file, file.name, block_bytes=500))
    assert data.startswith(b"".join(got))


@pytest.mark.parametrize("pack", [".gz", ".bz2", ".xz", ".zst"])
def test_a_line_break_behind_the_last_member_is_no_damage(tmp_path: Path, pack: str) -> None:
    """As editors leave it; something else there is."""
    whole = PACK[pack](LINES) + PACK[pack](LINES)
    write_corpus(tmp_path, {f"a.jsonl{pack}": whole + b"\r\n \n"})
    assert texts(tmp_path) == TEXTS * 2
    write_corpus(tmp_path, {f"a.jsonl{pack}": whole + b"\nmore"})
    with pytest.raises(DataLoss, match=r"continues with something|cut off"):
        texts(tmp_path)


@pytest.mark.slow
def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    bomb = b"\n" * (64 << 20)
    for pack in (".gz", ".bz2", ".xz"):
        file = tmp_path / f"a.jsonl{pack}"
        file.write_bytes(PACK[pack](bomb))
        assert max(len(block.data) for block in read_blocks(file, file.name)) <= 2 << 20


def test_tables(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # noqa: PLC0415

    rows = [{"text": text, "url": f"u{n}", "score": n / 2} for n, text in enumerate(TEXTS)]
    table = pa.Table.from_pylist(rows * 300)
    parquet.write_table(table, tmp_path / "train-00000-of-00001.parquet", row_group_size=100)
    for name, new in (("validation", pa.ipc.new_stream), ("test", pa.ipc.new_file)):
        sink = pa.OSFile(str(tmp_path / f"{name}.arrow"), "wb")
        with sink, new(sink, table.schema) as writer:
            writer.write_table(table)
    found = documents(tmp_path)
    assert [one.text.decode() for one in found] == TEXTS * 900
    assert json.loads(found[1].meta) == {"url": "u1", "score": 0.5}
    assert found[1200].id == "validation.arrow:0"
    with pytest.raises(DataLoss, match=r'no column "body".*text, url, score.*--text-key'):
        documents(tmp_path, Reading(Keys("body")))
    twice = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["text", "text"])
    parquet.write_table(twice, tmp_path / "test-twice.parquet")
    with pytest.raises(DataLoss, match=r'has several columns "text": rename'):
        documents(tmp_path)
    (tmp_path / "test-twice.parquet").unlink()
    (tmp_path / "test.arrow").write_bytes(b"ARROW1 and nothing more")
    with pytest.raises(DataLoss, match=r"test\.arrow: is damaged, or no Arrow file"):
        documents(tmp_path)


def test_times_that_python_has_not_are_spelled_or_named(tmp_path: Path) -> None:
    """Times beyond the years of Python's dates, and nanoseconds, alone and within a member."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # noqa: PLC0415

    late, nanos = pa.timestamp("us"), pa.timestamp("ns")
    table = pa.table(
        {
            "text": TEXTS[:2],
            "late": pa.array([1 << 60, 0], late),
            "nanos": pa.array([1, 1000], nanos),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    first, second = (json.loads(one.meta) for one in documents(tmp_path))
    assert first == {"late": 1 << 60, "nanos": "1970-01-01 00:00:00.000000001"}
    assert second == {"late": "1970-01-01T00:00:00", "nanos": "1970-01-01 00:00:00.000001000"}
    nested = pa.array([{"at": 1 << 60}, {"at": 0}], pa.struct([("at", late)]))
    parquet.write_table(pa.table({"text": TEXTS[:2], "in": nested}), tmp_path / "a.parquet")
    with pytest.raises(DataLoss, match=r'line 0 has a "in" that cannot be read.*--skip-bad-lines'):
        documents(tmp_path)


def test_a_name_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"")
    assert documents(tmp_path)
    (tmp_path / os.fsdecode(b"caf\xe9.jsonl")).write_bytes(LINES)
    with pytest.raises(LayoutError, match=r"'caf\\udce9\.jsonl' has a name that is not UTF-8"):
        documents(tmp_path)
    with pytest.raises(LayoutError, match="not UTF-8"):
        find_shards(tmp_path / os.fsdecode(b"caf\xe9.jsonl"))


def test_a_table_without_the_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path, {"train.parquet": b"PAR1"})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        LayoutError, match=r"train\.parquet.*pip install 'assay-services\[parquet\]'"
    ):
        find_shards(tmp_path)


def test_text_files(tmp_path: Path) -> None:
    write_corpus(
        tmp_path,
        {
            "10.txt": b"ten",
            "2.txt": "\ufefftwo \u00e9".encode(),
            "empty.txt": b"",
            "val/a.TXT": b"validation",
        },
    )
    found = documents(tmp_path)
    assert [one.text.decode() for one in found] == ["two \u00e9", "ten", "", "validation"]
    assert json.loads(found[0].meta) == {"file": "2.txt"}
    assert [shard.path for shard in find_shards(tmp_path)] == ["*.txt", "val/*.txt"]
    (tmp_path / "3.txt").write_bytes(b"\xff")
    with pytest.raises(DataLoss, match=r"line 1 is not UTF-8 at byte 0 of 3\.txt"):
        documents(tmp_path)
    (tmp_path / "3.txt").write_bytes("three".encode("utf-16"))
    with pytest.raises(DataLoss, match=r"line 1 is text in UTF-16: 3\.txt"):
        documents(tmp_path)
    assert texts(tmp_path / "10.txt") == ["ten"]


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train-00000-of-00002.jsonl.zst", "train"),
        ("data/train-00000-of-00002.parquet", "train"),
        ("data/validation-00000-of-00001.parquet", "val"),
        ("en/c4-validation.00000-of-00008.json.gz", "val"),
        ("en/c4-train.00000-of-01024.json.gz", "train"),
        ("validation/chunk1/example_holdout_0.jsonl.zst", "val"),
        ("test/chunk1/train_0.jsonl.zst", "test"),
        ("valid_0001.jsonl", "val"),
        ("dev.jsonl", "val"),
        ("eval.jsonl", "val"),
        ("Evaluation/0.jsonl", "val"),
        ("holdout.jsonl.gz", "val"),
        ("held-out/00.jsonl", "val"),
        ("c4_held_out_01.jsonl", "val"),
        ("train/eval.jsonl", "train"),
        ("test/holdout.jsonl", "test"),
        ("evaluate.jsonl", "train"),
        ("household_outing.jsonl", "train"),
        ("testament.jsonl", "train"),
        ("latest.jsonl", "train"),
        ("00.jsonl.zst", "train"),
    ],
)
def test_splits_come_from_names(path: str, split: str) -> None:
    assert split_of(path) == split


def test_known_trees(tmp_path: Path) -> None:
    slim = write_corpus(
        tmp_path / "slim",
        {
            "train/chunk2/example_train_10.jsonl.zst": [_slim("c", "RedPajamaBook")],
            "train/chunk2/example_train_9.jsonl.zst": [_slim("b", "RedPajamaC4")],
            "train/chunk1/example_train_0.jsonl.zst": [_slim("a", "RedPajamaC4")],
            "validation/chunk1/example_holdout_0.jsonl.zst": [_slim("v", "RedPajamaGithub")],
        },
    )
    assert texts(slim) == ["a", "b", "c", "v"]
    assert {one.subset for one in documents(slim)} == {
        *("RedPajamaC4", "RedPajamaBook", "RedPajamaGithub")
    }
    red = write_corpus(
        tmp_path / "red",
        {
            "arxiv/arxiv_1.jsonl": b'{"text": "x", "meta": {"url": "u", "language": "en"}}\n',
            "common_crawl/2023-06/en_0.jsonl.zst": [b'{"text": "y", "meta": {"source": "cc"}}\n'],
        },
    )
    assert [one.subset for one in documents(red)] == ["arxiv", "common_crawl"]
    assert json.loads(documents(red)[1].meta) == {"pile_set_name": "common_crawl", "source": "cc"}
    dolma = write_corpus(
        tmp_path / "dolma",
        {
            "documents/a.json.gz": gzip.compress(
                b'{"id": "1", "text": "d", "source": "wiki", "added": "x", "metadata": {}}\n'
            ),
            "attributes/toxic/a.json.gz": gzip.compress(b'{"id": "1", "attributes": {}}\n'),
        },
    )
    assert [(one.text, one.subset) for one in documents(dolma)] == [(b"d", "wiki")]
    assert find_layout(dolma).left_out == ("attributes/toxic/a.json.gz",)
    fineweb = {"text": "f", "id": "i", "dump": "CC-MAIN-2024-10", "url": "u", "file_path": "p"}
    parsed = parse_line(json.dumps(fineweb | {"language_score": 0.9}).encode(), "x", 0)
    assert parsed.subset == "CC-MAIN-2024-10"


def _slim(text: str, name: str) -> bytes:
    return json.dumps({"text": text, "meta": {"redpajama_set_name": name}}).encode() + b"\n"


@pytest.mark.parametrize(
    ("record", "subset"),
    [
        ({"meta": {"pile_set_name": ["Github"]}}, "Github"),
        ({"meta": {"pile_set_name": ["Github", "ArXiv"]}}, ""),
        ({"meta": '{"pile_set_name": "Github"}'}, "Github"),
        ({"meta": "{'language': 'en'}"}, ""),
        ({"meta": {"redpajama_set_name": "RedPajamaGithub"}}, "RedPajamaGithub"),
        ({"red_pajama_subset": "arxiv"}, "arxiv"),
        ({"source": "a newspaper"}, ""),  # of no known data set
        ({"id": "1", "added": "2", "source": "cc", "metadata": {"pile_set_name": "no"}}, "cc"),
        ({"url": "u", "timestamp": "2019"}, ""),  # C4
    ],
)
def test_subsets_of_known_records(record: dict[str, Any], subset: str) -> None:
    assert parse_line(json.dumps({"text": "x", **record}).encode(), "s", 0).subset == subset


def test_keys(tmp_path: Path) -> None:
    record = {"content": {"body": "x"}, "lang": 7, "uid": 12, "meta": {"a": 1}, "text": "not this"}
    write_corpus(tmp_path, {"a.jsonl": json.dumps(record).encode() + b"\n{}\n"})
    shards = find_shards(tmp_path, Reading(Keys("content.body", "uid", "lang")))
    found = reader.documents(shards, Selection(SPLITS))
    one = next(found)
    assert (one.text, one.subset) == (b"x", "7")
    assert json.loads(one.meta) == {
        "pile_set_name": "7",
        "id": "12",
        "a": 1,
        **{name: value for name, value in record.items() if name != "meta"},
    }
    with pytest.raises(DataLoss, match=r'line 1 has no "content.body" .*--text-key'):
        next(found)
    with pytest.raises(DataLoss, match=r'line 0 has no "body"; it has "content", "lang"'):
        documents(tmp_path, Reading(Keys("body")))
    folder = write_corpus(tmp_path / "f", {"books/a.jsonl": b'{"text": "x"}\n'})
    assert documents(folder, Reading(Keys(subset="folder")))[0].subset == "books"


def test_the_digest_of_a_corpus_knows_its_keys(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "c", {"a.jsonl": b'{"text": "x", "other": "y"}\n'})
    from services.common.license import License  # noqa: PLC0415
    from services.corpus.catalog.catalog import Catalog, Registration  # noqa: PLC0415
    from services.corpus.catalog.corpus import Kind  # noqa: PLC0415

    catalog = Catalog(tmp_path / "cache")
    licence = License("MIT", "", "")
    for name, keys in (("usual", Keys()), ("other", Keys("other"))):
        registration = Registration(root, Kind.SAMPLE, "", licence, Reading(keys))
        catalog.load({name: registration})
    assert catalog.open("usual").ref.digest != catalog.open("other").ref.digest
    assert catalog.open("usual").ref.digest == open_corpus(root, tmp_path / "other").ref.digest


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    pile = write_corpus(
        tmp_path / "pile",
        {
            "train/00.jsonl.zst": [line("a")],
            "train/01.jsonl.gz": gzip.compress(line("b")),
            "train/chunk2/02.jsonl.zst": [line("c")],
            "validation.jsonl.zst": [line("d")],
            "README.txt": b"",
            "dataset_info.json": b"{}",
            "more.csv": b"",
        },
    )
    layout = find_layout(pile)
    assert [shard.path for shard in layout.shards] == ["train/00.jsonl.zst"]
    assert layout.left_out == (
        *("more.csv", "train/01.jsonl.gz", "train/chunk2/02.jsonl.zst", "validation.jsonl.zst"),
    )
    assert "left out 4 files" in layout.notice()
    assert "--every-file" in layout.notice()
    assert texts(pile, every=True) == ["a", "b", "c", "d"]
    assert find_layout(pile, every_file=True).left_out == ("more.csv",)
    twice = write_corpus(
        tmp_path / "twice", {"a.jsonl": line("x"), "a.jsonl.zst": [line("x")], "b.jsonl": line("y")}
    )
    assert texts(twice) == ["x", "y"]
    assert find_layout(twice).left_out == ("a.jsonl",)
    # A setting beside shards is no shard.
    settings = write_corpus(
        tmp_path / "s", {"d/a.jsonl": line("x"), "d/run.json": b'{\n "lr": 1\n}\n'}
    )
    assert texts(settings) == ["x"]
    assert find_layout(settings).left_out == ("d/run.json",)


@pytest.mark.parametrize(
    "name",
    [
        *("x.jsonl.gzip", "x.jsonl.br", "x.jsonl.Z", "x.json.lzma", "x.csv.gz", "x.parquet.snappy"),
        *("_meta.jsonl", "deep/_x.jsonl.zst", "_notes.txt", "part-00000", "part-r-00000.gz"),
        *("part-00000-9f.lz4", "dump", "x.jsonl.zst.part", "x.jsonl.1", "x.parquet.tmp", "x.json~"),
        *("x.jsonl.zst.incomplete.tmp", "deep/.x.jsonl", ".x.jsonl.zst.part", "x.ipc", "x.msgpack"),
    ],
)
@pytest.mark.parametrize("beside", ["a.jsonl", "train/00.jsonl.zst"])
def test_files_that_hold_documents_and_are_not_read_are_named(
    tmp_path: Path, name: str, beside: str
) -> None:
    content = [line("x")] if beside.endswith(".zst") else line("x")
    root = write_corpus(tmp_path, {beside: content, name: line("left out")})
    layout = find_layout(root)
    assert [shard.path for shard in layout.shards] == [beside]
    assert layout.left_out == (name,)
    assert not layout.others_are_read
    assert find_layout(root, every_file=True).left_out == (name,)


def test_files_that_hold_no_documents_are_not_named(tmp_path: Path) -> None:
    names = (
        *("_SUCCESS", "_metadata", "LICENSE", "notes.md", "tool.br", "run.sh.gz", "state"),
        *("._a.jsonl", ".gitignore", "notes.md.1", "lock.tmp", "x.text.zst.partial"),
    )
    others = {name: b'{"a": 1}' if name == "state" else b"no record" for name in names}
    blob = {"blobs/" + "0a" * 32: line("x")}
    root = write_corpus(tmp_path, {"a.jsonl": line("x"), **others, **blob})
    (root / "_gone.jsonl").symlink_to(root / "nothing")
    assert find_layout(root).left_out == ()


def test_a_text_that_is_set_aside_is_named(tmp_path: Path) -> None:
    root = write_corpus(tmp_path, {"a.txt": b"a", "_b.txt": b"b"})
    assert texts(root) == ["a"]
    assert find_layout(root).left_out == ("_b.txt",)


def test_an_index_that_is_not_done_is_called_that(tmp_path: Path) -> None:
    root = write_corpus(
        tmp_path, {"train/00.jsonl.zst.partial": b"", "train/x.text.zst.partial": b""}
    )
    with pytest.raises(LayoutError, match="the index there is unfinished: run `assay"):
        find_layout(root)


def test_a_folder_of_nothing_but_unnamed_shards_says_what_it_found(tmp_path: Path) -> None:
    root = write_corpus(tmp_path, {"part-00000": line("x"), "_SUCCESS": b""})
    with pytest.raises(LayoutError, match="holds no shard; found part-00000;"):
        find_layout(root)


def test_links(tmp_path: Path) -> None:
    blob = write_corpus(tmp_path / "blobs", {"x.jsonl": line("linked")})
    root = tmp_path / "snapshot"
    (root / "data").mkdir(parents=True)
    (root / "data" / "loop").symlink_to(root)
    link = root / "data" / "train-00000-of-00001.jsonl"
    link.symlink_to(blob / "x.jsonl")
    assert texts(root) == ["linked"]
    (blob / "x.jsonl").unlink()
    with pytest.raises(LayoutError, match=r"train-00000-of-00001\.jsonl is a link to a file that"):
        find_shards(root)


def test_a_pipe_is_no_shard(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a.jsonl": line("x")})
    os.mkfifo(tmp_path / "b.jsonl")
    assert texts(tmp_path) == ["x"]


def test_nothing_to_read_says_what_was_found(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a.csv": b"", "b.tar": b""})
    with pytest.raises(
        LayoutError, match=r"found a\.csv, b\.tar; archives are .* unpack them, .*; a corpus"
    ):
        find_shards(tmp_path)
    with pytest.raises(LayoutError, match=r"a\.csv is not of a format that is read"):
        find_shards(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.warc.gz", "b.WARC", "crawl/c.wet.gz"])
def test_files_of_a_crawl_are_sent_to_build(tmp_path: Path, name: str) -> None:
    write_corpus(tmp_path, {name: b"WARC/1.0", "0.csv": b""})
    for root in (tmp_path, tmp_path / name):
        with pytest.raises(LayoutError, match=r"WARC files are sources of `assay corpus build`"):
            find_layout(root)


def test_one_object_over_several_lines_is_named_with_what_to_do(tmp_path: Path) -> None:
    write_corpus(tmp_path, {"a.json": b'{\n  "text": "x"\n}\n', "b.csv": b""})
    with pytest.raises(LayoutError, match=r"a\.json has objects over several lines: write each on"):
        find_shards(tmp_path)


@pytest.mark.slow
def test_any_files_are_indexed_and_verified(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # noqa: PLC0415

    source = write_corpus(
        tmp_path / "source",
        {
            "a/x.jsonl": LINES,
            "a-x.jsonl.gz": gzip.compress(LINES),
            "data/validation.json": json.dumps(ROWS).encode(),
            "test.jsonl.bz2": bz2.compress(b'{"body": "no text"}\n'),
        },
    )
    parquet.write_table(pa.Table.from_pylist(ROWS), source / "train-0.parquet")
    out = tmp_path / "out"
    with pytest.raises(DataLoss, match=r'test\.jsonl\.bz2: line 0 has no "text"; it has "body"'):
        index_corpus(source, out, IndexOptions(), jobs=1)
    (source / "test.jsonl.bz2").unlink()
    index_corpus(source, out, IndexOptions(), jobs=1)
    names = indexed_names(find_shards(source))
    assert sorted(names.values()) == [
        *("train/a-x-2.jsonl.zst", "train/a-x.jsonl.zst", "train/train-0.jsonl.zst"),
        "val/validation.jsonl.zst",
    ]
    for shard in find_shards(source):
        found = verify(shard.file, names[shard.path], out, path=shard.path)
        assert found.documents == len(TEXTS)
    corpus = open_corpus(out, tmp_path / "cache")
    assert corpus.indexed
    selection = corpus.resolve(Selection(subsets=frozenset({"Pile-CC"}), seed=3))
    assert sorted(one.text.decode() for one in corpus.documents(selection)) == sorted(TEXTS * 4)
    again = index_corpus(source, out, IndexOptions(), jobs=1)
    assert not any(one.fresh for one in again)
    other = index_corpus(source, out, IndexOptions(), jobs=1, reading=Reading(Keys(id="text")))
    assert all(one.fresh for one in other)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("data.jsonl", "train/data.jsonl.zst"),
        ("data/train/data.json.gz", "train/data.jsonl.zst"),
        ("2/data.jsonl", "train/2-data.jsonl.zst"),
        ("validation/train.jsonl", "val/train.jsonl.zst"),
    ],
)
def test_what_is_indexed_is_a_corpus_whatever_its_name(
    tmp_path: Path, name: str, written: str
) -> None:
    source = write_corpus(tmp_path / "source", {name: LINES})
    shards = find_shards(source)
    assert indexed_names(shards) == {name: written}
    assert in_order([written])


@pytest.mark.parametrize("name", [".hidden.jsonl", "_set-aside.jsonl", "._.jsonl"])
def test_a_file_that_folders_pass_over_is_indexed_where_it_is_named(
    tmp_path: Path, name: str
) -> None:
    write_corpus(tmp_path, {name: LINES})
    index_corpus(tmp_path / name, tmp_path / "out", IndexOptions(), jobs=1)
    assert texts(tmp_path / "out") == TEXTS


@pytest.mark.parametrize("log", [28, 31])
def test_large_windows_are_read_where_they_are_allowed(tmp_path: Path, log: int) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=log, enable_ldm=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    file = tmp_path / "test.jsonl.zst"
    file.write_bytes(compressor.compress(LINES) + compressor.flush())
    with pytest.raises(
        DataLoss, match=rf"window of {(1 << log) >> 20:,} MiB.*--long {log}.*memory"
    ):
        documents(tmp_path)
    assert texts(tmp_path, Reading(window_log=log)) == TEXTS


def test_names_that_no_file_system_takes_are_shortened(tmp_path: Path) -> None:
    """The written name is longer than the source's: its folders are in it, and .partial behind."""
    long, deep = "n" * 240, "/".join(("\u00e9" * 60,) * 4)
    files = (f"{long}.jsonl", f"{long}1.jsonl", f"{deep}/a.jsonl", f"{deep}/b.jsonl")
    source = write_corpus(tmp_path / "source", dict.fromkeys(files, LINES))
    out = tmp_path / "out"
    written = [one.path for one in index_corpus(source, out, IndexOptions(), jobs=1)]
    assert len(set(written)) == len(files)
    assert all(in_order([path]) for path in written)
    assert sorted(texts(out)) == sorted(TEXTS * len(files))
    again = index_corpus(source, out, IndexOptions(), jobs=1)
    assert not any(one.fresh for one in again)
    pile = write_corpus(tmp_path / "pile", {f"train/{'n' * 240}.jsonl.zst": compress(LINES)})
    (one,) = index_corpus(pile, tmp_path / "of-pile", IndexOptions(), jobs=1)
    assert one.documents == len(TEXTS)


def test_a_dictionary_is_named(tmp_path: Path) -> None:
    samples: list[Any] = [line(f"document {n} of many {n * n}", "Pile-CC") for n in range(2000)]
    trained = zstandard.train_dictionary(4096, samples)
    data = zstandard.ZstdCompressor(dict_data=trained).compress(LINES)
    write_corpus(tmp_path, {"test.jsonl.zst": data})
    with pytest.raises(DataLoss, match=f"needs dictionary {trained.dict_id()}"):
        documents(tmp_path)


def test_a_dictionary_without_an_id_is_a_possible_reason(tmp_path: Path) -> None:
    """Such a frame does not say that it needs one: what fails is the decoding."""
    lines = b"".join(line(f"document {n} of many {n * n}", "Pile-CC") for n in range(500))
    raw = zstandard.ZstdCompressionDict(lines[:4096], dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    samples: list[Any] = lines.splitlines(keepends=True) * 4
    trained = zstandard.train_dictionary(4096, samples)
    for number, compressor in enumerate(
        (
            zstandard.ZstdCompressor(dict_data=raw),
            zstandard.ZstdCompressor(dict_data=trained, write_dict_id=False),
        )
    ):
        root = write_corpus(tmp_path / str(number), {"test.jsonl.zst": compressor.compress(lines)})
        with pytest.raises(DataLoss, match=r"damaged .* or needs a dictionary without an id"):
            documents(root)
    whole = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(lines))
    whole[-1] ^= 1
    root = write_corpus(tmp_path / "checksum", {"test.jsonl.zst": bytes(whole)})
    with pytest.raises(DataLoss, match="checksum") as caught:
        documents(root)
    assert "dictionary" not in str(caught.value)


def test_a_shard_that_grows_is_read_to_its_registered_size(tmp_path: Path) -> None:
    root = write_corpus(
        tmp_path / "c", {"test.jsonl.zst": [line(f"{n}" * 999) for n in range(999)]}
    )
    corpus = open_corpus(root, tmp_path / "cache")
    found = corpus.documents(corpus.resolve(Selection()))
    first = next(found)
    with (root / "test.jsonl.zst").open("ab") as file:
        file.write(compress(line("appended")))
    rest = list(found)
    assert len([first, *rest]) == 999
    assert b"appended" not in {one.text for one in rest}


def test_formats_by_name() -> None:
    assert format_of("x/.jsonl") is None
    assert format_of("a.parquet.gz") is None
    assert format_of("a.jsonlines.gz") == format_of("a.jsonl.gz")
    assert stem_of("d/a.b.JSONL.GZ") == "d/a.b"
    assert stem_of("d/*.txt") == "d/texts"


# Lines that are not documents.


BAD = {
    "text null": b'{"text": null}\n',
    "control": b'{"text": "al\tpha"}\n',
    "bytes": b'{"text": "caf\xe9"}\n',
    "array": b'["text"]\n',
    "zeros": b"\x00" * 30 + b"\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", BAD)
def test_bad_lines_are_named_or_passed_over(tmp_path: Path, what: str) -> None:
    data = line("a") + BAD[what] + line("b")
    write_corpus(tmp_path, {"test.jsonl.zst": compress(data)})
    shards = find_shards(tmp_path)
    with pytest.raises(DataLoss, match=r"test\.jsonl\.zst: line 1 .*--skip-bad-lines.*byte \d+"):
        list(reader.documents(shards, Selection(("test",))))
    for parse in (True, False):
        skipping = Reader(shards, Selection(("test",)), None, parse=parse, skip_bad_lines=True)
        items = [item for item in skipping.items() if item]
        (bad,) = [one for item in items for one in item.bad]
        assert (bad.shard, bad.line, bad.rest) == ("test.jsonl.zst", 1, False)
        assert sum(bool(item.document or item.lines) for item in items) == 2
        assert items[-1].after.line == 3  # type: ignore[union-attr]
    with pytest.raises(DataLoss):
        index_corpus(tmp_path, tmp_path / "out", IndexOptions(), jobs=1)
    skip = IndexOptions(skip_bad_lines=True)
    (done,) = index_corpus(tmp_path, tmp_path / "out", skip, jobs=1)
    assert (done.documents, done.bad_lines, done.bad[0].line) == (2, 1, 1)
    assert verify(shards[0].file, "test.jsonl.zst", tmp_path / "out").documents == 2


@pytest.mark.parametrize("blank", [b"\n", b" \t\r\n", b"\n\n\n"])
@pytest.mark.parametrize("parse", [True, False])
def test_blank_lines_are_no_documents(tmp_path: Path, blank: bytes, parse: bool) -> None:
    data = blank + line("a") + blank + line("b") + blank
    write_corpus(tmp_path, {"test.jsonl.zst": compress(data) + b"\n"})
    shards = find_shards(tmp_path)
    items = [i for i in Reader(shards, Selection(("test",)), None, parse=parse).items() if i]
    if parse:
        assert [item.document.text for item in items if item.document] == [b"a", b"b"]
    else:
        assert b"".join(item.lines for item in items) == line("a") + line("b")
    (done,) = index_corpus(tmp_path, tmp_path / "out", IndexOptions(), jobs=1)
    assert (done.documents, done.bad_lines) == (2, 0)
    assert verify(shards[0].file, "test.jsonl.zst", tmp_path / "out").documents == 2


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    marked = b"\xef\xbb\xbf" + LINES
    write_corpus(tmp_path, {"test.jsonl.zst": compress(marked)})
    assert texts(tmp_path) == TEXTS
    write_corpus(tmp_path, {"test.jsonl.zst": compress(marked + marked)})
    with pytest.raises(DataLoss, match=r"\(a byte order mark comes before it, as in joined"):
        texts(tmp_path)


@pytest.mark.slow
def test_too_many_bad_lines_are_an_error(tmp_path: Path) -> None:
    few = [line("x")] * 100 + [b"{}\n"] * FREE
    write_corpus(tmp_path, {"test.jsonl.zst": few})
    skip = IndexOptions(skip_bad_lines=True)
    (done,) = index_corpus(tmp_path, tmp_path / "out", skip, jobs=1)
    assert done.bad_lines == FREE
    write_corpus(tmp_path, {"test.jsonl.zst": [*few, b"{}\n"]})
    with pytest.raises(DataLoss, match=r"101 of the first 201 lines are not documents.*1 %"):
        index_corpus(tmp_path, tmp_path / "more", skip, jobs=1)


@pytest.mark.parametrize("tail", [b"\x00" * 512, b"no frame", b"\x28\xb5\x2f\xfd"])
def test_damage_behind_the_last_document(tmp_path: Path, tail: bytes) -> None:
    write_corpus(
        tmp_path,
        {"train/0.jsonl.zst": frames(line("a"), ()) + tail, "train/1.jsonl.zst": [line("b")]},
    )
    shards = find_shards(tmp_path)
    with pytest.raises(DataLoss, match=r"behind line 1 .--skip-bad-lines"):
        list(reader.documents(shards, Selection(("train",))))
    skipping = Reader(shards, Selection(("train",)), None, parse=True, skip_bad_lines=True)
    items = [item for item in skipping.items() if item]
    assert [item.document.text for item in items if item.document] == [b"a", b"b"]
    (bad,) = [one for item in items for one in item.bad]
    assert (bad.line, bad.rest) == (1, True)


@pytest.mark.slow
def test_a_shard_that_is_lost_is_not_passed_over(tmp_path: Path) -> None:
    lines = [line(f"{n} ".ljust(2000, "x") + str(n * n), "Github") for n in range(3000)]
    data = b"".join(compress(b"".join(lines[n : n + 10]), level=1) for n in range(0, 3000, 10))
    noise = random.Random(0).randbytes(200_000)
    for begin, words in ((0, "all of it would be lost"), (len(data) // 2, "bytes behind it would")):
        root = tmp_path / str(begin)
        write_corpus(root, {"test.jsonl.zst": data[:begin] + noise + data[begin:]})
        with pytest.raises(DataLoss, match=f"{words}.*--skip-bad-lines does not"):
            index_corpus(root, tmp_path / "out", IndexOptions(skip_bad_lines=True), jobs=1)


def test_texts_of_bytes_in_a_table(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet  # noqa: PLC0415

    parquet.write_table(pa.table({"text": [b"caf\xc3\xa9", b"\xff"]}), tmp_path / "a.parquet")
    found = reader.documents(find_shards(tmp_path), Selection(SPLITS))
    assert next(found).text == "caf\u00e9".encode()
    with pytest.raises(DataLoss, match='has a "text" that is not UTF-8 at byte 0'):
        next(found)


def test_what_is_no_damage_is_not_passed_over(tmp_path: Path) -> None:
    """A file that is gone, or a window that is not allowed: all of it would be missing."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = compressor.compress(LINES) + compressor.flush()
    write_corpus(tmp_path, {"train/0.jsonl.zst": data})
    shards = find_shards(tmp_path)
    for problem in ("needs a window", "cannot be read"):
        skipping = Reader(shards, Selection(("train",)), None, parse=True, skip_bad_lines=True)
        with pytest.raises(DataLoss, match=problem):
            list(skipping.items())
        shards[0].file.unlink(missing_ok=True)


@pytest.mark.parametrize("key", ["text", "body"])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_bad_line_is_told_with_its_byte(tmp_path: Path, key: str, compressed: bool) -> None:
    """Of the file, or of what it decodes to; far into it, behind many blocks of lines."""
    good = json.dumps({key: "x" * 1000}).encode() + b"\n"
    data = good * 3000
    file = tmp_path / ("a.jsonl.gz" if compressed else "a.jsonl")
    broken = data + b"[1]\n" + good
    file.write_bytes(gzip.compress(broken) if compressed else broken)
    shards = find_shards(tmp_path, Reading(Keys(key)))
    place = f"at byte {len(data)} of its lines"
    with pytest.raises(DataLoss, match=f"line 3000 is a list, not a JSON object .*{place}"):
        list(reader.documents(shards, Selection(("train",))))
