"""The interface of every engine: its names, outputs and methods. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from services.segment.manifest import Precision, Resampler

if TYPE_CHECKING:
    from PIL import Image

OPENVINO = "openvino-cpu"
ONNXRUNTIME = "onnxruntime-cpu"
CUDA = "onnxruntime-cuda"
TENSORRT = "onnxruntime-tensorrt"
TORCH = "torch-cpu"
"""Serves nothing: it is timed next to the others, and runs a model as Transformers does."""

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class GpuOptions:
    """How a model is opened on GPU number `number`.

    A session takes up to `memory_bytes` there; 0 means no limit. With `graphs`, batches are
    captured as CUDA graphs. TensorRT keeps its engines in the folder `cache`; "" means nowhere.
    """

    number: int = 0
    memory_bytes: int = 0
    graphs: bool = False
    cache: str = ""


class Output:
    """Output for one picture: `logits` (h, w, C) float32, and their arg max `labels` (h, w).

    The arrays belong to the holder: no later run writes into them.
    """

    def __init__(self, logits: Floats, labels: Labels) -> None:
        self._logits = logits
        self._labels = labels

    @property
    def logits(self) -> Floats:
        """Logits (h, w, C) float32."""
        return self._logits

    @property
    def labels(self) -> Labels:
        """Labels (h, w)."""
        return self._labels

    def upsampled(self, height: int, width: int) -> Labels | None:
        """Return the label map of another size if it is made where the logits are, else None."""
        del height, width
        return None


class Engine(Protocol):
    """One model, ready to run. Only one thread at a time may call `run`."""

    name: str
    precision: Precision

    @property
    def max_batch_size(self) -> int | None:
        """Most pictures in a run; None if there is no limit."""

    def run(self, batch: list[Floats]) -> Sequence[Output]:
        """Compute pictures of (3, H, W) float32, all of one size: the manifest's or another.

        Raises InvalidArgument for a size that the graph does not accept.
        """


@runtime_checkable
class CompilesSizes(Protocol):
    """An engine that compiles something before it computes pictures of another size."""

    def compile_for(self, shape: tuple[int, ...]) -> None:
        """Compile what a picture of (3, H, W) needs, once, so that `run` need not.

        May be called from any thread, during `run`. Raises nothing: `run` reports errors.
        """


class OnDevice(Protocol):
    """A picture's input in the memory of the device that computes it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (3, H, W)."""


@runtime_checkable
class PreparesPictures(Protocol):
    """An engine that makes inputs from pictures on the device where it computes them."""

    def prepared(self, picture: Image.Image, resampler: Resampler | None = None) -> OnDevice | None:
        """Return an RGB picture's input, of the model's size, for this engine's `run`.

        Returns None if the processor must make it: for another resampler, or a device that cannot.
        May be called from any thread, during `run`. Raises nothing.
        """
