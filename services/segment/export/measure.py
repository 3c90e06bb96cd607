"""Compares an exported graph with its source model, on every available engine and number type."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from transformers import SegformerForSemanticSegmentation

from services.common.percent import percent
from services.errors import InternalError, InvalidArgument, Unavailable
from services.segment.engines.engine import Engine, Floats
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.engines.parity import Gate, Probe, gate, measure_parity
from services.segment.manifest import Manifest, ModelParity, Precision


def require_engine(precision: Precision) -> None:
    """Raise Unavailable if no engine can run a graph in that number type.

    ONNX Runtime runs fp32 and fp16 on any processor. A graph in bf16 needs OpenVINO.
    """
    if precision == "bf16" and not find_spec("openvino"):
        raise Unavailable(
            "a graph in bf16 is checked with openvino, which is not installed: "
            "pip install 'assay-services[openvino]'"
        )


def measured(
    directory: Path, manifest: Manifest, probes: Sequence[Probe]
) -> tuple[ModelParity, ...]:
    """Return how far each engine is from the source model; the first decides.

    Raises InternalError unless the first passes: otherwise the graph is not the model.
    """
    parities: list[ModelParity] = []
    for engine in _engines(directory, manifest):
        needed = gate(engine.precision, manifest.weights)
        parities.append(measure_parity(engine, probes, needed))
        if len(parities) == 1:
            require_passed(parities[0], needed)
        del engine  # before the next one is opened
    return tuple(parities)


def _engines(directory: Path, manifest: Manifest) -> Iterator[Engine]:
    """Yield engines one at a time, so that only one model is in memory."""
    threads = len(os.sched_getaffinity(0))
    own = manifest.graph.precision
    if own != "bf16":
        yield OnnxEngine(directory, manifest, threads=threads)
    if not find_spec("openvino"):
        return
    # OpenVINO comes with an extra.
    from services.segment.engines.openvino import OpenVinoEngine, capabilities  # noqa: PLC0415

    precisions: tuple[Precision, ...] = ("fp32", "bf16") if own == "fp32" else (own,)
    for precision in precisions:
        if own == "bf16" or precision.upper() in capabilities():
            yield OpenVinoEngine(directory, manifest, precision=precision, threads=threads)


def source_logits(
    model: SegformerForSemanticSegmentation, pixels: Floats, background: float | None = None
) -> Floats:
    """Return the unmodified model's logits as (N, h, w, C), after that of `background` if given.

    Raises InvalidArgument if any is not finite: no export could agree with it.
    """
    with torch.inference_mode():
        logits: Floats = model(torch.from_numpy(pixels)).logits.permute(0, 2, 3, 1).numpy()
    if background is not None:
        logits = np.concatenate([np.full_like(logits, background), logits], axis=-1)
    if not np.isfinite(logits).all():
        raise InvalidArgument("checkpoint", "its logits are not all finite numbers")
    return logits


def probed(
    model: SegformerForSemanticSegmentation,
    inputs: Sequence[Floats],
    background: float | None = None,
) -> list[Probe]:
    """Return the probes: the unmodified model's logits for each input. Raises InvalidArgument."""
    return [Probe(pixels, source_logits(model, pixels, background)) for pixels in inputs]


def require_passed(parity: ModelParity, gate: Gate) -> None:
    """Raise InternalError with the figures if they do not pass."""
    if not parity.passed:
        raise InternalError(
            "the exported graph is not the source model: logits differ by up to "
            f"{parity.max_abs_difference:.3g} ({percent(gate.max_difference, 1)} of the largest "
            "allowed), "
            f"{percent(parity.label_agreement, 4)} of labels agree "
            f"({percent(gate.min_agreement, 2)} needed, in "
            f"{parity.precision}); nothing was written"
        )
