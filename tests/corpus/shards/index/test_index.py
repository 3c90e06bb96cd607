"""Indexing: every byte kept, killed runs gone on with, bad input named, nothing half-made."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.shards.index.format import IndexFormatError, decode, encode, open_index
from services.corpus.shards.index.job import index_corpus
from services.corpus.shards.index.verify import verify
from services.corpus.shards.index.writer import IndexOptions, write_index
from services.corpus.shards.layout import LayoutError, find_shards
from services.corpus.stream.selection import Selection
from services.errors import DataLoss
from tests.corpus.shard_files import compress, line, open_corpus

NAME = "train/00.jsonl.zst"


def make_source(root: Path, lines: list[bytes]) -> Path:
    source = root / "source" / NAME
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(compress(b"".join(lines)))
    return source


def some_lines(count: int = 400) -> list[bytes]:
    chance = random.Random(7)
    subsets = ("Github", "ArXiv", "Ünïcode", None)
    return [
        line(
            f"{number} \ud800 é\n" + str(chance.getrandbits(chance.choice((8, 4000)))),
            subsets[chance.randrange(4)],
        )
        for number in range(count)
    ]


def test_every_line_is_kept_and_other_readers_read_it(tmp_path: Path) -> None:
    lines = some_lines()
    source = make_source(tmp_path, lines)
    index = write_index(source, NAME, tmp_path / "out", IndexOptions(frame_bytes=5000))
    assert len(index.frames) > 20
    with (tmp_path / "out" / NAME).open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        found = reader.read().splitlines(keepends=True)
    assert sorted(found) == sorted(lines)
    assert [json.loads(one)["text"] for one in found if b"Github" in one] == [
        json.loads(one)["text"] for one in lines if b"Github" in one
    ]
    verified = verify(source, NAME, tmp_path / "out")
    assert verified.documents == len(lines)
    assert sorted(p.name for p in (tmp_path / "out" / "train").iterdir()) == [
        "00.index",
        "00.jsonl.zst",
        "00.text.zst",
    ]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="zstd is not installed")
def test_the_zstd_command_reads_it(tmp_path: Path) -> None:
    lines = some_lines(50)
    write_index(
        make_source(tmp_path, lines), NAME, tmp_path / "out", IndexOptions(frame_bytes=5000)
    )
    done = subprocess.run(["zstd", "-dc", tmp_path / "out" / NAME], check=True, capture_output=True)
    assert sorted(done.stdout.splitlines(keepends=True)) == sorted(lines)


def test_verify_names_an_index_that_is_not_there_or_damaged(tmp_path: Path) -> None:
    source = make_source(tmp_path, some_lines(4))
    with pytest.raises(LayoutError, match=r"00\.index is missing; make it with"):
        verify(source, NAME, tmp_path / "out")
    write_index(source, NAME, tmp_path / "out")
    file = tmp_path / "out" / "train" / "00.index"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(LayoutError, match=r"00\.index its checksum is off"):
        verify(source, NAME, tmp_path / "out")


def test_verify_names_what_differs(tmp_path: Path) -> None:
    lines = some_lines(60)
    write_index(
        make_source(tmp_path, lines), NAME, tmp_path / "out", IndexOptions(frame_bytes=5000)
    )
    changed = make_source(tmp_path, [*lines[:-1], lines[-1].replace(b"59 ", b"60 ")])
    with pytest.raises(DataLoss, match="does not hold the lines of"):
        verify(changed, NAME, tmp_path / "out")


_RUN = """
import sys
from pathlib import Path
from services.corpus.shards.index.writer import IndexOptions, write_index
write_index(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), IndexOptions(frame_bytes=2000))
"""


def test_a_killed_run_goes_on_to_the_very_same_files(tmp_path: Path) -> None:
    source = make_source(tmp_path, some_lines(3000))
    write_index(source, NAME, tmp_path / "once", IndexOptions(frame_bytes=2000))
    arguments: list[str | Path] = [sys.executable, "-c", _RUN, source, NAME, tmp_path / "killed"]
    journal = tmp_path / "killed" / f"{NAME}.journal"
    chance = random.Random(3)
    for _ in range(4):
        aim = (journal.stat().st_size if journal.exists() else 0) + chance.randrange(300, 3000)
        process = subprocess.Popen(arguments)
        while process.poll() is None and not (journal.exists() and journal.stat().st_size >= aim):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    write_index(source, NAME, tmp_path / "killed", IndexOptions(frame_bytes=2000))
    for name in (NAME, "train/00.text.zst", "train/00.index"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "once" / name).read_bytes()
    assert not journal.exists()


_RUN_UNTIL_NAMED = """
import os, signal, sys
from pathlib import Path
from services.corpus.shards.index.output import Output
from services.corpus.shards.index.writer import IndexOptions, write_index
publish, left = Output.publish, int(sys.argv[4])
def publish_and_die(self):
    global left
    publish(self)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
