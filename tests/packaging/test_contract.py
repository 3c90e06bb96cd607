"""The contract: linted, compatible with the last release, and its stubs those of the protos."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
BUF = Path(sys.executable).with_name("buf")
STUBS = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def contracts() -> list[Path]:
    return sorted(path.relative_to(PROTOS) for path in PROTOS.glob("assay/*/v*/*.proto"))


def stubs(folder: Path) -> dict[str, str]:
    """Every generated file under `folder`, by its path in it."""
    return {
        str(path.relative_to(folder)): path.read_text("utf-8")
        for path in sorted(folder.glob("assay/**/*_pb2*.py*"))
        if path.suffix in {".py", ".pyi"}
    }


def test_there_are_contracts() -> None:
    ours = {"common", "corpus", "ranker", "segment"}
    assert {path.parts[1] for path in contracts()} == ours | {"inference"}


@pytest.mark.parametrize("contract", contracts(), ids=str)
def test_every_contract_has_its_stubs(contract: Path) -> None:
    for ending in STUBS:
        assert (PROTOS / contract.with_name(contract.stem + ending)).is_file()


def test_the_stubs_are_those_of_the_protos(tmp_path: Path) -> None:
    subprocess.run([PROTOS / "generate.sh", tmp_path], check=True, timeout=120)
    committed, generated = stubs(PROTOS), stubs(tmp_path)
    assert sorted(committed) == sorted(generated), "run `make stubs`"
    differing = [name for name in generated if committed[name] != generated[name]]
    assert not differing, "run `make stubs`"


def test_the_contract_passes_buf_lint() -> None:
    ended = subprocess.run([BUF, "lint"], cwd=PROTOS, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_contract_breaks_no_released_client() -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no release to compare with")
    tag = subprocess.run(
        [git, "describe", "--tags", "--abbrev=0"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    if not tag:
        pytest.skip("no tag yet: there is no release to compare with")
    ended = subprocess.run(
        [BUF, "breaking", "--against", f"../.git#tag={tag},subdir=protos"],
        cwd=PROTOS, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
