"""`assay score`: what it prints while it works, and what it writes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2
from google.protobuf.duration_pb2 import Duration

from services.cli.commands.bpb.score import follow
from services.cli.exits import Exit
from services.cli.output.console import ERR
from tests.corpus.shard_files import line, write_corpus

TEXTS = [
    "def f(x):\n    return x\n" * 8,
    "Gr\u00fc\u00dfe, \u4f60\u597d",
    "",
    *(f"{number} spam and eggs " * 20 for number in range(12)),
]


def running(documents: int) -> scoring_pb2.ScoreBPBResponse:
    return scoring_pb2.ScoreBPBResponse(
        progress=scoring_pb2.RunningScore(
            model=common_pb2.ModelRef(name="m"),
            overall=scoring_pb2.BitsPerByte(documents=documents, bits_per_byte=1.25),
            documents_total=90,
            documents_done=documents + 2,
            tokens_per_second=1234.0,
            time_left=Duration(seconds=7),
        )
    )


def test_what_is_not_known_yet_is_no_zero() -> None:
    with ERR.capture() as told:
        asyncio.run(follow(waiting(), clock=iter((0.0, 31.0)).__next__))
    begins = "loading the model, and counting the documents"
    assert told.get().splitlines() == [begins, f"still {begins}, after 31 s"]


def test_ctrl_c_while_a_model_loads_says_what_is_saved(assay_home: Path, root: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "services.cli", "score", "--shards", root, "--sample", "500"],
        env={**os.environ, "ASSAY_HOME": str(assay_home)},
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        assert any("loading the model" in told for told in running.stderr)
        running.send_signal(signal.SIGINT)
        said = running.stderr.read().splitlines()
        assert running.wait(60) == Exit.INTERRUPTED
    assert said[-1].startswith("interrupted; finished documents are saved, and the same command")


async def waiting() -> AsyncIterator[scoring_pb2.ScoreBPBResponse]:
    yield scoring_pb2.ScoreBPBResponse(progress=scoring_pb2.RunningScore())
    yield scoring_pb2.ScoreBPBResponse(result=scoring_pb2.FinalScore())


async def stream(count: int) -> AsyncIterator[scoring_pb2.ScoreBPBResponse]:
    for number in range(count):
        yield running(number)
    yield scoring_pb2.ScoreBPBResponse(document=scoring_pb2.DocumentScore(id="d"))
    yield scoring_pb2.ScoreBPBResponse(result=scoring_pb2.FinalScore(cached=True))


def test_a_line_every_30_seconds_where_there_is_no_terminal() -> None:
    now = iter(range(0, 10_000, 5))
    documents: list[scoring_pb2.DocumentScore] = []
    with ERR.capture() as told:
        final = asyncio.run(follow(stream(20), documents.append, clock=lambda: float(next(now))))
    lines = told.get().splitlines()[1:]
    assert final.cached
    assert [one.id for one in documents] == ["d"]
    assert lines[0] == (
        "m: 7 of 90 documents, 2 of them left out, 1.2500 bits per byte so far, "
        "1,234 tokens/s, about 7 s left"
    )
    assert 2 <= len(lines) <= 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pile")
    return write_corpus(folder, {"test.jsonl.zst": [line(text) for text in TEXTS]})


def test_documents_and_a_picture_are_written(assay_home: Path, root: Path, tmp_path: Path) -> None:
    rows, picture = tmp_path / "rows.jsonl", tmp_path / "plot.svg"

    def score(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.cli", "score", "--shards", str(root), *more],
            env={**os.environ, "ASSAY_HOME": str(assay_home)},
            capture_output=True,
            text=True,
            check=False,
        )

    done = score("--json", "--per-document", str(rows), "--plot", str(picture))
    assert done.returncode == Exit.DONE, done.stderr
    final = json.loads(done.stdout)
    assert final["overall"]["basis"]["standing"] == "EXACT"
    found = [json.loads(one) for one in rows.read_text().splitlines()]
    assert [one["bytes"] for one in found] == [len(text.encode()) for text in TEXTS]
    assert [one["excluded"] for one in found] == [None, None, "EMPTY", *[None] * 12]
    assert picture.read_text().startswith("<svg")
    sampled = score("--json", "--sample", "2", "--prefix-everywhere", "--max-length", "64")
    basis = json.loads(sampled.stdout)["overall"]["basis"]
    assert (basis["unit"], basis["standing"], basis["documents"]) == ("SPANS", "EXAMPLE", 14)
    compressed = score("--json", "--model", "zstd-19")
    assert compressed.returncode == Exit.DONE, compressed.stderr
    assert json.loads(compressed.stdout)["definition"] is None
    both = score("--json", "--against", "xz", "--per-document", str(rows))
    overall = json.loads(both.stdout)["overall"]
    compared = [json.loads(one) for one in rows.read_text().splitlines()]
    kept = [one for one in compared if one["difference"] is not None]
    assert [one["id"] for one in compared] == [one["id"] for one in found]
    assert len(kept) == 14
    assert sum(one["nats"] for one in kept) == pytest.approx(overall["model"]["nats"])
    assert sum(one["against_nats"] for one in kept) == pytest.approx(overall["against"]["nats"])
    for more, words in (
        (("--plot", "p.pdf"), "ends in neither .svg nor .png"),
        (("--per-document", "d.csv"), "ends in neither .jsonl nor .parquet"),
        (("--sample", "9", "--against", "xz"), "--sample-documents"),
        (("--sample", "9", "--sample-documents", "9"), "are both given"),
    ):
        refused = score(*more)
        assert refused.returncode == Exit.BAD_INPUT
        assert words in " ".join(refused.stderr.split())
