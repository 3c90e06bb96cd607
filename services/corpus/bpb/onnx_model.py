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

from services.corpus.bpb.model_directory import ByteManifest
from services.corpus.bpb.windows import Window
from services.errors import PreconditionFailed

ENGINE = "onnxruntime-cpu"
_BATCH_TOKENS = 1024


class OnnxByteModel:
    """A LanguageModel whose tokens are the bytes of the text's WTF-8. Every text round-trips."""

    def __init__(self, manifest: ByteManifest) -> None:
        """Load the model.

        Raises PreconditionFailed when the file is not the one that its manifest describes.
        """
        data = manifest.model.read_bytes()
        if hashlib.sha256(data).hexdigest() != manifest.sha256:
            raise PreconditionFailed(
                f"{manifest.model.name} is not the file that lm.json describes: its SHA-256 "
                "differs; restore the two together"
            )
        options = onnxruntime.SessionOptions()
        # More threads gain little on a model this small, and lose much on a busy machine.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"]
        )
        self._prefix_token = manifest.prefix_token

    @property
    def prefix_token(self) -> int:
        """Id of the token that stands before a document."""
        return self._prefix_token

    def encode(self, text: str, *, special_tokens: bool = False) -> list[int]:  # noqa: ARG002
        """Return the bytes of the text; a lone surrogate gives its three (WTF-8)."""
        return list(text.encode("utf-8", "surrogatepass"))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of bytes that `encode` made."""
        return bytes(tokens).decode("utf-8", "surrogatepass")

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
