"""Go: a package for each package of the contracts, compiled, and read by a program."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import run
from tests.packaging.languages.conftest import GIVEN, PRINTED, PROGRAMS, tool

LIBRARIES = Path("/usr/share/gocode")


@pytest.mark.slow
def test_go_compiles_and_tells_absent_from_zero(
    generated: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tool("go", "Debian's golang-go")
    tool("protoc-gen-go", "Debian's protoc-gen-go-1-5, or golang-google-protobuf-dev's tools,")
    if not (LIBRARIES / "src" / "google.golang.org" / "protobuf").exists():
        pytest.skip("Go's protobuf is not installed: Debian's golang-google-protobuf-dev has it")
    out = generated("go")
    # Without modules, which would be fetched: what go_package says is a path below src.
    source = tmp_path / "gopath" / "src"
    shutil.copytree(out, source)
    shutil.copytree(PROGRAMS / "go", source / "program")
    monkeypatch.setenv("GO111MODULE", "off")
    monkeypatch.setenv("GOPATH", f"{tmp_path / 'gopath'}{os.pathsep}{LIBRARIES}")
    monkeypatch.setenv("GOCACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GOFLAGS", "-p=2")
    packages = subprocess.run(
        [go, "list", "assay/..."], cwd=source, capture_output=True, text=True, check=True
    ).stdout.split()
    assert packages == [
        f"assay/{name}"
        for name in ("audit/v1alpha1", "common/v1", "corpus/v1", "ranker/v1", "segment/v1")
    ]
    run(go, "build", *packages, folder=source)
    said = run(go, "run", "./program", *GIVEN, folder=source)
    assert said.splitlines() == PRINTED
