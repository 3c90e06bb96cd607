"""A command says what makes it slow before it is slow, with no terminal too, unless --quiet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SEGMENT = ("segment", str(ROOT / "examples" / "photos" / "park.jpg"), "--json")


def assay(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [sys.executable, "-m", "services.cli", *words],
        env={**os.environ, "ASSAY_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran


@pytest.mark.slow
def test_a_private_service_that_starts_is_named(tmp_path: Path) -> None:
    said = assay(tmp_path, *SEGMENT).stderr
    assert said.splitlines()[-1].startswith("starting the segment service")
    quiet = assay(tmp_path, "--quiet", *SEGMENT).stderr
    assert "starting" not in quiet
    assert "no --model: using the small demonstration model" in quiet  # a warning stays
