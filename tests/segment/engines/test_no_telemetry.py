"""ONNX Runtime reports nothing to its maker from a process of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def files_after(program: str, home: Path) -> list[Path]:
    """Where it would report, it first writes a number of the machine below the home."""
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", program],
        # Little else: it reports nothing where it sees that it is tested.
        env={"HOME": str(home), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [path for path in home.rglob("*") if path.is_file()]


def test_nothing_is_kept_for_the_maker(tmp_path: Path) -> None:
    assert not files_after("import services; import onnxruntime", tmp_path / "ours")
    if not files_after("import onnxruntime", tmp_path / "plain"):
        pytest.skip("this release of ONNX Runtime keeps nothing anyway")
