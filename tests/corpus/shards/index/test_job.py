"""Indexing a corpus: one indexer at a time, killed ones gone on from, full disks told."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.corpus.shards.index.job import index_corpus, index_shard
from services.corpus.shards.index.verify import verify
from services.corpus.shards.index.writer import IndexOptions
from services.corpus.shards.layout import find_shards
from services.errors import DataLoss, PreconditionFailed, Unavailable
from tests.corpus.shard_files import line, write_corpus

NAME = "train/00.jsonl.zst"
FILES = ("00.index", "00.jsonl.zst", "00.text.zst")


def small(root: Path) -> Path:
    return write_corpus(root, {NAME: [line(f"document {number}") for number in range(20)]})


def large(root: Path, seconds: int = 1) -> Path:
    """A shard that takes about so many seconds."""
    texts = [base64.b64encode(random.Random(n).randbytes(300_000)).decode() for n in range(60)]
    texts *= seconds
    return write_corpus(root, {NAME: [line(text) for text in texts]})


def command(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "services.cli", "corpus", *arguments]


@pytest.mark.process
def test_a_second_indexer_is_refused_and_a_second_run_does_nothing(tmp_path: Path) -> None:
    source = small(tmp_path / "source")
    (first,) = index_corpus(source, tmp_path / "out", IndexOptions(), jobs=2)
    (again,) = index_corpus(source, tmp_path / "out", IndexOptions(), jobs=2)
    assert (first.fresh, again.fresh, again.documents) == (True, False, 20)
    with (tmp_path / "out" / ".index.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(PreconditionFailed, match="another indexer"):
            index_corpus(source, tmp_path / "out", IndexOptions(), jobs=1)
    with pytest.raises(PreconditionFailed, match="the corpus itself"):
        index_corpus(source, source, IndexOptions(), jobs=1)
    other = write_corpus(tmp_path / "other", {"a.jsonl": line("a")})
    for out in (other, other / "indexed"):
        with pytest.raises(PreconditionFailed, match="or within it"):
            index_corpus(other, out, IndexOptions(), jobs=1)
        assert [path.name for path in other.iterdir()] == ["a.jsonl"]


def test_a_shard_is_indexed_again_where_what_is_there_is_not_what_is_asked_for(
    tmp_path: Path,
) -> None:
    (shard,) = find_shards(small(tmp_path / "source"))
    out = tmp_path / "out"

    def fresh(options: IndexOptions) -> bool:
        return index_shard(shard, out, options, lambda _: None).fresh

    assert fresh(IndexOptions())
    assert not fresh(IndexOptions())
    assert (out / "train" / "00.text.zst").exists()
    assert fresh(IndexOptions(with_text=False))
    assert not (out / "train" / "00.text.zst").exists()
    assert fresh(IndexOptions(level=5))
    (out / "train" / "00.text.zst").unlink()
    assert fresh(IndexOptions(level=5))
    os.truncate(out / NAME, 10)
    assert fresh(IndexOptions(level=5))
    assert not fresh(IndexOptions(level=5))
    small(tmp_path / "source")
    shard.file.write_bytes(shard.file.read_bytes() * 2)
    assert fresh(IndexOptions(level=5))
    assert verify(shard.file, NAME, out).documents == 40


def test_progress_is_of_bytes_and_not_of_shards(tmp_path: Path) -> None:
    (shard,) = find_shards(large(tmp_path / "source"))
    read: list[int] = []
    index_shard(shard, tmp_path / "out", IndexOptions(), read.append)
    assert read == sorted(read)
    assert read[-1] == shard.file.stat().st_size
    assert len(set(read)) > 10


@pytest.mark.process
def test_a_broken_shard_ends_the_others_at_once(tmp_path: Path) -> None:
    source = large(tmp_path / "source", seconds=10)
    (source / "train" / "01.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd and nothing of zstd")
    with pytest.raises(DataLoss, match=r"01\.jsonl\.zst"):
        index_corpus(source, tmp_path / "out", IndexOptions(), jobs=2)
    assert not (tmp_path / "out" / "train" / "00.index").exists()  # it was not waited for


@pytest.mark.process
def test_it_can_be_stopped(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="the same command continues"):
        index_corpus(
            large(tmp_path / "source"),
            tmp_path / "out",
            IndexOptions(),
            jobs=1,
            stopped=lambda: True,
        )
    assert not (tmp_path / "out" / NAME).exists()


@pytest.mark.parametrize(
    ("sent", "to_all", "status"),
    [(signal.SIGINT, True, 130), (signal.SIGINT, False, 130), (signal.SIGKILL, False, -9)],
)
def test_an_interrupted_and_a_killed_command_leave_no_process_and_are_gone_on_from(
    tmp_path: Path, sent: signal.Signals, to_all: bool, status: int
) -> None:
    """Ctrl-C at a terminal reaches every process of the command, `kill` only the first."""
    source = large(tmp_path / "source")
    arguments = command("index", source, "--out", tmp_path / "out")
    journal = tmp_path / "out" / f"{NAME}.journal"
    process = subprocess.Popen(
        arguments, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while not (journal.exists() and journal.stat().st_size > 200):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.005)
            break
    (os.killpg if to_all else os.kill)(process.pid, sent)
    # Pipes end when the last process that has them does.
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert b"Traceback" not in said
    again = subprocess.run([*arguments, "--json"], check=True, capture_output=True, timeout=120)
    (shard,) = json.loads(again.stdout)["shards"]
    assert (shard["path"], shard["documents"]) == (NAME, 60)
    index_corpus(source, tmp_path / "once", IndexOptions(), jobs=1)
    for name in FILES:
        one, other = tmp_path / "out" / "train" / name, tmp_path / "once" / "train" / name
        assert one.read_bytes() == other.read_bytes()
    done = subprocess.run(
        command("verify", source, tmp_path / "out", "--json"), check=True, capture_output=True
    )
    (verified,) = json.loads(done.stdout)["shards"]
    assert (verified["path"], verified["documents"]) == (NAME, 60)


_FULL_DISK = """
mount -t tmpfs -o size=8m none "$OUT" || exit 77
"$PYTHON" -m services.cli corpus index "$SOURCE" --out "$OUT"
echo "status $?"
ls "$OUT/train"
mount -o remount,size=64m "$OUT"
"$PYTHON" -m services.cli corpus index "$SOURCE" --out "$OUT" || exit 1
"$PYTHON" -m services.cli corpus verify "$SOURCE" "$OUT" || exit 1
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not installed")
def test_a_full_disk_is_told_and_gone_on_from(tmp_path: Path) -> None:
    """A real one, of 8 MB, which is then made larger."""
    out = tmp_path / "out"
    out.mkdir()
    environment = {
        **os.environ,
        "OUT": str(out),
        "SOURCE": str(large(tmp_path / "source")),
        "PYTHON": sys.executable,
    }
    apart = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
    done = subprocess.run(
        [*apart, "sh", "-c", _FULL_DISK],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode in {1, 77} and "status" not in done.stdout:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    problem = f"{out} cannot be written (No space left on device); shards that are indexed stay"
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
    first, _, rest = done.stdout.partition("indexed,")
    assert "status 1" in first
    assert "00.jsonl.zst.partial" in first
    assert "00.index" not in first
    assert "60 documents" in rest
