"""`make gpu` on a machine without a GPU: it says so, and its rehearsal goes all the way."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.segment.gpu import goals

ROOT = Path(__file__).parents[2]
RESULT = ROOT / "benchmarks" / "results" / "segment/gpu.json"


def run(*options: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    variables = os.environ if path is None else {**os.environ, "PATH": path}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.segment.gpu", *options],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600, env=variables,
    )  # fmt: skip


def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    there = RESULT.exists()
    ran = run(path=str(tmp_path))  # where no nvidia-smi is
    assert ran.returncode == 3
    assert ran.stderr == "no GPU is here: nvidia-smi finds none; nothing was measured\n"
    assert RESULT.exists() == there


def test_a_gpu_whose_libraries_are_missing(tmp_path: Path) -> None:
    import onnxruntime  # noqa: PLC0415  # what it offers decides

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    shell = shutil.which("sh") or "/bin/sh"
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!{shell}\necho 'NVIDIA H200, 580.1, 143771 MiB'\n")
    program.chmod(0o755)
    ran = run(path=str(tmp_path))
    assert ran.returncode == 3
    assert "has no CUDAExecutionProvider: install requirements/serve-segment-gpu.lock" in ran.stderr


@pytest.mark.slow
def test_the_rehearsal_goes_all_the_way() -> None:
    there = RESULT.exists()
    ran = run("--rehearse")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "a rehearsal on the processor: nothing was written" in ran.stdout
    assert re.search(r"'mixed_requests': [1-9]", ran.stdout)
    assert re.search(r"rehearsed: {'seconds_to_open': .*'jpeg_to_labels_p50_ms': [0-9]", ran.stdout)
    assert RESULT.exists() == there


def test_goals_are_rows_of_a_result() -> None:
    found = {
        "model": "b0", "precision": "fp16", "architecture": "segformer-b0",
        "engine": {"1": {"pictures_per_second": 500.0}, "32": {"pictures_per_second": 4000.0}},
        "pipeline": {"jpeg_to_labels_p50_ms": 1.0, "pictures_per_second": 3600.0},
        "server": {
            "pictures_per_second": 3800.0, "mixed_requests": 10_000,
            "gpu_bytes_before": 100, "gpu_bytes_after": 100,
        },
    }  # fmt: skip
    ratios = [row["ratio"] for row in goals(found)]
    assert ratios == [0.95, 2.0, 1.2, 1.0]
    assert all(row["ratio"] >= row["target"] for row in goals(found))
