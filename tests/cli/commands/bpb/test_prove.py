"""`assay score --prove` and `assay prove verify`, each in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from services.cli import proving
from services.cli.exits import Exit
from services.corpus.proof import file_format
from services.errors import SourceChanged
from tests.corpus.shard_files import line, write_corpus

TEXTS = ["def f(x):\n    return x\n" * 8, "Grüße, 你好", "", "spam and eggs " * 20]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pile")
    return write_corpus(folder, {"test.jsonl.zst": [line(text) for text in TEXTS]})


def _assay(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        env={**os.environ, "ASSAY_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_proof_is_written_and_holds(assay_home: Path, root: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the export extra")
    proof, texts = str(tmp_path / "p"), tmp_path / "t.jsonl"
    score = _assay(assay_home, "score", "--shards", str(root), "--prove", proof)
    assert score.returncode == Exit.DONE, score.stderr
    assert "proof written to" in score.stdout
    verified = _assay(
        assay_home,
        *("prove", "verify", proof, "--shards", str(root), "--texts", str(texts), "--json"),
    )
    assert verified.returncode == Exit.DONE, verified.stderr
    found = json.loads(verified.stdout)
    assert found["holds"]
    assert found["selection_checked"]
    assert found["failures_total"] == 0
    assert found["documents"] == len(TEXTS)
    assert found["code_bits_per_byte"] <= found["bits_per_byte"] + 2 * len(TEXTS) / found["bytes"]
    decoded = sorted(json.loads(one)["text"] for one in texts.read_text().splitlines())
    assert decoded == sorted(TEXTS)
    # Of other documents than the selection's it says so.
    other = _assay(
        assay_home, "prove", "verify", proof, "--shards", str(root), "--max-documents", "2"
    )
    assert other.returncode == Exit.BAD_INPUT
    assert "does NOT hold" in other.stdout
    assert "is not among the documents" in other.stdout
    # A forger leaves out what is hard to predict, or everything.
    made = file_format.read(Path(proof))
    _assay(assay_home, "score", "--shards", str(root), "--max-documents", "1", "--prove", proof)
    easy = file_format.read(Path(proof)).records
    assert len(easy) == 1
    for kept in (1, 0):
        ids = {record.id for record in made.records} - {record.id for record in easy[:kept]}
        header = replace(made.header, left_out=tuple(ids))
        file_format.write(Path(proof), header, easy[:kept])
        picked = _assay(assay_home, "prove", "verify", proof, "--shards", str(root))
        assert picked.returncode == Exit.BAD_INPUT
        assert "the tokenizer reproduces its text" in picked.stdout
        assert "those of the selection" not in picked.stdout
        alone = _assay(assay_home, "prove", "verify", proof)
        assert alone.returncode == (Exit.DONE if kept else Exit.BAD_INPUT)
        assert "claimed to be lossy, which is not checked" in alone.stdout
        assert "those of the selection" not in alone.stdout
    assert "does NOT hold: it proves no document" in alone.stdout


def test_what_has_no_proof_is_refused_before_anything_is_scored(assay_home: Path) -> None:
    for arguments, named in (
        (("--prove", "p", "--definition", "huggingface_guide"), "leaves tokens unscored"),
        (("--prove", "p", "--sample", "5"), "whole selection"),
        (("--prove", "p", "--sample-documents", "5"), "whole selection"),
        (("--prove", "p", "--prefix-everywhere"), "is in no proof's format"),
        (("--prove", "p", "--definition", "paloma"), "choose lm_eval"),
        (("--prove", "p", "--engine", "openvino-cpu"), "its own engine"),
        (("--prove", "p", "--against", "xz"), "one model"),
        (("--prove", "p", "--model", "xz"), "xz is not a folder, and a proof needs the model's"),
        (("--leave-out-lossy",), "belongs to --prove"),
    ):
        done = _assay(assay_home, "score", *arguments)
        assert done.returncode == Exit.BAD_INPUT
        assert named in done.stderr


async def test_no_proof_is_of_another_model_than_was_scored(tmp_path: Path) -> None:
    """A folder may be written again between the figure and its proof, which takes as long."""
    pytest.importorskip("onnx", reason="needs the export extra")
    arguments = argparse.Namespace(model=None, prove=str(tmp_path / "p"))
    with pytest.raises(SourceChanged, match="was scored as sha256:00, and its folder has sha256:"):
        await proving.write(arguments, "sha256:00")
    assert not (tmp_path / "p").exists()
