"""Clients of others, each in an environment of its own: their protobufs do not mix with ours."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Kept from one session to the next; git ignores the folder.
PEERS = ROOT / ".venv-peers"
SECONDS = 300
_INSTALL_SECONDS = 900
ASKED_FOR = "ASSAY_TEST_PEERS"
"""Set to 1, environments are made that are not there yet."""


def run(
    *command: str | Path, seconds: float = SECONDS, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env={**os.environ, **variables},
    )


def environment(
    name: str, requirements: Sequence[str], imports: str, *, always: bool = False
) -> Path:
    """The Python of an environment with those packages; skips where no index is reached.

    One that is not there is only made `always`, or where it is asked for: some take minutes.
    """
    folder = PEERS / name
    python = folder / "bin" / "python"
    if python.is_file() and run(python, "-c", f"import {imports}").returncode == 0:
        return python
    if not always and os.environ.get(ASKED_FOR) != "1":
        pytest.skip(f"no {name}; {ASKED_FOR}=1 installs {', '.join(requirements)}")
    if not python.is_file():
        venv.create(folder, with_pip=True)
    quiet = ("install", "--quiet", "--retries", "1", "--timeout", "20")
    installed = run(python, "-m", "pip", *quiet, *requirements, seconds=_INSTALL_SECONDS)
    if installed.returncode != 0:
        pytest.skip(f"pip installs no {name}: {installed.stderr.strip().splitlines()[-1]}")
    return python


def used(python: Path, program: str, *arguments: str) -> str:
    """What a program prints in the client's environment, where nothing of ours is."""
    ended = run(python, "-I", "-W", "ignore", "-c", program, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
