"""The time of each node of a graph, by the engines' own profilers. Adapters of those.

Profiling slows a run down: compare its times only with each other.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from services.segment.benchmarking.parts import Events
from services.segment.engines.onnxruntime import session_options

_KERNEL = "_kernel_time"
# Unprofiled runs first: they allocate memory and choose kernels.
_WARM_UP = 1


def profile_onnxruntime(
    model: Path, tensor: NDArray[np.float32], *, threads: int, runs: int
) -> list[Events]:
    """Compute a batch (N, 3, H, W) `runs` times on the CPU; return the kernels of each run.

    On other devices, ONNX Runtime would time the launches instead of the computation.
    """
    options = session_options(threads)
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        for _ in range(_WARM_UP + runs):
            session.run(None, {session.get_inputs()[0].name: tensor})
        events = json.loads(Path(session.end_profiling()).read_text("utf-8"))
    return _runs(events)[_WARM_UP:]


def profile_openvino(compiled: Any, tensor: NDArray[np.float32], *, runs: int) -> list[Events]:
    """Do the same with a compiled model that has one input and was compiled with PERF_COUNT."""
    request = compiled.create_infer_request()
    found: list[Events] = []
    for _ in range(_WARM_UP + runs):
        request.infer({0: tensor})
        found.append(
            [
                (info.node_name, info.real_time.total_seconds())
                for info in request.profiling_info
                if info.status == info.Status.EXECUTED
            ]
        )
    return found[_WARM_UP:]


def _runs(events: Sequence[dict[str, Any]]) -> list[Events]:
    """Split a profile into runs: each run's entry follows its kernels."""
    runs: list[Events] = []
    kernels: list[tuple[str, float]] = []
    for event in events:
        name = event["name"]
        if event["cat"] == "Node" and name.endswith(_KERNEL):
            kernels.append((name.removesuffix(_KERNEL), event["dur"] / 1e6))
        elif name == "model_run":
            runs.append(kernels)
            kernels = []
    return runs
