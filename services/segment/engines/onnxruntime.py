"""ONNX Runtime on processors: always available, and the reference for the other engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from services.errors import InvalidArgument
from services.segment.engines.check import GraphCheck
from services.segment.engines.engine import ONNXRUNTIME, Floats, Output
from services.segment.manifest import Manifest, ModelGraph

_ERRORS_ONLY = 3


class OnnxEngine:
    """One session of one model, in the number types of its graph."""

    name = ONNXRUNTIME

    def __init__(self, directory: Path, manifest: Manifest, *, threads: int = 1) -> None:
        """Open the graph and compute one probe.

        Raises InvalidArgument naming the file and what is wrong with it.
        """
        self.precision = manifest.graph.precision
        self._graph = manifest.graph
        self._check = GraphCheck(directory, manifest)
        self._session = open_session(
            self._check, ["CPUExecutionProvider"], session_options(threads)
        )
        self._check.output(self)

    @property
    def max_batch_size(self) -> int | None:
        """Most pictures in a run; None if there is no limit."""
        return None if self._graph.dynamic_batch else 1

    def run(self, batch: list[Floats]) -> list[Output]:
        """Compute pictures of (3, H, W) float32, all of one size."""
        self._check.size(batch[0])
        return run_plainly(self._session, self._graph, batch)


def run_plainly(
    session: ort.InferenceSession,
    graph: ModelGraph,
    batch: list[Floats],
    options: ort.RunOptions | None = None,
) -> list[Output]:
    """Compute pictures of one size, with memory that the session allocates as it needs."""
    logits, labels = session.run(
        [graph.logits, graph.labels],
        {graph.input: np.stack(batch) if len(batch) > 1 else batch[0][None]},
        options,
    )
    return [Output(*pair) for pair in zip(logits, labels, strict=True)]


def session_options(threads: int) -> ort.SessionOptions:
    """Return options for a session whose operators use `threads` threads."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Spinning between requests would take processors from decoding and from other services.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def open_session(
    check: GraphCheck, providers: list[Any], options: ort.SessionOptions
) -> ort.InferenceSession:
    """Open the graph and compare its names. Raises InvalidArgument naming the file."""
    try:
        session = ort.InferenceSession(str(check.path), options, providers=providers)
    except Exception as error:
        # ONNX Runtime's exceptions share no base class.
        raise InvalidArgument(
            str(check.path), f"ONNX Runtime can't open it: {error}; export it again"
        ) from error
    check.names(
        {tensor.name for tensor in session.get_inputs()},
        {tensor.name for tensor in session.get_outputs()},
    )
    return session
