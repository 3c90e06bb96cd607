"""Compares an engine with ONNX Runtime on the processor when it is opened, on the same graph.

Measurements at export say nothing about a GPU: another library computes there, and a graph whose
input was bound before it was filled would give every picture the labels of the first. So different
pictures are computed one after the other, like requests, and each is compared.
"""

from __future__ import annotations

import time
from pathlib import Path

import structlog

from services.common.percent import percent
from services.errors import EngineUnavailable
from services.segment.engines.engine import Engine
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.engines.parity import engine_probes, gate, measure_parity, probe_inputs
from services.segment.manifest import Manifest

_log = structlog.get_logger(__name__)


def require_agreement(engine: Engine, directory: Path, manifest: Manifest, *, threads: int) -> None:
    """Raise EngineUnavailable with the figures if the engine is not near the processor's results.

    Takes seconds. A graph in bf16 is not compared: ONNX Runtime cannot compute it on processors.
    """
    if manifest.graph.precision == "bf16":
        _log.warning("a graph in bf16 is not compared on this device", model=manifest.name)
        return
    start = time.monotonic()
    inputs = probe_inputs(manifest.preprocessing, any_size=manifest.graph.dynamic_size)
    if not manifest.graph.dynamic_batch:
        inputs = [one[None] for batch in inputs for one in batch]
    reference = OnnxEngine(directory, manifest, threads=threads)
    probes = engine_probes(reference, inputs)
    del reference
    needed = gate(manifest.graph.precision, manifest.weights)
    found = measure_parity(engine, probes, needed)
    _log.info(
        "compared with the processor",
        model=manifest.name,
        engine=engine.name,
        label_agreement=found.label_agreement,
        max_abs_difference=found.max_abs_difference,
        probes=found.probes,
        passed=found.passed,
        seconds=round(time.monotonic() - start, 1),
    )
    if not found.passed:
        raise EngineUnavailable(
            f"{manifest.name} is not served by {engine.name}: on the pictures that come with the "
            f"program {percent(found.label_agreement, 3)} of its labels agree with the "
            "processor's (at "
            f"least {percent(needed.min_agreement, 1)} required), and logits differ by up to "
            f"{found.max_abs_difference:.3g}; check NVIDIA_TF32_OVERRIDE and the versions of CUDA "
            "and cuDNN, or use the device cpu"
        )
