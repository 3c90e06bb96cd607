"""OpenVINO alone on an exported graph, as anyone would run it on a CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

_HINTS = {"fp32": "f32", "bf16": "bf16"}


class Static:
    """A graph compiled for one shape of its input, all processors working on one run."""

    def __init__(self, onnx: Path, shape: tuple[int, ...], precision: str) -> None:
        model = openvino.Core().read_model(onnx)
        model.reshape(list(shape))
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            # Waiting servers would be pinned to the same processors.
            "ENABLE_CPU_PINNING": False,
        }
        self._request = openvino.compile_model(model, "CPU", options).create_infer_request()

    def run(self, pixels: NDArray[np.float32]) -> list[NDArray[np.generic]]:
        """Return the outputs; they are overwritten by the next run."""
        outputs = self._request.infer([pixels], share_inputs=True, share_outputs=True)
        return list(outputs.values())
