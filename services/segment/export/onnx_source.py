"""An ONNX file as somebody else wrote it: which of its tensors are used, on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnx import TensorProto

from services.errors import InvalidArgument
from services.segment.engines.engine import Floats

_LEAST_OPSET = 11
_ERRORS_ONLY = 3


@dataclass(frozen=True)
class Names:
    """The tensors of a graph to use, where it has several, and the file with the class names."""

    input: str | None = None
    output: str | None = None
    labels: Path | None = None


class Source:
    """The given file on ONNX Runtime, and the tensors of it that are used."""

    def __init__(self, file: Path, model: Any, names: Names) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = ort.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # ONNX Runtime's exceptions share no base class.
            reason = str(error).strip().split("\n")[0]
            raise InvalidArgument("file", f"ONNX Runtime can't open {file}: {reason}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        taken = _chosen(inputs, names.input, "input", lambda one: len(one.shape) == 4)
        if len(inputs) > 1:
            others = ", ".join(one.name for one in inputs)
            raise InvalidArgument("input", f"the graph has the inputs {others}; one is served")
        if taken.type != "tensor(float)":
            raise InvalidArgument("input", f"{taken.name} is of {taken.type}; float32 is served")
        channels, height, width = taken.shape[1:]
        if channels not in (3, None) and not isinstance(channels, str):
            raise InvalidArgument(
                "input", f"{taken.name} has the shape {taken.shape}; (N, 3, H, W) is served"
            )
        self.input: str = taken.name
        self.free_batch = not isinstance(taken.shape[0], int)
        self.size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        self.free_size = not isinstance(height, int) and not isinstance(width, int)
        given = _chosen(
            outputs,
            names.output,
            "output",
            lambda one: len(one.shape) == 4 and one.type == "tensor(float)",
        )
        self.output: str = given.name

    def run(self, pixels: Floats) -> Floats:
        """Return the output, as the file gives it."""
        (found,) = self._session.run([self.output], {self.input: pixels})
        values: Floats = found
        return values


def _chosen(tensors: Any, name: str | None, what: str, fits: Callable[[Any], bool]) -> Any:
    """Return the named tensor, or the only one that fits. Raises InvalidArgument listing them."""
    listed = ", ".join(f"{one.name} {one.shape} of {one.type}" for one in tensors) or "none"
    if name is not None:
        for one in tensors:
            if one.name == name:
                return one
        raise InvalidArgument(what, f"the graph has no {what} {name!r}; it has {listed}")
    fitting = [one for one in tensors if fits(one)]
    if len(fitting) != 1:
        raise InvalidArgument(
            what, f"{len(fitting)} tensors of four axes could be it; say which: {listed}"
        )
    return fitting[0]


def read(file: Path) -> Any:
    """Return the file's graph. Raises InvalidArgument."""
    if not file.is_file():
        raise InvalidArgument("file", f"{file} is no file")
    try:
        model = onnx.load(file, load_external_data=False)
    except Exception as error:
        # protobuf's and onnx's exceptions share no base class.
        raise InvalidArgument("file", f"{file} is not an ONNX file: {error}") from error
    if any(one.data_location == TensorProto.EXTERNAL for one in model.graph.initializer):
        raise InvalidArgument(
            "file", f"{file} keeps its weights in other files: save it as one, with onnx.save"
        )
    opset = max((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}),
                default=0)  # fmt: skip
    if opset < _LEAST_OPSET:
        raise InvalidArgument("file", f"{file} is of opset {opset}; {_LEAST_OPSET} is the least")
    return model
