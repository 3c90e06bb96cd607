"""The example of a training loop: stopped and resumed, it comes to the same weights."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.corpus.shards.index.writer import IndexOptions, write_index
from tests.corpus.conftest import Start
from tests.corpus.shard_files import line, write_corpus

EXAMPLE = Path(__file__).parents[3] / "examples" / "train_and_resume.py"
PATHS = os.pathsep.join(path for path in sys.path if path)


@pytest.mark.torch
@pytest.mark.process
@pytest.mark.slow
async def test_a_killed_run_resumes_to_the_same_weights(serve: Start, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    lines = [line(f"document {n} of many, {n * n}. " * 9, "Github") for n in range(400)]
    root = write_corpus(tmp_path / "c", {"train/0.jsonl.zst": lines})
    write_index(
        root / "train" / "0.jsonl.zst",
        "train/0.jsonl.zst",
        tmp_path / "indexed",
        IndexOptions(frame_bytes=5000),
    )
    client = await serve({"c": tmp_path / "indexed"})
    command = [sys.executable, str(EXAMPLE), f"127.0.0.1:{client.server.port}", "c"]

    def run(checkpoint: Path) -> str:
        ended = subprocess.run(
            [*command, str(checkpoint)],
            env={**os.environ, "PYTHONPATH": PATHS},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return ended.stdout.splitlines()[-1]

    def killed(checkpoint: Path) -> int:
        with subprocess.Popen(
            [*command, str(checkpoint)],
            env={**os.environ, "PYTHONPATH": PATHS},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            steps = 0
            for said in process.stdout:
                steps = int(said.split()[1].rstrip(":"))
                if steps % 13 == 0:
                    process.send_signal(signal.SIGKILL)
                    break
        return steps

    whole = await asyncio.to_thread(run, tmp_path / "whole.pt")
    assert len(whole) == 64
    assert await asyncio.to_thread(killed, tmp_path / "killed.pt") == 13
    assert await asyncio.to_thread(killed, tmp_path / "killed.pt") == 26
    assert await asyncio.to_thread(run, tmp_path / "killed.pt") == whole
