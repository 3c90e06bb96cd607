"""The demo on a machine that has nothing: reference models, a corpus made on the spot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from services.cli.exits import Exit


@pytest.mark.slow
def test_the_demo_measures_and_compares(tmp_path: Path) -> None:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    nowhere = str(tmp_path / "no data")
    ran = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo"],
        check=False,
        capture_output=True,
        text=True,
        env={**ours, "ASSAY_HOME": str(tmp_path / "home"), "ASSAY_TEST_DATA": nowhere},
    )
    assert ran.returncode == Exit.DONE, ran.stderr
    assert "no real data (" in ran.stderr
    assert "segformer-reference sees" in ran.stdout
    assert "byte-reference on python-reference" in ran.stdout
    assert "different types" in ran.stdout
    with Image.open(tmp_path / "home" / "demo-segmented.png") as picture:
        assert picture.size == (1280, 480)
