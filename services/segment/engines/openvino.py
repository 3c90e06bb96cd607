"""OpenVINO: the fastest engine on processors, on the same ONNX file as the others.

A graph of fixed shape is compiled for the model's own size, and pictures are computed one at a
time: both are faster than a free shape or a batch. Other sizes are handled by `sizes`. The graph's
own arg max is cut off and computed outside, which gives the same labels in a fraction of the time.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from services.errors import InvalidArgument
from services.segment.engines import arg_max
from services.segment.engines.check import GraphCheck
from services.segment.engines.engine import OPENVINO, Floats, Output
from services.segment.engines.sizes import OtherSizes
from services.segment.manifest import Manifest, ModelGraph, Precision

# Three channels, any height and width.
_FREE = (3, -1, -1)
_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}


def capabilities() -> frozenset[str]:
    """Return OpenVINO's number types on this processor: "FP32", and perhaps "BF16", "FP16"."""
    return frozenset(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


class OpenVinoEngine:
    """One model, compiled for its own size when opened and for other sizes when needed."""

    name = OPENVINO

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        *,
        precision: Precision = "fp32",
        threads: int = 1,
    ) -> None:
        """Compile the graph and compute one probe.

        Raises InvalidArgument naming the file and what is wrong with it. The caller must check that
        the processor computes in `precision`.
        """
        self.precision = precision
        self._threads = threads
        self._check = GraphCheck(directory, manifest)
        self._graph = manifest.graph
        self._labels_type = np.dtype(manifest.graph.labels_type)
        self._core = openvino.Core()
        how = manifest.preprocessing
        self._own_shape = (3, how.height, how.width)
        # A weak reference: an unused engine is freed at once, rather than when Python next collects
        # cycles; until then, two models would be in memory.
        method = weakref.WeakMethod(self._compiled)

        def compiled(shape: tuple[int, ...]) -> Any:
            own = method()
            assert own is not None  # noqa: S101  (only the engine asks for other sizes)
            return own(shape)

        self._other = OtherSizes(compiled, lambda: compiled(_FREE))
        arg_max.warm()
        # Other sizes are compiled from the opened model: the files may have changed since they were
        # verified.
        self._model = self._opened()
        self._own = self._first_compiled()
        self._check.output(self)

    @property
    def max_batch_size(self) -> int | None:
        """Return 1: batches gain nothing on a processor."""
        return 1

    def run(self, batch: list[Floats]) -> list[Output]:
        """Compute pictures of (3, H, W) float32, one after the other."""
        return [self._picture(tensor) for tensor in batch]

    def compile_for(self, shape: tuple[int, ...]) -> None:
        """Compile the graph of free shape if that computes a picture of `shape`."""
        if shape != self._own_shape and self._graph.dynamic_size:
            with suppress(RuntimeError):  # run reports the error
                self._other.free()

    def _picture(self, tensor: Floats) -> Output:
        if tensor.shape == self._own_shape:
            logits = self._into_own(tensor)
        else:
            logits = self._of_another_size(tensor)
        labels = np.empty(logits.shape[:2], self._labels_type)
        arg_max.arg_max(logits, labels)
        return Output(logits, labels)

    def _into_own(self, tensor: Floats) -> Floats:
        request = self._own
        shape = tuple(request.get_output_tensor(0).shape)
        # The graph writes into the picture's own memory, which the next run does not touch: a
        # shared output would be overwritten while it is still being read, and a copy costs a pass.
        logits = np.empty(shape[1:], np.float32)
        request.set_output_tensor(0, openvino.Tensor(logits[None], shared_memory=True))
        request.infer([tensor[None]], share_inputs=True, share_outputs=True)
        return logits

    def _of_another_size(self, tensor: Floats) -> Floats:
        """Compute a picture with the graph for its size; the logits are a copy."""
        self._check.size(tensor)
        try:
            request = self._other.find(tensor.shape)
            logits: Floats = request.infer([tensor[None]], share_inputs=True)[0][0]
        except RuntimeError as error:
            raise InvalidArgument(
                "tensor", f"this model takes no picture of {tensor.shape}: {_reason(error)}"
            ) from error
        if not logits.size:
            raise InvalidArgument(
                "tensor", f"this model takes no picture of {tensor.shape}: it gives no logits of it"
            )
        return logits

    def _opened(self) -> openvino.Model:
        path = self._check.path
        try:
            model = self._core.read_model(path)
        except RuntimeError as error:
            raise InvalidArgument(
                str(path), f"OpenVINO can't open it: {_reason(error)}; export it again"
            ) from error
        self._check.names(
            {name for tensor in model.inputs for name in tensor.get_names()},
            {name for tensor in model.outputs for name in tensor.get_names()},
        )
        return model

    def _first_compiled(self) -> Any:
        try:
            return self._compiled(self._own_shape)
        except RuntimeError as error:
            raise InvalidArgument(
                str(self._check.path),
                "not the segmenter that its manifest describes: it fails on a picture of its "
                f"size: {_reason(error)}",
            ) from error

    def _compiled(self, shape: tuple[int, ...]) -> Any:
        compiled = compile_graph(
            *(self._core, self._model.clone(), self._graph, shape),
            precision=self.precision,
            threads=self._threads,
        )
        return compiled.create_infer_request()


def compile_graph(
    core: openvino.Core,
    model: openvino.Model,
    graph: ModelGraph,
    shape: tuple[int, ...],
    *,
    precision: Precision,
    threads: int,
    profiled: bool = False,
) -> Any:
    """Compile a graph, changing it, to give the logits of one picture of `shape` (3, H, W).

    -1 for a height or width means any.

    Raises RuntimeError if the graph does not accept such a picture.
    """
    for result in list(model.get_results()):
        if graph.logits not in result.input_value(0).get_names():
            model.remove_result(result)
    model.reshape([1, *shape])
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        # By default, OpenVINO computes in bf16 wherever the processor can.
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        # Otherwise processes that share a machine would all be pinned to its first processors.
        "ENABLE_CPU_PINNING": False,
        "PERF_COUNT": profiled,
    }
    return core.compile_model(model, "CPU", options)


def compile_profiled(path: Path, manifest: Manifest, *, precision: Precision, threads: int) -> Any:
    """Compile a graph as the engine does, but so that the times of its parts can be read."""
    core, how = openvino.Core(), manifest.preprocessing
    return compile_graph(
        *(core, core.read_model(path), manifest.graph, (3, how.height, how.width)),
        precision=precision,
        threads=threads,
        profiled=True,
    )


def _reason(error: Exception) -> str:
    """Return the last line of OpenVINO's message; earlier lines only locate it in its sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
