"""The command that repeats a measurement does so in a home that knows nothing, or says why not."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.cli.exits import Exit
from services.cli.output.verdicts import grouped
from services.corpus.bpb.models.checkpoint.model_directory import file_digests, read_directory

MANIFEST = """
kind: artifact
schema: 1
id: tinystories-656k
name: TinyStories 656K
type: LANGUAGE_MODEL
description: A small Llama that was trained on stories for children.
license: {id: unstated, name: not stated}
pricing: free
capabilities: []
claims:
  - id: T1
    statement: It needs at most 4 bits per byte on The Pile.
    bound: {range: {high: 4}, unit: bits per byte}
    dataset: the-pile
    method: language_models.bits_per_byte@2
  - id: T2
    statement: It has a million parameters.
    bound: {equals: {value: 1000000, tolerance: 1000}, unit: parameters}
    method: language_models.parameter_count@1
"""


class Shell:
    """Runs what a user would paste, with `assay` on the path, in a home of its own."""

    def __init__(self, folder: Path, home: str) -> None:
        self.folder = folder
        shim = folder / "bin" / "assay"
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m services.cli "$@"\n')
        shim.chmod(0o755)
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
        self._environment = ours | {
            "ASSAY_HOME": str(folder / home),
            "PATH": f"{shim.parent}:{os.environ['PATH']}",
        }

    def __call__(self, words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", words],
            env=self._environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def verdicts(self, words: str) -> Mapping[str, Any]:
        ended = self(f"{words} --json")
        assert ended.returncode == Exit.DONE, ended.stderr
        return {one["id"]: one for one in json.loads(ended.stdout)["claims"]}


@pytest.fixture
def pile(tmp_path: Path, data_dir: Path) -> Path:
    """One file of The Pile, whose digest its manifest states: what all of it is, costs more."""
    folder = tmp_path / "pile"
    folder.mkdir()
    shutil.copy(data_dir / "pile" / "val.jsonl.zst", folder)
    return folder


def supplied(command: str, folder: Path, data: Path) -> str:
    """A command with the folders that are at hand."""
    return (
        command.replace("the-pile=DIR", f"the-pile={folder / 'pile'}")
        .replace("tinystories-656k=DIR", f"tinystories-656k={data / 'lm' / 'tinystories-656k'}")
        .replace("--manifest FILE", f"--manifest {folder / 'tiny.yaml'}")
    )


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.usefixtures("pile")
def test_every_command_of_a_comparison_repeats_it_or_names_what_is_missing(
    tmp_path: Path, data_dir: Path
) -> None:
    pytest.importorskip("transformers")
    model = read_directory("tiny", data_dir / "lm" / "tinystories-656k")
    stated = f"files: {json.dumps(file_digests(model.files))}\n"
    (tmp_path / "tiny.yaml").write_text(MANIFEST.replace("claims:\n", f"{stated}claims:\n"))
    first = Shell(tmp_path, "first")
    compare = (
        "assay compare tinystories-656k the-pile --verify --manifest FILE "
        "--shards the-pile=DIR --language-model tinystories-656k=DIR"
    )
    before = first.verdicts(supplied(compare, tmp_path, data_dir))
    # Its files are known to hold documents of The Pile: a sample, which is shown.
    assert before["T1"]["verdict"] == "NOT_TESTABLE_HERE"
    assert "a sample" in before["T1"]["reason"]
    assert before["T2"]["verdict"] == "REFUTED"
    commands = grouped(one["command"] for one in before.values() if one["command"])
    assert any("--expect the-pile=sha256:" in one for one in commands)
    clean = Shell(tmp_path, "clean")
    repeated = 0
    for command in commands:
        again = clean.verdicts(supplied(command, tmp_path, data_dir))
        assert {name: one["verdict"] for name, one in again.items()} == {
            name: before[name]["verdict"] for name in again
        }, command
        repeated += len(again)
    assert repeated == sum(bool(one["command"]) for one in before.values())
    for command in commands:
        if "DIR" not in command:
            continue
        refused = clean(command.replace("--manifest FILE", ""))
        assert refused.returncode != Exit.DONE
        assert "DIR is not a folder; put that of" in refused.stderr, command
        assert "sha256:" in refused.stderr


@pytest.mark.data
def test_other_data_than_was_measured_is_refused(tmp_path: Path, pile: Path) -> None:
    shell = Shell(tmp_path, "home")
    words = f"assay claims the-pile --claim P5.2 --shards the-pile={pile}"
    ended = shell(f"{words} --expect the-pile=sha256:{'0' * 64}")
    assert ended.returncode != Exit.DONE
    assert "the the-pile that is served has the digest sha256:" in " ".join(ended.stderr.split())
    ended = shell("assay claims the-pile --claim P5.2 --expect the-pile=sha256:00")
    assert ended.returncode != Exit.DONE
    assert "give it with --shards the-pile=DIR" in " ".join(ended.stderr.split())
