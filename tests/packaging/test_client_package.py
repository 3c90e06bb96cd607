"""The client's wheel: built, installed into bare environments, and used against a real server."""

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
RUNTIME = {"assay-client", "grpcio", "protobuf", "typing-extensions"}

# The oldest and the newest runtimes that protos/pyproject.toml allows.
OLDEST = ("grpcio==1.71.2", "protobuf==5.29.0")
NEWEST: tuple[str, ...] = ()

USE = """
import asyncio, sys
from importlib import import_module
from assay.channel import connect, connect_blocking
from assay.ranker.v1 import ranker_pb2, ranker_pb2_grpc
for package in ("common", "segment", "corpus", "ranker"):
    for kind in ("_pb2", "_pb2_grpc"):
        import_module(f"assay.{package}.v1.{package}{kind}")
request = ranker_pb2.ListArtifactsRequest(page_token="over the wire")
with connect_blocking(sys.argv[1]) as channel:
    stub = ranker_pb2_grpc.RankerServiceStub(channel)
    print(stub.ListArtifacts(request, timeout=30).next_page_token)
async def main():
    async with connect(sys.argv[1]) as channel:
        stub = ranker_pb2_grpc.RankerServiceStub(channel)
        print((await stub.ListArtifacts(request, timeout=30)).next_page_token)
asyncio.run(main())
"""


def run(*command: str | Path) -> str:
    """The command's output; fails with all that it said."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that no earlier build gets into it."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(PROTOS, folder / "protos", ignore=ignored)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation",
        "--outdir", folder, folder / "protos")  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def package_index() -> None:
    """Skips where pip finds no packages."""
    probe = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed",
         "--no-deps", "--retries", "1", "--timeout", "20", "protobuf"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    if probe.returncode != 0:
        pytest.skip(f"pip finds no package index: {probe.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="module")
def server(start_service: Any) -> Iterator[str]:
    """Address of a server that answers one method of the contract."""
    script = str(ROOT / "tests" / "rpc" / "echo_server.py")
    with start_service("echo", {"PYTHONPATH": str(ROOT)}, [sys.executable, script]) as service:
        yield service.address


def test_the_wheel_holds_the_contract_and_its_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"assay/py.typed", "assay/channel.py", "assay/service_config.json"} <= names
    for package in ("common", "segment", "corpus", "ranker"):
        for ending in (".proto", "_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi"):
            assert f"assay/{package}/v1/{package}{ending}" in names
    assert "assay/inference/v2/open_inference_pb2_grpc.py" in names
    assert not [name for name in names if not name.startswith(("assay/", "assay_client-"))]


@pytest.mark.slow
@pytest.mark.usefixtures("package_index")
@pytest.mark.parametrize("pins", [OLDEST, NEWEST], ids=["oldest", "newest"])
def test_a_bare_environment_needs_nothing_but_the_wheel(
    wheel: Path, server: str, tmp_path: Path, pins: tuple[str, ...]
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, *pins)
    listed = json.loads(run(python, "-m", "pip", "list", "--format", "json"))
    installed = {entry["name"].replace("_", "-").lower(): entry["version"] for entry in listed}
    assert set(installed) - {"pip", "setuptools"} <= RUNTIME
    for pin in pins:
        name, version = pin.split("==")
        assert installed[name] == version
    # -I: neither this checkout nor the caller's variables may help.
    assert run(python, "-I", "-c", USE, server) == "over the wire\nover the wire\n"
    print({name: installed[name] for name in ("grpcio", "protobuf")})
