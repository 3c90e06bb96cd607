"""Language models on OpenVINO: the quickest way on a CPU.

Windows are scored one at a time, whatever their lengths, so a document's figure does not depend
on its neighbours and nothing is padded. Log-likelihoods are computed in the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import openvino

from services.corpus.bpb.models.checkpoint.model_directory import ByteManifest
from services.corpus.bpb.models.compute import Precision
from services.corpus.bpb.models.language_model import LanguageModel
from services.corpus.bpb.models.tokenizers.byte_tokens import ByteTokenizer
from services.corpus.bpb.scored_windows import Window
from services.errors import EngineUnavailable

if TYPE_CHECKING:  # it needs torch, which byte models run without
    from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import HuggingFaceTokenizer

# Rows that meet the vocabulary at once: their logits fit into the caches, and the matrices are
# still large enough to be multiplied at full speed.
_ROWS = 128
# The lengths that the byte-level model works in: it fills its input up to the next one, and what
# OpenVINO makes of that step takes no other. What follows a token does not change its likelihood.
_BLOCK = 128
# Attention takes 3 bytes for each pair of tokens here, and is slower than torch's from about 15,000
# tokens on; torch's memory grows with the window alone.
LONGEST = 8192
_HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.FP16: "f16"}
_CAPABILITIES = {Precision.FP32: "FP32", Precision.BF16: "BF16", Precision.FP16: "FP16"}


def _compile(model: openvino.Model, precision: Precision, threads: int) -> Any:
    core = openvino.Core()
    if _CAPABILITIES[precision] not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EngineUnavailable(
            f"OpenVINO does not compute in {precision} on this processor; use fp32"
        )
    options = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        # Processes that share a machine would all be pinned to its first processors.
        "ENABLE_CPU_PINNING": False,
    }
    return core.compile_model(model, "CPU", options).create_infer_request()


class OpenVinoModel:
    """A LanguageModel of Hugging Face's, converted: graphs as `openvino_graphs.convert` makes.

    Windows longer than LONGEST are scored by `longer`, the same model on torch.
    """

    def __init__(
        self,
        tokenizer: HuggingFaceTokenizer,
        vocabulary: int,
        graphs: tuple[openvino.Model, openvino.Model],
        *,
        precision: Precision,
        threads: int,
        longer: LanguageModel | None = None,
    ) -> None:
        """Compile. Raises EngineUnavailable when the processor has no such precision."""
        self.prefix_token, self.vocabulary = tokenizer.prefix_token, vocabulary
        self._longer = longer
        self.encode, self.decode = tokenizer.encode, tokenizer.decode
        self.token_starts = tokenizer.token_starts
        self._body, self._head = (_compile(graph, precision, threads) for graph in graphs)

    def batch_size(self, length: int) -> int:  # noqa: ARG002  the protocol's
        """Return 1: batches of windows gain nothing on a CPU."""
        return 1

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        """Return log p of every target, in nats."""
        if self._longer is not None and len(windows[0].inputs) > LONGEST:
            return self._longer.log_likelihoods(windows)
        return [self._window(window) for window in windows]

    def _window(self, window: Window) -> npt.NDArray[np.float32]:
        tokens = np.array([window.inputs], np.int64)
        targets = np.array(window.targets, np.int64)
        # The arrays belong to the requests, which are not used again before these are.
        hidden = self._body.infer([tokens], share_inputs=True, share_outputs=True)[0][0]
        scored = hidden[len(hidden) - len(targets) :]
        result = np.empty(len(targets), np.float32)
        for start in range(0, len(targets), _ROWS):
            rows = slice(start, start + _ROWS)
            feed = [scored[rows], targets[rows]]
            result[rows] = self._head.infer(feed, share_inputs=True, share_outputs=True)[0]
        return result


class OpenVinoByteModel(ByteTokenizer):
    """A byte-level LanguageModel in ONNX, on OpenVINO."""

    def __init__(
        self, manifest: ByteManifest, data: bytes, precision: Precision, threads: int
    ) -> None:
        """Compile the ONNX model `data`.

        Raises EngineUnavailable when the processor has no such precision.
        """
        super().__init__(manifest.prefix_token)
        self._request = _compile(openvino.Core().read_model(data), precision, threads)

    def batch_size(self, length: int) -> int:  # noqa: ARG002  the protocol's
        """Return 1: batches of windows gain nothing on a CPU."""
        return 1

    def log_likelihoods(self, windows: Sequence[Window]) -> list[npt.NDArray[np.float32]]:
        """Return log p of every target, in nats."""
        return [self._window(window) for window in windows]

    def _window(self, window: Window) -> npt.NDArray[np.float32]:
        length, scored = len(window.inputs), len(window.targets)
        feed = np.zeros((2, 1, -(-length // _BLOCK) * _BLOCK), np.int64)
        feed[0, 0, :length] = window.inputs
        feed[1, 0, length - scored : length] = window.targets
        output = self._request.infer({"tokens": feed[0], "targets": feed[1]})[0]
        result: npt.NDArray[np.float32] = output[0, length - scored : length]
        return result
