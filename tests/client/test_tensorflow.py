"""The adapter for tf.data, with TensorFlow in an environment of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from assay_rpc.corpus import stream
from assay_rpc.corpus.tokens import TokenStream

from tests.client.conftest import Server
from tests.segment.peers.environments import ROOT, environment, run

pytestmark = pytest.mark.peers

PACKAGES = ("tensorflow-cpu>=2.21", "grpcio", "googleapis-common-protos", "zstandard")
PROGRAM = """
import json, sys
import tensorflow as tf
from assay_rpc.corpus.tensorflow import load, load_tokens

address = sys.argv[1]
options = {"seed": 5, "rank": 1, "world_size": 2}

def ids(rows):
    return [row["id"].numpy().decode() for row in rows]

# Batched and read ahead, as a trainer does.
ahead = load(address, "c", with_state=True, **options).prefetch(8)
taken, state = [], None
for row in ahead.take(7):
    taken.append(row["id"].numpy().decode())
    state = row["state"].numpy()
tokens = {"tokenizer": "byte-reference", "length": 64, "global_batch": 4, "seed": 3}
whole = load(address, "c", **options)
first = next(iter(whole))
batch = next(iter(whole.batch(3)))
try:
    list(load(address, "nobody"))
    error = ""
except tf.errors.OpError as raised:
    error = raised.message
try:
    load(address, "c", sede=5)
    wrong = ""
except TypeError as raised:
    wrong = str(raised)
print(json.dumps({
    "taken": taken,
    "rest": ids(load(address, "c", state=state, **options)),
    "whole": ids(whole),
    "again": ids(whole),
    "text": first["text"].numpy().decode(),
    "meta": json.loads(first["meta"].numpy() or b"{}"),
    "line": int(first["line"]),
    "batch": batch["text"].shape.as_list(),
    "tokens": [row["ids"].numpy().tolist() for row in load_tokens(address, "c", **tokens)],
    "later": [row["ids"].numpy().tolist()
              for row in load_tokens(address, "c", start_step=2, **tokens)],
    "error": error,
    "wrong": wrong,
}))
"""


@pytest.fixture(scope="module")
def tensorflow() -> Path:
    return environment("tensorflow", PACKAGES, "tensorflow, grpc, google.rpc.status_pb2")


def test_a_dataset_of_tensorflow(tensorflow: Path, server: Server) -> None:
    ended = run(
        *(tensorflow, "-W", "ignore", "-c", PROGRAM, server.address),
        PYTHONPATH=str(ROOT / "protos"),
        TF_CPP_MIN_LOG_LEVEL="3",
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    with stream(server.address, "c", seed=5, rank=1, world_size=2) as documents:
        wanted = list(documents)
    names = [document.id for document in wanted]
    assert found["whole"] == found["again"] == names
    assert found["taken"] + found["rest"] == names, "behind a row, whatever was read ahead"
    assert (found["text"], found["line"]) == (wanted[0].text, wanted[0].line)
    assert found["meta"] == (wanted[0].meta or {})
    assert found["batch"] == [3]
    with TokenStream(
        server.address, "c", tokenizer="byte-reference", length=64, global_batch=4, seed=3
    ) as sequences:
        ids = [sequence.numpy().tolist() for sequence in sequences]
    assert found["tokens"] == ids
    assert found["later"] == ids[8:]
    assert "nobody" in found["error"]
    assert "sede" in found["wrong"]
