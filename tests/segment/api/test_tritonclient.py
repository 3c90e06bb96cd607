"""Triton's own client, unchanged, in an environment of its own, against a real server process."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.segment import tiny_model

ROOT = Path(__file__).parents[3]
# Kept from one session to the next; git ignores the folder.
PEER = ROOT / ".venv-peers" / "tritonclient"
REQUIREMENTS = ("tritonclient[grpc]>=2.60", "pillow>=11")
SECONDS = 300
CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)

USE = """
import io, queue, sys
import numpy as np
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live()
assert client.is_server_ready()
assert client.is_model_ready("tiny")
assert client.is_model_ready("tiny", "1")
assert not client.is_model_ready("absent")
told = client.get_server_metadata()
assert told.name == "assay" and told.version
told = client.get_model_metadata("tiny", as_json=True)
assert told["versions"] == ["1"], told
assert [item["name"] for item in told["inputs"]] == ["image", "pixels"]
assert [item["name"] for item in told["outputs"]] == ["labels", "logits"]

pixels = np.random.default_rng(0).standard_normal((2, 3, 64, 96)).astype(np.float32)
entry = triton.InferInput("pixels", list(pixels.shape), "FP32")
entry.set_data_from_numpy(pixels)
found = client.infer("tiny", [entry], request_id="7", priority=1, timeout=60_000_000)
assert found.get_response().id == "7"
labels = found.as_numpy("labels")
assert labels.shape == (2, 64, 96) and labels.dtype == np.uint8
assert found.as_numpy("logits") is None
wanted = [triton.InferRequestedOutput("logits"), triton.InferRequestedOutput("labels")]
found = client.infer("tiny", [entry], outputs=wanted)
assert found.as_numpy("logits").shape == (2, 16, 24, 7)
assert (found.as_numpy("labels") == labels).all()

file = io.BytesIO()
Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(file, "PNG")
image = triton.InferInput("image", [1], "BYTES")
image.set_data_from_numpy(np.array([file.getvalue()], dtype=np.object_))
assert client.infer("tiny", [image]).as_numpy("labels").shape == (1, 40, 50)

answers = queue.Queue()
client.async_infer("tiny", [entry], lambda result, error: answers.put((result, error)))
result, error = answers.get(timeout=60)
assert error is None and (result.as_numpy("labels") == labels).all()

def refused(call, code, words):
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == f"StatusCode.{code}", error
        assert words in error.message(), error
    else:
        raise AssertionError(words)

refused(lambda: client.infer("absent", [entry]), "NOT_FOUND", "absent")
wrong = triton.InferInput("pixels", [1, 3, 32, 32], "FP32")
wrong.set_data_from_numpy(np.zeros((1, 3, 32, 32), np.float32))
refused(lambda: client.infer("tiny", [wrong]), "INVALID_ARGUMENT", "64, 96")
refused(lambda: client.infer("tiny", [entry, image]), "INVALID_ARGUMENT", "give one")
refused(lambda: client.infer("tiny", [entry], sequence_id=1), "INVALID_ARGUMENT", "sequence")
print("all of it")
"""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


@pytest.fixture(scope="module")
def peer() -> Path:
    """The Python of an environment with Triton's client; skips where no index is reached."""
    python = PEER / "bin" / "python"
    if not python.is_file():
        venv.create(PEER, with_pip=True)
    there = run(python, "-c", "import tritonclient.grpc, PIL")
    if there.returncode != 0:
        quiet = ("install", "--quiet", "--retries", "1", "--timeout", "20")
        installed = run(python, "-m", "pip", *quiet, *REQUIREMENTS)
        if installed.returncode != 0:
            pytest.skip(f"pip installs no client: {installed.stderr.strip().splitlines()[-1]}")
    return python


@pytest.fixture(scope="module")
def tiny_address(start_service: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tiny_model.write(tmp_path_factory.mktemp("tiny"))
    with start_service("segment", {"ASSAY_SEGMENT_MODELS": f'["{directory}"]'}) as service:
        yield service.address


def used(python: Path, program: str, *arguments: str) -> str:
    """What a program prints in the client's environment, where nothing of ours is."""
    ended = run(python, "-I", "-c", program, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_the_client_works_unchanged(peer: Path, tiny_address: str) -> None:
    assert used(peer, USE, tiny_address) == "all of it\n"


@pytest.mark.slow
def test_the_documents_example_does_what_it_says(peer: Path, start_service: Any) -> None:
    (code,) = CODE.findall((ROOT / "docs" / "open-inference.md").read_text("utf-8"))
    says = re.findall(r"print\(.*\)  # (.*)", code)
    with start_service("segment") as service:
        printed = used(peer, code.replace("localhost:50051", service.address))
    assert printed.splitlines() == says


def test_this_environment_has_no_triton() -> None:
    """The two protobufs do not mix: nothing here may come to need the client."""
    assert run(sys.executable, "-c", "import tritonclient").returncode != 0
