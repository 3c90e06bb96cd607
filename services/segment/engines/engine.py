"""What every engine is: its names, what it gives, and what it does. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.segment.manifest import Precision

OPENVINO = "openvino-cpu"
ONNXRUNTIME = "onnxruntime-cpu"
CUDA = "onnxruntime-cuda"
TORCH = "torch-cpu"
"""Serves nothing: it is timed beside the others, as Transformers runs a model."""

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Output:
    """Of one picture: `logits` (h, w, C) float32, and their arg max `labels` (h, w).

    The arrays are the holder's: no later run writes into them.
    """

    logits: Floats
    labels: Labels


class Engine(Protocol):
    """One model, ready to run. `run` may be called from one thread at a time."""

    name: str
    precision: Precision

    @property
    def max_batch_size(self) -> int | None:
        """Most pictures a run, None if it takes any number."""

    def run(self, batch: list[Floats]) -> list[Output]:
        """Compute pictures of (3, H, W) float32, all of one size: the manifest's or another.

        Raises InvalidArgument for a size that the graph does not take.
        """
