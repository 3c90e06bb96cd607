"""Files that are not what their names say: what they are is told, and what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from services.corpus.shards.formats import Unreadable
from services.corpus.shards.index.job import index_shard
from services.corpus.shards.index.writer import IndexOptions
from services.corpus.shards.layout import LayoutError, find_layout
from services.errors import DataLoss

LINES = b'{"text": "a"}\n{"text": "b"}\n'


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jsonl", LINES)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("a.jsonl")
        member.size = len(LINES)
        archive.addfile(member, io.BytesIO(LINES))
    return buffer.getvalue()


def index(folder: Path, name: str, content: bytes, *, skip: bool = False) -> int:
    (folder / name).write_bytes(content)
    (shard,) = find_layout(folder).shards
    options = IndexOptions(skip_bad_lines=skip)
    return index_shard(shard, folder.parent / "out", options, lambda _: None, "a").documents


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl", gzip.compress(LINES, mtime=0), r"is gzip data: its name has to end with \.gz"),
        ("a.jsonl", zstandard.compress(LINES), r"is zstd data: .* \.zst"),
        ("a.jsonl", bz2.compress(LINES), r"is bzip2 data: .* \.bz2"),
        ("a.jsonl", lzma.compress(LINES), r"is xz data: .* \.xz"),
        ("a.jsonl", zipped(), "is a zip archive: unpack it"),
        ("a.jsonl.gz", gzip.compress(tarred(), mtime=0), "is a tar archive: unpack it"),
        ("a.jsonl.zst", zstandard.compress(tarred()), "is a tar archive: unpack it"),
        ("a.jsonl", tarred(), "is a tar archive: unpack it"),
        ("a.jsonl.gz", zipped(), "is a zip archive: unpack it"),
        ("a.jsonl.gz", zstandard.compress(LINES), r"is zstd data: .* \.zst"),
        ("a.jsonl.zst", gzip.compress(LINES, mtime=0), r"is gzip data: .* \.gz"),
        ("a.jsonl.gz", gzip.compress(gzip.compress(LINES)), "holds gzip data once it is decompr"),
        ("a.jsonl.zst", zstandard.compress(lzma.compress(LINES)), "holds xz data once it is dec"),
        ("a.jsonl.gz", LINES, r"is not compressed: take \.gz off its name"),
        ("a.jsonl.xz", LINES, r"is not compressed: take \.xz off its name"),
        ("a.jsonl.zst", LINES, r"is not compressed: take \.zst off its name"),
        ("a.jsonl", LINES.decode().encode("utf-16"), "is text in UTF-16: convert it to UTF-8"),
        ("a.jsonl", LINES.decode().encode("utf-32"), "is text in UTF-32: convert it"),
        ("a.jsonl", LINES.decode().encode("utf-16-be"), "is text in UTF-16: convert it to UTF-8"),
        ("a.jsonl", LINES.decode().encode("utf-16-le"), "is text in UTF-16: convert it to UTF-8"),
        ("a.jsonl", LINES.decode().encode("utf-32-le"), "is text in UTF-32: convert it to UTF-8"),
        ("a.json", '[{"text": "a"}]'.encode("utf-16"), "is text in UTF-16: convert it to UTF-8"),
        ("a.json", '[{"text": "a"}]'.encode("utf-16-le"), "is text in UTF-16: convert it"),
        ("a.json.gz", gzip.compress(b"\0\0\0[", mtime=0), "is text in UTF-32: convert it"),
        ("a.jsonl", b"WARC/1.0\r\nWARC-Type: warcinfo\r\n", "is a WARC file: .*corpus build"),
        ("a.jsonl", b"\x04\x22\x4d\x18" + bytes(30), "is lz4 data: decompress it"),
        ("a.jsonl.gz", gzip.compress(b"%PDF-1.7", mtime=0), "is a PDF document: extract its text"),
        ("a.jsonl", b"\x1e" + LINES, "is a JSON text sequence: take the record separators"),
        ("a.jsonl", LINES.replace(b"\n", b"\r"), "lines that end with a carriage return alone"),
        ("a.jsonl", b"<!DOCTYPE html><p>Not found", "is a page of the web, .* fetch it again"),
        ("a.jsonl.gz", b"<?xml version='1.0'?><Error>", "is a page of the web, .* fetch it again"),
        ("a.jsonl", b'{\n  "text": "a"\n}\n', "has objects over several lines: .*jq -c"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",  # contents may have the time in them
)
def test_what_it_is_is_told_and_no_flag_passes_over_it(
    tmp_path: Path, name: str, content: bytes, told: str, skip: bool
) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(Unreadable, match=told) as refused:
        index(tmp_path / "in", name, content, skip=skip)
    assert "--skip-bad-lines" not in str(refused.value)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.bz2", "a.jsonl.xz", "a.jsonl.zst"])
def test_what_is_damaged_from_its_beginning_is_called_that(tmp_path: Path, name: str) -> None:
    """Its own magic number tells no other format, and nothing is before that a flag could take."""
    packed = {
        "gz": gzip.compress(LINES),
        "bz2": bz2.compress(LINES),
        "xz": lzma.compress(LINES),
        "zst": zstandard.compress(LINES),
    }[name.rpartition(".")[2]]
    damaged = packed[:8] + bytes(byte ^ 0x5A for byte in packed[8:])
    (tmp_path / "in").mkdir()
    with pytest.raises(DataLoss, match=r"is damaged|is cut off") as refused:
        index(tmp_path / "in", name, damaged)
    assert not isinstance(refused.value, Unreadable)
    assert "behind line 0" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "content", "documents"),
    [
        ("a.jsonl", b"\xef\xbb\xbf" + LINES, 2),
        ("a.jsonl", LINES.replace(b"\n", b"\r\n"), 2),
        ("a.jsonl.gz", b"".join(map(gzip.compress, (b"", LINES, b"", LINES))), 4),
        ("a.jsonl.xz", lzma.compress(LINES) + b"\0" * 8 + lzma.compress(LINES), 4),
        ("a.jsonl.bz2", bz2.compress(LINES) + bz2.compress(LINES), 4),
        ("a.jsonl.zst", b"\x50\x2a\x4d\x18\x02\0\0\0xx" + zstandard.compress(LINES) * 2, 4),
        ("a.json", json.dumps([{"text": "a"}, {"text": "PK"}], indent=1).encode(), 2),
        ("a.jsonl", b'{"text": "first", "text": "second"}\n{"text": "\\ud800"}\n', 2),
        ("a.jsonl", b'{"text": "a", "meta": {"n": 36893488147419103232, "x": 1e400}}\n', 1),
    ],
)
def test_what_is_sound_is_read_to_the_last_document(
    tmp_path: Path, name: str, content: bytes, documents: int
) -> None:
    (tmp_path / "in").mkdir()
    assert index(tmp_path / "in", name, content) == documents


def test_a_pipe_is_named_and_a_link_to_itself_is_no_file_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    os.mkfifo(tmp_path / "b.jsonl")
    layout = find_layout(tmp_path)
    assert [shard.path for shard in layout.shards] == ["a.jsonl"]
    assert layout.left_out == ("b.jsonl",)
    (tmp_path / "c.jsonl").symlink_to(tmp_path / "c.jsonl")
    with pytest.raises(LayoutError, match=r"c\.jsonl is a link that leads round to itself"):
        find_layout(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty: fetch it again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer: get the file"),
        (LINES, r"is JSON: its name has to end with \.jsonl"),
        (gzip.compress(LINES, mtime=0), "is gzip data"),
        (b"<html>Not found</html>", "is a page of the web"),
    ],
)
@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_table_that_is_none_is_told(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "corpus").mkdir()
    with pytest.raises(Unreadable, match=told):
        index(tmp_path / "corpus", name, content)


def test_a_damaged_table_is_not_told_to_be_renamed(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for name, content in (("a.parquet", b"PAR1" + bytes(99)), ("a.arrow", b"ARROW1" + bytes(99))):
        (tmp_path / name).mkdir()
        with pytest.raises(DataLoss, match="is damaged"):
            index(tmp_path / name, name, content)


def test_a_line_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    with pytest.raises(DataLoss, match=r"line 2 .*not UTF-8: .* at byte 13; `iconv`"):
        index(tmp_path / "corpus", "a.jsonl", LINES + '{"text": "caf\u00e9"}\n'.encode("latin-1"))
