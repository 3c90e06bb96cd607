"""KServe's client, pytriton's and Triton's load tester, unchanged, on their defaults."""

from __future__ import annotations

import base64
import json
import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.segment.api.test_segment import png
from tests.segment.peers.environments import environment, run, used

pytestmark = [pytest.mark.peers, pytest.mark.slow]

KSERVE = """
import asyncio, io, sys
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from PIL import Image

async def main():
    client = InferenceGRPCClient(url=sys.argv[1])
    assert await client.is_server_live() and await client.is_server_ready()
    assert await client.is_model_ready("tiny")
    file = io.BytesIO()
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(file, "PNG")
    drawn = np.random.default_rng(0).standard_normal((2, 3, 64, 96))
    for name, datatype, values, shape in (
        ("pixels", "FP32", drawn.astype(np.float32), (2, 64, 96)),
        ("pixels", "FP16", drawn.astype(np.float16), (2, 64, 96)),
        ("pixels", "UINT8", np.zeros((1, 40, 50, 3), np.uint8), (1, 40, 50)),
        ("image", "BYTES", np.array([file.getvalue()], dtype=np.object_), (1, 40, 50)),
    ):
        entry = InferInput(name, list(values.shape), datatype)
        entry.set_data_from_numpy(values)
        reply = await client.infer(InferRequest(model_name="tiny", infer_inputs=[entry]))
        assert reply.outputs[0].name == "labels"
        assert reply.outputs[0].as_numpy().shape == shape, datatype
    await client.close()

asyncio.run(main())
print("all of it")
"""

PYTRITON = """
import io, sys
import numpy as np
from PIL import Image
from pytriton.client import ModelClient

pixels = np.random.default_rng(0).standard_normal((2, 3, 64, 96)).astype(np.float32)
with ModelClient(f"grpc://{sys.argv[1]}", "tiny") as client:
    assert client.model_config.max_batch_size == 64
    batch = client.infer_batch(pixels=pixels)
    assert batch["labels"].shape == (2, 64, 96) and batch["logits"].shape == (2, 16, 24, 7)
    sample = client.infer_sample(pixels=pixels[0])
    assert (sample["labels"] == batch["labels"][0]).all()
    file = io.BytesIO()
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(file, "PNG")
    image = np.array([file.getvalue()], dtype=np.object_)
    assert client.infer_sample(image=image)["labels"].shape == (40, 50)
print("all of it")
"""


def test_kserves_client(tiny_address: str) -> None:
    python = environment("kserve", ("kserve", "pillow>=11"), "kserve")
    assert used(python, KSERVE, tiny_address).endswith("all of it\n")


def test_pytritons_client(tiny_address: str) -> None:
    python = environment("pytriton", ("nvidia-pytriton", "pillow>=11"), "pytriton.client, PIL")
    assert used(python, PYTRITON, tiny_address).endswith("all of it\n")


@pytest.fixture(scope="module")
def load_tester() -> tuple[Path, str]:
    """Triton's perf_analyzer, and where its libraries are; skips where it does not start."""
    python = environment(
        "perf_analyzer",
        ("tritonclient[grpc]==2.41.1", "nvidia-cuda-runtime-cu12", "setuptools<81"),
        "tritonclient.grpc",
    )
    program = python.with_name("perf_analyzer")
    folders = [str(path.parent) for path in python.parents[1].rglob("libcudart.so.12")]
    runtime = ":".join([*folders, os.environ.get("LD_LIBRARY_PATH", "")])
    started = run(program, "--help", LD_LIBRARY_PATH=runtime)
    if "loading shared libraries" in started.stderr:
        pytest.skip(f"perf_analyzer does not start here: {started.stderr.strip()}")
    return program, runtime


@pytest.mark.parametrize("kind", ["pixels", "image", "stream"])
def test_tritons_load_tester(
    tiny_address: str, tmp_path: Path, load_tester: tuple[Path, str], kind: str
) -> None:
    """Of several concurrencies; its figures of the server add up to the request's."""
    program, runtime = load_tester
    pixels = np.random.default_rng(0).standard_normal((3, 64, 96)).round(3)
    step = {"pixels": {"content": pixels.ravel().tolist(), "shape": [3, 64, 96]}}
    if kind == "image":
        file = png()
        element = struct.pack("<I", len(file)) + file
        step = {"image": {"b64": base64.b64encode(element).decode()}}
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"data": [step]}))
    options = ["--streaming", "--async"] if kind == "stream" else []
    ended = run(
        *(program, "-m", "tiny", "-u", tiny_address, "-i", "grpc", "--input-data", data),
        *("--concurrency-range", "1:5:2", "-p", "1000", "-r", "3", "-s", "999", *options),
        LD_LIBRARY_PATH=runtime,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(re.findall(r"^Concurrency: \d, throughput: [1-9]", ended.stdout, re.MULTILINE)) == 3
    server = re.findall(
        r"Avg request latency: (\d+) usec \(overhead (\d+) usec \+ queue (\d+) usec \+ compute "
        r"input (\d+) usec \+ compute infer (\d+) usec \+ compute output (\d+) usec\)",
        ended.stdout,
    )
    assert len(server) == 3
    for total, overhead, *parts in (tuple(map(int, found)) for found in server):
        assert overhead <= max(4, 0.02 * total)
        assert all(parts)
