"""Triton's own client, unchanged, in an environment of its own, against a real server process."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.segment import tiny_model
from tests.segment.peers.environments import ROOT, environment, run, used

REQUIREMENTS = ("tritonclient[grpc]>=2.60", "pillow>=11")
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


FOR_CLASSIFIERS = """
import sys
import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

# What Triton's image_client.py wants of a model before it sends a picture, in its order.
client = triton.InferenceServerClient(sys.argv[1])
told = client.get_model_metadata("tiny")
assert (len(told.inputs), len(told.outputs)) == (2, 2)
assert len(client.get_model_config("tiny").config.input) == 2
kinds = {one.name: one.datatype for one in told.outputs}
assert kinds == {"labels": "UINT8", "logits": "FP32"}
(logits,) = [one for one in told.outputs if one.name == "logits"]
assert sum(size != 1 for size in logits.shape[1:]) > 1, "no vector"

# And what it asks for then.
entry = triton.InferInput("pixels", [1, 3, 64, 96], "FP32")
entry.set_data_from_numpy(np.zeros((1, 3, 64, 96), np.float32))
for name in kinds:
    try:
        client.infer("tiny", [entry], outputs=[triton.InferRequestedOutput(name, class_count=3)])
    except InferenceServerException as error:
        assert error.status() == "StatusCode.INVALID_ARGUMENT", error
        assert "classification" in error.message(), error
    else:
        raise AssertionError(name)
print("all of it")
"""

STREAMS_AND_MEMORY = """
import queue, sys, uuid
import numpy as np
import tritonclient.grpc as triton
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
pixels = np.random.default_rng(0).standard_normal((2, 3, 64, 96)).astype(np.float32)
plain = triton.InferInput("pixels", list(pixels.shape), "FP32")
plain.set_data_from_numpy(pixels)
labels = client.infer("tiny", [plain]).as_numpy("labels")

keys = [f"/assay-peer-{uuid.uuid4().hex}" for _ in range(2)]
given = shm.create_shared_memory_region("given", keys[0], pixels.nbytes)
shm.set_shared_memory_region(given, [pixels])
client.register_system_shared_memory("given", keys[0], pixels.nbytes)
found = shm.create_shared_memory_region("found", keys[1], labels.nbytes)
client.register_system_shared_memory("found", keys[1], labels.nbytes)
assert len(client.get_system_shared_memory_status(as_json=True)["regions"]) == 2
entry = triton.InferInput("pixels", list(pixels.shape), "FP32")
entry.set_shared_memory("given", pixels.nbytes)
wanted = triton.InferRequestedOutput("labels")
wanted.set_shared_memory("found", labels.nbytes)
output = client.infer("tiny", [entry], outputs=[wanted]).get_output("labels")
read = shm.get_contents_as_numpy(found, np.uint8, list(output.shape))
assert (read == labels).all()
client.unregister_system_shared_memory()
for region in (given, found):
    shm.destroy_shared_memory_region(region)

config = client.get_model_config("tiny", as_json=True)["config"]
assert config["max_batch_size"] == 64, config
counted = client.get_inference_statistics("tiny").model_stats[0]
assert counted.inference_count == 4, counted
parts = counted.inference_stats
spent = sum(getattr(parts, name).ns for name in
            ("queue", "compute_input", "compute_infer", "compute_output"))
assert abs(spent - parts.success.ns) <= 0.02 * parts.success.ns, parts
index = client.get_model_repository_index(as_json=True)["models"]
assert index == [{"name": "tiny", "version": "1", "state": "READY"}], index
for call in (client.load_model, client.unload_model):
    try:
        call("tiny")
    except InferenceServerException as error:
        assert "ASSAY_SEGMENT_MODELS" in error.message(), error
    else:
        raise AssertionError(call)

answers = queue.Queue()
client.start_stream(lambda result, error: answers.put((result, error)))
for number in range(5):
    client.async_stream_infer("tiny", [plain], request_id=str(number))
bad = triton.InferInput("image", [1], "BYTES")
bad.set_data_from_numpy(np.array([b"no image"], dtype=np.object_))
client.async_stream_infer("tiny", [bad])
results = [answers.get(timeout=60) for _ in range(6)]
client.stop_stream()
done = [result for result, error in results if error is None]
assert sorted(result.get_response().id for result in done) == list("01234")
assert all((result.as_numpy("labels") == labels).all() for result in done)
(problem,) = [error for _, error in results if error is not None]
assert "not an image" in str(problem), problem
client.close()
print("all of it")
"""

ASYNCHRONOUS = """
import asyncio, sys
import numpy as np
import tritonclient.grpc.aio as triton

async def main():
    client = triton.InferenceServerClient(sys.argv[1])
    assert await client.is_model_ready("tiny")
    pixels = np.zeros((1, 3, 64, 96), np.float16)
    entry = triton.InferInput("pixels", list(pixels.shape), "FP16")
    entry.set_data_from_numpy(pixels)
    results = await asyncio.gather(*(client.infer("tiny", [entry]) for _ in range(8)))
    assert {result.as_numpy("labels").shape for result in results} == {(1, 64, 96)}
    assert (await client.get_model_config("tiny")).config.name == "tiny"

    async def requests():
        for number in range(3):
            yield {"model_name": "tiny", "inputs": [entry], "request_id": str(number)}

    answers = [answer async for answer in client.stream_infer(requests())]
    assert sorted(result.get_response().id for result, _ in answers) == list("012")
    await client.close()

asyncio.run(main())
print("all of it")
"""


@pytest.fixture(scope="module")
def peer() -> Path:
    """The Python of an environment with Triton's client."""
    return environment("tritonclient", REQUIREMENTS, "tritonclient.grpc, PIL", always=True)


@pytest.mark.slow
def test_the_client_works_unchanged(peer: Path, tiny_address: str) -> None:
    assert used(peer, USE, tiny_address) == "all of it\n"


@pytest.mark.slow
def test_a_program_for_classifiers_is_refused_by_what_a_segmenter_is(
    peer: Path, tiny_address: str
) -> None:
    assert used(peer, FOR_CLASSIFIERS, tiny_address) == "all of it\n"


@pytest.mark.slow
def test_streams_shared_memory_and_statistics(
    peer: Path, start_service: Any, tmp_path: Path
) -> None:
    variables = {
        "ASSAY_SEGMENT_MODELS": f'["{tiny_model.write(tmp_path)}"]',
        "ASSAY_SEGMENT_SHARED_MEMORY": "true",
    }
    with start_service("segment", variables) as service:
        assert used(peer, STREAMS_AND_MEMORY, service.address) == "all of it\n"


@pytest.mark.slow
def test_the_asynchronous_client_works_unchanged(peer: Path, tiny_address: str) -> None:
    assert used(peer, ASYNCHRONOUS, tiny_address) == "all of it\n"


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
