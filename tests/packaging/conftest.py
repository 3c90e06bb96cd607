"""The client's wheel, built once for the tests of it and of what other languages make of it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTOS = Path(__file__).parents[2] / "protos"


def run(*command: str | Path, folder: Path | None = None, given: bytes = b"") -> str:
    """The command's output; fails with all that it said."""
    ended = subprocess.run(
        command, cwd=folder, input=given, capture_output=True, timeout=900, check=False
    )
    said = (ended.stdout + ended.stderr).decode(errors="replace")
    assert ended.returncode == 0, said
    return ended.stdout.decode()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that no earlier build gets into it."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(PROTOS, folder / "protos", ignore=ignored)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation",
        "--outdir", folder, folder / "protos")  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built
