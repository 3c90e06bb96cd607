"""Byte-level language models in ONNX, with the log-likelihoods computed in the graph.

A directory holds `lm.json` (the manifest) and the model that it names, with inputs `tokens` and
`targets` (int64 [batch, length]) and the output `log_likelihoods` (float32 [batch, length]): log p
of each target after the tokens up to its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime

from services.corpus.bpb.models.checkpoint.model_directory import ByteManifest
from services.corpus.bpb.models.tokenizers.byte_tokens import ByteTokenizer
from services.corpus.bpb.scored_windows import Window
from services.errors import SourceChanged

_BATCH_TOKENS = 1024


def read_model(manifest: ByteManifest) -> bytes:
    """Read the ONNX file.

    Raises SourceChanged when it is not the one that its manifest describes.
    """
    data = manifest.model.read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest.sha256:
        raise SourceChanged(
            f"{manifest.model.name} is not the file that lm.json describes: its SHA-256 "
            "differs; restore the two together"
        )
    return data


class OnnxByteModel(ByteTokenizer):
    """A LanguageModel on ONNX Runtime, in float32."""

    def __init__(self, manifest: ByteManifest, data: bytes) -> None:
        """Load the model `data`."""
        super().__init__(manifest.prefix_token)
        options = onnxruntime.SessionOptions()
        # More threads gain little on a model this small, and lose much on a busy machine.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"]
        )

    def batch_size(self, length: int) -> int:
        """Windows that together hold about 1,024 tokens: larger batches leave the caches."""
        return max(1, _BATCH_TOKENS // length)

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        """Return log p of every target, in nats."""
        tokens = np.array([window.inputs for window in windows], dtype=np.int64)
        targets = np.zeros_like(tokens)
        for row, window in zip(targets, windows, strict=True):
            row[-len(window.targets) :] = window.targets
        feed = {"tokens": tokens, "targets": targets}
        output: npt.NDArray[np.float32] = self._session.run(["log_likelihoods"], feed)[0]
        return [row[-len(window.targets) :] for row, window in zip(output, windows, strict=True)]
