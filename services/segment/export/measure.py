"""Measures an exported graph on every engine that is at hand, in every number type it serves in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from services.errors import Unavailable
from services.segment.engines.engine import Engine
from services.segment.engines.gates import gate
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.engines.parity import Probe, measure_parity
from services.segment.export.parity import require_passed
from services.segment.manifest import Manifest, ModelParity, Precision


def require_judge(precision: Precision) -> None:
    """Raise Unavailable where no engine can run a graph in that number type.

    ONNX Runtime runs fp32 and fp16 on any processor. A graph in bf16 takes OpenVINO.
    """
    if precision == "bf16" and not find_spec("openvino"):
        raise Unavailable(
            "a graph in bf16 is checked with openvino, which is not installed: "
            "pip install 'assay[openvino]'"
        )


def measured(
    directory: Path, manifest: Manifest, probes: Sequence[Probe]
) -> tuple[ModelParity, ...]:
    """Return how far each engine is from the source model; the first decides.

    Raises InternalError unless the first passes: the graph isn't the model, then.
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
    """Yield engines one at a time, so that one model at a time is in memory."""
    threads = len(os.sched_getaffinity(0))
    own = manifest.graph.precision
    if own != "bf16":
        yield OnnxEngine(directory, manifest, threads=threads)
    if not find_spec("openvino"):
        return
    # OpenVINO is in an extra.
    from services.segment.engines.openvino import OpenVinoEngine, capabilities  # noqa: PLC0415

    precisions: tuple[Precision, ...] = ("fp32", "bf16") if own == "fp32" else (own,)
    for precision in precisions:
        if own == "bf16" or precision.upper() in capabilities():
            yield OpenVinoEngine(directory, manifest, precision=precision, threads=threads)
