"""Writes the reference language model as ONNX, after checking it against torch."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from services.corpus.bpb.reference.model import BOS, ByteTransformer, LogLikelihoods

MAX_LENGTH = 2048
_SIZE_LIMIT = 4 * 2**20
_TOLERANCE = 1e-3  # of one log-likelihood in nats; typically 1e-5


def export(model: ByteTransformer, directory: Path, training: dict[str, Any]) -> Path:
    """Write model.onnx and lm.json into `directory` and return the model's path.

    Raises ValueError, and writes nothing, when ONNX Runtime's log-likelihoods differ from torch's
    by more than a thousandth of a nat, or the file would be over 4 MiB.
    """
    wrapped = LogLikelihoods(model).eval()
    data = _to_onnx(wrapped)
    if len(data) > _SIZE_LIMIT:
        raise ValueError(f"the model is {len(data)} bytes, over the limit of {_SIZE_LIMIT}")
    difference = _largest_difference(wrapped, data)
    if not difference <= _TOLERANCE:
        raise ValueError(f"ONNX Runtime differs from torch by {difference} nats")
    manifest = {
        "format": "assay-byte-lm/1",
        "name": "byte-reference",
        "version": "1",
        "architecture": "byte-transformer",
        "max_length": MAX_LENGTH,
        "prefix_token": BOS,
        "parameters": sum(p.numel() for p in model.parameters()),
        "license": {
            "id": "Apache-2.0",
            "name": "Apache License 2.0",
            "url": "https://www.apache.org/licenses/LICENSE-2.0",
        },
        "reference": True,
        "model": "model.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "training": {**training, "torch": torch.__version__, "max_difference_nats": difference},
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "model.onnx"
    path.write_bytes(data)
    (directory / "lm.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return path


def _to_onnx(wrapped: LogLikelihoods) -> bytes:
    # Two tensors: one given twice would be exported as one input.
    tokens, targets = torch.randint(BOS, (2, 256)), torch.randint(BOS, (2, 256))
    batch, length = torch.export.Dim("batch", min=1), torch.export.Dim("length", min=1)
    program = torch.onnx.export(
        wrapped,
        (tokens, targets),
        dynamo=True,
        input_names=["tokens", "targets"],
        output_names=["log_likelihoods"],
        dynamic_shapes={"tokens": {0: batch, 1: length}, "targets": {0: batch, 1: length}},
        verbose=False,
    )
    if program is None:
        raise ValueError("torch exported nothing")
    buffer = io.BytesIO()
    proto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]  # stack traces of the exporting machine
        node.doc_string = ""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    onnx.save(proto, buffer)
    return buffer.getvalue()


def _largest_difference(wrapped: LogLikelihoods, data: bytes) -> float:
    """Compare on shapes other than the one that was traced, with text-like and random tokens."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    source = Path(__file__).read_bytes()
    worst = 0.0
    generator = torch.Generator().manual_seed(1)
    for batch, length in ((1, 1), (1, 127), (3, 128), (1, 300), (1, MAX_LENGTH)):
        text = (source * 2)[: batch * length + 1]
        for values in (
            torch.frombuffer(bytearray(text), dtype=torch.uint8).long(),
            torch.randint(BOS, (batch * length + 1,), generator=generator),
        ):
            tokens, targets = values[:-1].view(batch, length), values[1:].view(batch, length)
            tokens = tokens.clone()
            tokens[:, 0] = BOS
            with torch.no_grad():
                expected = wrapped(tokens, targets).numpy()
            feed = {"tokens": tokens.numpy(), "targets": targets.numpy()}
            actual = session.run(None, feed)[0]
            worst = max(worst, float(np.abs(actual - expected).max()))
    return worst
