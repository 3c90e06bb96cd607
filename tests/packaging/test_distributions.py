"""Source distributions and wheels of a clean checkout: whole, installable, and it stays clean."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import run

ROOT = Path(__file__).parents[2]
PROJECTS = {"assay_services": (".", "services/"), "assay_rpc": ("protos", "assay_rpc/")}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the files that git tracks here, as they are now."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    folder = tmp_path_factory.mktemp("clean") / "assay"
    for name in run("git", "ls-files", "-z", folder=ROOT).split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")
    run("git", "init", "-q", folder=folder)
    run("git", "add", ".", folder=folder)
    run(*git, "commit", "-q", "-m", "all", folder=folder)
    return folder


def built(kind: str, project: Path, out: Path) -> Path:
    """The only file in `out` after a build of it."""
    run(sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", out, project)
    (made,) = out.iterdir()
    return made


def held(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


@pytest.mark.slow
def test_they_build_and_install_and_leave_the_checkout_clean(
    checkout: Path, tmp_path: Path
) -> None:
    wheels = []
    for name, (folder, package) in PROJECTS.items():
        sdist = built("sdist", checkout / folder, tmp_path / name / "sdist")
        source = tmp_path / name / "source"
        with tarfile.open(sdist) as packed:
            packed.extractall(source, filter="data")
        (unpacked,) = source.iterdir()
        of_sdist = built("wheel", unpacked, tmp_path / name / "of-sdist")
        of_checkout = built("wheel", checkout / folder, tmp_path / name / "of-checkout")
        assert held(of_sdist) == held(of_checkout)
        tracked = run("git", "ls-files", package, folder=checkout / folder).split()
        assert set(tracked) <= held(of_sdist)
        wheels.append(of_sdist)
    assert run("git", "status", "--porcelain", folder=checkout) == ""
    place = tmp_path / "installed"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
        "--target", place, *wheels)  # fmt: skip
    said = subprocess.run(
        [place / "bin" / "assay", "--version"],
        env={**os.environ, "PYTHONPATH": str(place)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    version = (checkout / "pyproject.toml").read_text("utf-8").partition('version = "')[2]
    assert said.startswith(f"assay {version.partition(chr(34))[0]}\n")
