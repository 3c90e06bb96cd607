"""Engine and precision of a language model: as a caller requests them, and as used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

OPENVINO = "openvino-cpu"
TORCH = "torch-cpu"
CUDA = "torch-cuda"
ONNXRUNTIME = "onnxruntime-cpu"
ENGINES = (OPENVINO, TORCH, CUDA, ONNXRUNTIME)


class Precision(StrEnum):
    """What matrices are multiplied in. Likelihoods are always computed and summed in more."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


@dataclass(frozen=True)
class Compute:
    """An engine by name, or "" for the fastest one that is installed and agrees with torch."""

    engine: str = ""
    precision: Precision = Precision.FP32


FASTEST = Compute()


@dataclass(frozen=True)
class Shift:
    """How far an engine's log-likelihoods are from the reference's float32, in nats a token.

    Over `tokens` tokens of the text that every model is tried on: `mean` is signed (positive when
    the engine finds tokens likelier), `largest` the largest of one token.
    """

    tokens: int = 0
    mean: float = 0.0
    largest: float = 0.0
