"""The client's wheel: built, installed into bare environments, and used against a real server."""

import json
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.client.small_server import Small, serving
from tests.packaging.conftest import run

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
RUNTIME = {"assay-rpc", "googleapis-common-protos", "grpcio", "protobuf", "typing-extensions"}

# The oldest and the newest runtimes that protos/pyproject.toml allows.
OLDEST = ("grpcio==1.71.2", "protobuf==5.29.0")
NEWEST: tuple[str, ...] = ()

USE = """
import asyncio, pickle, sys
from importlib import import_module
from assay_rpc.client import (
    AssayError, AsyncCorpusClient, Connection, CorpusClient, stream,
)
for package, modules in {
    "common": ["common"], "segment": ["segment", "images", "models", "benchmark", "admin"],
    "corpus": ["corpus", "selection", "describe", "stream", "scoring", "benchmark"],
    "ranker": ["ranker", "artifact", "claim", "evidence", "score", "compare", "rank", "search",
               "verification", "outcome", "admin"],
}.items():
    for module in modules:
        import_module(f"assay_rpc.{package}.v1.{module}_pb2")
assert "assay" not in sys.modules
to = pickle.loads(pickle.dumps(Connection(sys.argv[1], client_id="me")))
with CorpusClient(to) as corpora:
    print(corpora.corpus("over the wire").ref.name)
    try:
        corpora.corpus("NOT_FOUND")
    except AssayError as error:
        print(type(error).__name__)
async def main():
    async with AsyncCorpusClient(to) as corpora:
        print((await corpora.corpus("over the wire")).ref.name)
asyncio.run(main())
# Without zstandard the server decodes.
print(sum(1 for _ in stream(to, "c")))
"""


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


def test_the_wheel_holds_the_contract_and_its_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"assay_rpc/py.typed", "assay_rpc/client.py", "assay_rpc/service_config.json"} <= names
    contracts = [
        path.relative_to(PROTOS / "assay")
        for path in PROTOS.glob("assay/*/v*/*.proto")
        if "inference" not in path.parts
    ]
    assert {path.parts[0] for path in contracts} == {
        "audit", "common", "corpus", "ranker", "segment",
    }  # fmt: skip
    for contract in contracts:
        assert f"assay_rpc/protos/assay/{contract}" in names
        for made in ("_pb2.py", "_pb2.pyi"):
            assert f"assay_rpc/{contract.with_suffix('')}{made}" in names
    for module in PROTOS.glob("assay_rpc/**/*.py"):
        assert str(module.relative_to(PROTOS)) in names
    assert not [name for name in names if not name.startswith(("assay_rpc/", "assay_rpc-"))]
    assert not [name for name in names if "inference" in name]


@pytest.mark.slow
@pytest.mark.usefixtures("package_index")
@pytest.mark.parametrize("pins", [OLDEST, NEWEST], ids=["oldest", "newest"])
def test_a_bare_environment_needs_nothing_but_the_wheel(
    wheel: Path, tmp_path: Path, pins: tuple[str, ...]
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
    with serving(Small()) as address:
        # -I: neither this checkout nor the caller's variables may help.
        said = run(python, "-I", "-c", USE, address)
    assert said.splitlines() == ["over the wire", "NotFound", "over the wire", "20"]
    print({name: installed[name] for name in ("grpcio", "protobuf")})
