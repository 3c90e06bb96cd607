"""A third-party ONNX file on ONNX Runtime: which of its tensors are used."""

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
_POINTER = b"version https://git-lfs"
_ERRORS_ONLY = 3


@dataclass(frozen=True)
class Names:
    """The tensors to use if a graph has several, and the file with the class names."""

    input: str | None = None
    output: str | None = None
    labels: Path | None = None


class Source:
    """The given file on ONNX Runtime, and the tensors that are used."""

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
        if len(inputs) > 1:
            others = ", ".join(one.name for one in inputs)
            raise InvalidArgument(
                "input", f"the graph has the inputs {others}; one is served: {_NEEDED['input']}"
            )
        taken = _chosen(inputs, names.input, "input", lambda one: len(one.shape) == 4)
        channels = taken.shape[1] if len(taken.shape) == 4 else 0
        if taken.type != "tensor(float)" or not (
            channels in (3, None) or isinstance(channels, str)
        ):
            raise InvalidArgument(
                "input", f"{taken.name} is {taken.shape} of {taken.type}; {_NEEDED['input']}"
            )
        height, width = taken.shape[2:]
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


_NEEDED = {
    "input": "pictures as float32 (N, 3, H, W) are needed: export the graph with that input",
    "output": "logits as float32 with an axis of classes are needed: export the graph without its "
    "arg max, whose labels hold no probabilities, and without other post-processing",
}
"""What a graph must accept and produce, and the remedy if it does not."""


def _chosen(tensors: Any, name: str | None, what: str, fits: Callable[[Any], bool]) -> Any:
    """Return the named tensor, or the only suitable one. Raises InvalidArgument listing them."""
    listed = ", ".join(f"{one.name} {one.shape} of {one.type}" for one in tensors) or "none"
    if name is not None:
        for one in tensors:
            if one.name == name:
                return one
        raise InvalidArgument(what, f"the graph has no {what} {name!r}; it has {listed}")
    fitting = [one for one in tensors if fits(one)]
    if not fitting:
        raise InvalidArgument(what, f"none fits, of {listed}; {_NEEDED[what]}")
    if len(fitting) > 1:
        raise InvalidArgument(
            what,
            f"{len(fitting)} tensors of four axes could be it; say which with --{what} NAME: "
            f"{listed}",
        )
    return fitting[0]


def read(file: Path) -> Any:
    """Return the file's graph. Raises InvalidArgument."""
    if not file.is_file():
        raise InvalidArgument("file", f"{file} is no file")
    with file.open("rb") as opened:
        head = opened.read(len(_POINTER))
    if not head or head == _POINTER:
        problem = "a Git LFS pointer: run `git lfs pull`" if head else "empty"
        raise InvalidArgument("file", f"{file} is {problem}")
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
