"""The examples for Node, as they stand, against real services."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.corpus.shard_files import line, write_corpus
from tests.segment.tiny_model import Tiny, write

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "node"
MODULES = EXAMPLES / "node_modules"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed"),
    pytest.mark.skipif(
        not MODULES.exists(), reason="`npm ci` in examples/node installs what the examples need"
    ),
]


def run(*command: str | Path, folder: Path) -> list[str]:
    environment = {"PATH": os.environ["PATH"], "CONTRACTS": str(ROOT / "protos")}
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples, with their modules."""
    made = tmp_path_factory.mktemp("node") / "examples"
    ignored = shutil.ignore_patterns("node_modules", "assay", "google", "*.js")
    shutil.copytree(EXAMPLES, made, ignore=ignored)
    (made / "node_modules").symlink_to(MODULES.resolve())
    return made


@pytest.fixture(scope="module")
def corpus(start_service: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("corpus")
    write_corpus(root, {"test.jsonl.zst": [line("one"), line("two"), line("drei: äöü")]})
    entries = {"small": {"path": str(root), "kind": "sample"}}
    with start_service("corpus", {"ASSAY_CORPUS_CORPORA": json.dumps(entries)}) as service:
        yield service


@pytest.fixture(scope="module")
def ranker(start_service: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    for name in ("starlette", "uvicorn", "connectrpc", "jinja2"):
        pytest.importorskip(name, reason="the extra `page` is not installed")
    database = tmp_path_factory.mktemp("ranker") / "evidence.sqlite"
    variables = {"ASSAY_RANKER_DATABASE": str(database), "ASSAY_RANKER_HTTP_PORT": "0"}
    with start_service("ranker", variables) as service:
        yield service


def node() -> str:
    return str(shutil.which("node"))


def test_contracts_loaded_at_run_time(folder: Path, ranker: Any, corpus: Any) -> None:
    said = run(node(), "dynamic.mjs", ranker.address, corpus.address, "small", folder=folder)
    assert said == [
        "the-pile ARTIFACT_TYPE_DATASET TERMS_OPEN",
        "true CACHE_STATUS_MISS",
        "NOT_FOUND NOT_FOUND true",
        "INVALID_ARGUMENT artifact",
        "3 undefined",
        "0",
    ]


def test_fetch_over_connect(folder: Path, ranker: Any) -> None:
    said = run(node(), "connect.mjs", f"http://127.0.0.1:{ranker.http_port}", folder=folder)
    assert said == ["the-pile ARTIFACT_TYPE_DATASET", "200 true", "not_found", "404"]


def test_generated_stubs(folder: Path, corpus: Any, start_service: Any, tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    write(model, Tiny())
    picture = tmp_path / "picture.png"
    Image.new("RGB", (40, 30), (200, 30, 60)).save(picture)
    # The script's own options, with the protoc that is beside this Python.
    script = json.loads((folder / "package.json").read_text("utf-8"))["scripts"]["generate"]
    options = script.removeprefix("protoc ").replace("../../protos", str(ROOT / "protos")).split()
    contracts = sorted((ROOT / "protos").glob("assay/*/v1/*.proto"))
    run(
        sys.executable, "-m", "grpc_tools.protoc", *options[:-1],
        "-I", str(files("grpc_tools") / "_proto"), *contracts,
        folder=folder,
    )  # fmt: skip
    run(node(), "node_modules/typescript/bin/tsc", folder=folder)
    variables = {
        "ASSAY_SEGMENT_MODELS": json.dumps([str(model)]),
        "ASSAY_SEGMENT_ENGINE": "onnxruntime",
    }
    with start_service("segment", variables) as segment:
        said = run(
            node(), "generated.js", segment.address, "tiny", picture, corpus.address, "small",
            folder=folder,
        )  # fmt: skip
    assert said == ["30 40 1.000", "undefined", "one;two;drei: äöü;"]


def test_the_lock_names_no_host() -> None:
    text = (EXAMPLES / "package-lock.json").read_text("utf-8")
    assert "://" not in text
    packages = json.loads(text)["packages"]
    assert all("integrity" in one for name, one in packages.items() if name)