Output.publish = publish_and_die
write_index(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), IndexOptions(frame_bytes=2000))
"""


@pytest.mark.parametrize("named", [1, 2])
@pytest.mark.parametrize("before", ["nothing", "an index of another level"])
def test_a_run_killed_before_its_index_has_its_name_is_gone_on_from(
    tmp_path: Path, named: int, before: str
) -> None:
    """With the shard, or the texts too, named already: readable, and not made again."""
    lines = some_lines(600)
    source = make_source(tmp_path, lines)
    write_index(source, NAME, tmp_path / "once", IndexOptions(frame_bytes=2000))
    out = tmp_path / "killed"
    if before != "nothing":
        write_index(source, NAME, out, IndexOptions(frame_bytes=2000, level=9))
    arguments: list[str | Path] = [sys.executable, "-c", _RUN_UNTIL_NAMED, source, NAME, out]
    killed = subprocess.run([*arguments, str(named)], check=False)
    assert killed.returncode == -signal.SIGKILL
    shard = out / NAME
    assert not (out / "train" / "00.index").exists()
    corpus = open_corpus(out, tmp_path / "cache")
    wanted = corpus.resolve(Selection(splits=("train",)))
    assert sum(1 for _ in corpus.documents(wanted)) == len(lines)
    file = shard.stat().st_ino
    write_index(source, NAME, out, IndexOptions(frame_bytes=2000))
    assert shard.stat().st_ino == file
    for name in (NAME, "train/00.text.zst", "train/00.index"):
        assert (out / name).read_bytes() == (tmp_path / "once" / name).read_bytes()
    assert len(list((out / "train").iterdir())) == 3


@pytest.mark.parametrize("lost", ["shard", "texts", "journal"])
def test_a_journal_ahead_of_what_reached_the_disk_is_gone_back_on(
    tmp_path: Path, lost: str
) -> None:
    """As after a loss of power: a later write is there, and an earlier one is zeros."""
    source = make_source(tmp_path, some_lines(600))
    write_index(source, NAME, tmp_path / "once", IndexOptions(frame_bytes=2000))
    stopped: list[int] = []

    def stop(read: int, _jsonl: int) -> None:
        stopped.append(read)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_index(source, NAME, tmp_path / "lost", IndexOptions(frame_bytes=2000), progress=stop)
    assert stopped
    folder = tmp_path / "lost" / "train"
    name = {"shard": f"{NAME}.partial", "texts": "train/00.text.zst.partial"}.get(lost)
    file = tmp_path / "lost" / (name or f"{NAME}.journal")
    data = file.read_bytes()
    assert len(data) > 1000
    file.write_bytes(data[: len(data) // 2] + bytes(len(data) // 4))
    write_index(source, NAME, tmp_path / "lost", IndexOptions(frame_bytes=2000))
    for one in (NAME, "train/00.text.zst", "train/00.index"):
        assert (tmp_path / "lost" / one).read_bytes() == (tmp_path / "once" / one).read_bytes()
    assert len(list(folder.iterdir())) == 3


@pytest.mark.process
@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (b"{not json}\n", "line 3 is not JSON"),
        (b'{"meta": {}}\n', 'line 3 has no "text"'),
        (b"[1]\n", "a list, not a JSON object"),
    ],
)
def test_a_bad_line_ends_it_and_leaves_nothing_half_made(
    tmp_path: Path, bad: bytes, problem: str
) -> None:
    source = make_source(tmp_path, [*some_lines(3), bad])
    with pytest.raises(DataLoss, match=problem):
        index_corpus(source.parents[1], tmp_path / "out", IndexOptions(), jobs=1)
    assert not (tmp_path / "out" / NAME).exists()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "magic", "empty"])
def test_a_damaged_source_ends_it(tmp_path: Path, damage: str) -> None:
    source = make_source(tmp_path, some_lines(200))
    data = bytearray(source.read_bytes())
    if damage == "truncated":
        del data[len(data) // 2 :]
    elif damage == "flipped":
        data[4] ^= 0xFF
    elif damage == "magic":
        data[0] ^= 1
    else:
        data.clear()
    source.write_bytes(data)
    with pytest.raises(DataLoss, match=r"00\.jsonl\.zst"):
        write_index(source, NAME, tmp_path / "out")
    assert not (tmp_path / "out" / NAME).exists()


def test_a_full_disk_is_told_and_gone_on_from(tmp_path: Path) -> None:
    source = make_source(tmp_path, some_lines(600))

    # By the process itself: a fork for it would copy this one, in which gRPC may have threads.
    limit = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limit + _RUN, source, NAME, tmp_path / "out"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "OSError: [Errno 27]" in done.stderr
    assert not (tmp_path / "out" / NAME).exists()
    write_index(source, NAME, tmp_path / "out", IndexOptions(frame_bytes=2000))
    assert verify(source, NAME, tmp_path / "out").documents == 600


def test_an_index_is_read_back_and_every_corruption_refused(tmp_path: Path) -> None:
    source = make_source(tmp_path, some_lines(30))
    index = write_index(source, NAME, tmp_path / "out", IndexOptions(frame_bytes=2000))
    data = (tmp_path / "out" / "train" / "00.index").read_bytes()
    assert encode(open_index(tmp_path / "out" / "train" / "00.index")) == data == encode(index)
    chance = random.Random(5)
    for _ in range(300):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        with pytest.raises(IndexFormatError):
            decode(memoryview(bytes(changed)))
    for end in range(0, len(data), 97):
        with pytest.raises(IndexFormatError):
            decode(memoryview(data[:end]))


@given(st.binary(max_size=300))
def test_any_bytes_are_no_index(data: bytes) -> None:
    with pytest.raises(IndexFormatError):
        decode(memoryview(b"assay-index 1\n\x00\x00" + data), check=False)


@pytest.mark.data
def test_every_real_document_is_kept(data_dir: Path, tmp_path: Path) -> None:
    total = 0
    for shard in find_shards(data_dir / "pile"):
        write_index(shard.file, shard.path, tmp_path)
        total += verify(shard.file, shard.path, tmp_path).documents
    assert total == 6507
    frames = open_index(tmp_path / "train" / "00.index").frames
    assert np.all(frames["text_frame_bytes"] > 0)
