"""The README's blocks of commands, and those of tutorials that need nothing of the reader, run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What is set up by hand, serves until it is stopped, or names something of the reader's.
NOT_RUN = re.compile(r"^(make|python|kubectl|\.|assay up)|\b[A-Z]{5,}\b")


def blocks(document: str) -> list[list[str]]:
    """The command lines of each fenced block that can run as it is printed."""
    text = (ROOT / document).read_text("utf-8")
    found = [
        [line.partition("  #")[0].strip() for line in block.splitlines()]
        for block in FENCE.findall(text)
    ]
    return [[line for line in block if not NOT_RUN.match(line)] for block in found]


RUN = [
    pytest.param(block, id=f"{document}-{number}")
    for document in ("README.md", "docs/tutorials.md")
    for number, block in enumerate(blocks(document))
    if block and not any(NOT_RUN.search(line) for line in block)
]


def test_the_readme_has_three_blocks_of_four() -> None:
    readme = [block for block in blocks("README.md") if block]
    assert [len(block) for block in readme] == [4, 4, 4]
    assert all(line.startswith("assay ") for block in readme for line in block)
    assert len(RUN) >= 5


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("block", RUN)
def test_a_block_runs_as_it_is_printed(block: list[str], tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    path = f"{ROOT}{os.pathsep}{ROOT / 'protos'}{os.pathsep}{ours.get('PYTHONPATH', '')}"
    ours |= {"ASSAY_HOME": str(tmp_path / "home"), "PYTHONPATH": path}
    for line in block:
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *shlex.split(line)[1:]],
            check=False,
            capture_output=True,
            text=True,
            env=ours,
            cwd=tmp_path,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout or done.stderr, line
