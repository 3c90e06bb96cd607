"""The notebook of the examples: every cell runs, in order, in a process of its own.

Its cells are plain Python, so no Jupyter is needed to run them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOK = EXAMPLES / "first_steps.ipynb"


def cells(kind: str) -> list[dict[str, Any]]:
    content = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    return [one for one in content["cells"] if one["cell_type"] == kind]


def test_it_keeps_no_outputs() -> None:
    """They would be those of another day and another machine."""
    code = cells("code")
    assert len(code) >= 5
    assert all(one["outputs"] == [] and one["execution_count"] is None for one in code)
    assert len({one["id"] for one in code + cells("markdown")}) == len(code + cells("markdown"))


@pytest.mark.slow
@pytest.mark.process
def test_every_cell_runs(tmp_path: Path) -> None:
    program = "\n\n".join("".join(one["source"]) for one in cells("code"))
    shown = tmp_path / "shown"
    with shown.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=EXAMPLES,
            env={
                **os.environ,
                "ASSAY_HOME": str(tmp_path),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            process.wait(600)
        finally:  # a cell that fails leaves the services running
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
    said = shown.read_text("utf-8")
    assert process.returncode == 0, said
    assert "building" in said
    assert "negative, the first is better" in said
    assert "Neither is better overall" in said
