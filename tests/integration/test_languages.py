"""The examples in C++ and Ruby and those of buf, as they stand, against a real ranker."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.packaging.languages.conftest import tool

ROOT = Path(__file__).parents[2]
LEFT, RIGHT = "gpt2", "the-pile"

pytestmark = [pytest.mark.slow, pytest.mark.process]


@pytest.fixture(scope="module")
def ranker(start_service: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database = tmp_path_factory.mktemp("ranker") / "evidence.sqlite"
    with start_service("ranker", {"ASSAY_RANKER_DATABASE": str(database)}) as service:
        yield service.address


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CONTRACTS": str(ROOT / "protos")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def copied(name: str, folder: Path) -> Path:
    """An example where it may write."""
    ignored = shutil.ignore_patterns("stubs", "compare")
    return Path(shutil.copytree(ROOT / "examples" / name, folder / name, ignore=ignored))


def compares(*command: str | Path, ranker: str, folder: Path) -> None:
    done = run(*command, ranker, LEFT, RIGHT, folder=folder)
    assert done.returncode == 0, done.stderr
    left, right, summary = done.stdout.splitlines()
    assert left.startswith(f"{LEFT}: ")
    assert left.endswith("claims, no score")
    assert right.startswith(f"{RIGHT}: ")
    assert "different types" in summary
    done = run(*command, ranker, LEFT, "nothing", folder=folder)
    assert done.returncode == 1
    assert "5: no artifact named 'nothing'" in done.stderr


def test_cpp(ranker: str, tmp_path: Path) -> None:
    for name, package in (
        ("g++", "Debian's g++"),
        ("protoc", "Debian's protobuf-compiler"),
        ("grpc_cpp_plugin", "Debian's protobuf-compiler-grpc"),
    ):
        tool(name, package)
    if run("pkg-config", "--exists", "grpc++", folder=tmp_path).returncode:
        pytest.skip("gRPC's headers are not installed: Debian's libgrpc++-dev has them")
    folder = copied("cpp", tmp_path)
    built = run("./build.sh", folder=folder)
    assert built.returncode == 0, built.stderr
    compares(folder / "compare", ranker=ranker, folder=folder)


def test_ruby(ranker: str, tmp_path: Path) -> None:
    ruby, plugin = (
        tool("ruby", "Debian's ruby"),
        tool("grpc_ruby_plugin", "Debian's protobuf-compiler-grpc"),
    )
    if run(ruby, "-e", 'require "grpc"', folder=tmp_path).returncode:
        pytest.skip("gRPC for Ruby is not installed: Debian's ruby-grpc has it")
    folder = copied("ruby", tmp_path)
    (folder / "stubs").mkdir()
    protos = ROOT / "protos"
    packages = ("assay/common/v1", "assay/ranker/v1")
    generated = run(
        tool("protoc", "Debian's protobuf-compiler"),
        f"-I{protos}",
        "--ruby_out=stubs",
        "--grpc_out=stubs",
        f"--plugin=protoc-gen-grpc={plugin}",
        *(path for package in packages for path in sorted((protos / package).glob("*.proto"))),
        folder=folder,
    )
    assert generated.returncode == 0, generated.stderr
    compares(ruby, "compare.rb", ranker=ranker, folder=folder)


def test_buf_calls_and_generates(ranker: str, tmp_path: Path) -> None:
    buf = tool("buf", "PyPI's buf-bin")
    tool("protoc", "Debian's protobuf-compiler")
    service = f"http://{ranker}/assay.ranker.v1.RankerService"
    command = (buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge")
    done = run(
        *command, "-d", '{"artifact": "the-pile"}', f"{service}/GetArtifact", folder=tmp_path
    )
    assert '"id": "the-pile"' in done.stdout, done.stderr
    folder = copied("buf", tmp_path)
    done = run(buf, "generate", ROOT / "protos", folder=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "stubs/ruby/assay/ranker/v1/ranker_pb.rb").is_file()
