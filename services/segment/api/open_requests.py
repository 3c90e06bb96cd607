"""Requests of the Open Inference Protocol: checked, and cut into pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.errors import InvalidArgument, TooLarge
from services.inference.v2 import open_inference_pb2 as pb
from services.segment.api import open_tensors
from services.segment.batching.ticket import Priority
from services.segment.images.decode import decode
from services.segment.manifest import Manifest

Source = Callable[[], Image.Image | NDArray[np.float32]]
_MAX_ID = 1024
_INPUTS = {"image": "BYTES", "pixels": "FP32"}
_OUTPUTS = ("labels", "logits")
_CONTENTS = {"image": "bytes_contents", "pixels": "fp32_contents"}
# The standard's: 0 is the usual one, 1 the highest.
_PRIORITIES = (Priority.NORMAL, Priority.HIGH, Priority.NORMAL, Priority.LOW)


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size bucket, each with the bytes that it and its answer hold."""

    sources: list[Source]
    nbytes: list[int]
    bucket: tuple[int, int] | None = None


class Requests:
    """What a server takes: pictures of `max_pixels`, answers of `max_bytes`."""

    def __init__(self, max_pixels: int, max_bytes: int) -> None:
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes

    def pictures(
        self, request: pb.ModelInferRequest, manifest: Manifest, wanted: list[str]
    ) -> Pictures:
        """Check the input and return its pictures."""
        if len(request.id) > _MAX_ID:
            raise InvalidArgument("id", f"{len(request.id)} characters; at most {_MAX_ID}")
        if len(request.inputs) != 1:
            raise InvalidArgument(
                "inputs", f"{len(request.inputs)} of them; give one: {' or '.join(_INPUTS)}"
            )
        given = request.inputs[0]
        if given.name not in _INPUTS:
            raise InvalidArgument(
                "inputs[0].name", f"{given.name!r}; the inputs are {' and '.join(_INPUTS)}"
            )
        if given.datatype != _INPUTS[given.name]:
            raise InvalidArgument(
                "inputs[0].datatype", f"{given.datatype!r}; {given.name} is {_INPUTS[given.name]}"
            )
        _refuse_parameters(given.parameters, "inputs[0].parameters")
        raw = _raw(request)
        shape = list(given.shape)
        if given.name == "pixels":
            return self._pixels(given, raw, shape, manifest, wanted)
        return self._images(given, raw, shape, manifest, wanted)

    def _pixels(
        self,
        given: pb.ModelInferRequest.InferInputTensor,
        raw: bytes | None,
        shape: list[int],
        manifest: Manifest,
        wanted: list[str],
    ) -> Pictures:
        open_tensors.check_pixels_shape(shape, manifest, "inputs[0].shape")
        count, _, height, width = shape
        answer = _answer_bytes(manifest, height, width, wanted)
        self._require_fits(count * answer)
        sources = (
            open_tensors.from_numbers(given.contents.fp32_contents, shape, "inputs[0].contents")
            if raw is None
            else open_tensors.from_raw(raw, shape, "raw_input_contents[0]")
        )
        how = manifest.preprocessing
        usual = (height, width) == (how.height, how.width)
        return Pictures(
            [*sources],
            [3 * 4 * height * width + answer] * count,
            None if usual else (height, width),
        )

    def _images(
        self,
        given: pb.ModelInferRequest.InferInputTensor,
        raw: bytes | None,
        shape: list[int],
        manifest: Manifest,
        wanted: list[str],
    ) -> Pictures:
        if len(shape) != 1:
            raise InvalidArgument("inputs[0].shape", f"{shape}; [N] is taken, one file an element")
        count = shape[0]
        open_tensors.check_count(count, "inputs[0].shape")
        field = "inputs[0].contents" if raw is None else "raw_input_contents[0]"
        files = (
            list(given.contents.bytes_contents)
            if raw is None
            else open_tensors.split(raw, count, field)
        )
        if len(files) != count:
            raise InvalidArgument(field, f"{len(files)} elements; {shape} has {count}")
        how = manifest.preprocessing
        logits = _answer_bytes(manifest, how.height, how.width, [*{*wanted} - {"labels"}])
        self._require_fits(count * logits)
        sizes: dict[str, tuple[int, int]] = {}

        def picture(file: bytes, index: int) -> Image.Image:
            decoded = decode(file, self._max_pixels, f"{field}: element {index}")
            if "labels" in wanted:
                size = decoded.height, decoded.width
                first = sizes.setdefault("first", size)  # of one thread, whichever was sooner
                if size != first:
                    raise InvalidArgument(
                        field,
                        f"element {index} is {size[0]} x {size[1]}, another {first[0]} x "
                        f"{first[1]}; one tensor of labels has one size: send them one by one",
                    )
                self._require_fits(count * (_answer_bytes(manifest, *size, ["labels"]) + logits))
            return decoded

        prepared = 3 * 4 * how.height * how.width
        return Pictures(
            [partial(picture, file, index) for index, file in enumerate(files)],
            [len(file) + prepared + logits for file in files],
        )

    def _require_fits(self, nbytes: int) -> None:
        """Raise TooLarge if tensors of so many bytes are more than a reply holds."""
        if nbytes > self._max_bytes:
            raise TooLarge(
                f"the outputs take {nbytes} bytes and a reply holds {self._max_bytes}: send fewer "
                "pictures at a time, or ask for less"
            )


def wanted_outputs(request: pb.ModelInferRequest) -> list[str]:
    """Return the names of the outputs that are asked for, in that order. Raises InvalidArgument."""
    wanted = [output.name for output in request.outputs]
    for index, output in enumerate(request.outputs):
        if output.name not in _OUTPUTS:
            raise InvalidArgument(
                f"outputs[{index}].name", f"{output.name!r}; the outputs are labels and logits"
            )
        if output.name in wanted[:index]:
            raise InvalidArgument(f"outputs[{index}].name", f"{output.name} is asked for twice")
        _refuse_parameters(output.parameters, f"outputs[{index}].parameters")
    return wanted or ["labels"]


def _raw(request: pb.ModelInferRequest) -> bytes | None:
    """Return the raw contents, None where the input has its own. Raises InvalidArgument."""
    given = request.inputs[0]
    typed = _CONTENTS[given.name]
    for field, _ in given.contents.ListFields():
        if field.name != typed:
            raise InvalidArgument(
                f"inputs[0].contents.{field.name}", f"{given.datatype} belongs into {typed}"
            )
        if request.raw_input_contents:
            raise InvalidArgument(
                "inputs[0].contents", "given as well as raw_input_contents: give one of them"
            )
        return None
    if len(request.raw_input_contents) != 1:
        raise InvalidArgument(
            "raw_input_contents",
            f"{len(request.raw_input_contents)} of them for one input without contents; give one",
        )
    return request.raw_input_contents[0]


def parse_parameters(
    given: Mapping[str, pb.InferParameter], left: float | None
) -> tuple[float | None, Priority]:
    """Return the seconds that the request may take, and its priority. Raises InvalidArgument."""
    timeout, priority = left, Priority.NORMAL
    for name, parameter in given.items():
        field = f"parameters[{name}]"
        if name not in {"timeout", "priority"}:
            raise InvalidArgument(field, "is not known; timeout and priority are")
        kind = parameter.WhichOneof("parameter_choice")
        if kind not in {"int64_param", "uint64_param"}:
            raise InvalidArgument(field, "an integer is needed")
        value = int(getattr(parameter, kind))
        if name == "priority":
            if not 0 <= value < len(_PRIORITIES):
                raise InvalidArgument(field, f"{value}; 0 to {len(_PRIORITIES) - 1} are known")
            priority = _PRIORITIES[value]
        elif value < 0:
            raise InvalidArgument(field, f"{value} microseconds; 0, for none, or more is needed")
        elif value:
            timeout = min(value / 1e6, timeout if timeout is not None else value / 1e6)
    return timeout, priority


def _refuse_parameters(given: Mapping[str, pb.InferParameter], field: str) -> None:
    """Raise InvalidArgument if there is one: shared memory, classification and the like."""
    for name in sorted(given):
        raise InvalidArgument(f"{field}[{name}]", "is not known; no parameter is, here")


def _answer_bytes(manifest: Manifest, height: int, width: int, wanted: list[str]) -> int:
    """Return the bytes of the wanted outputs of one picture of that size."""
    logits = math.prod(manifest.graph.logits_size(height, width)) * len(manifest.classes)
    sizes = {
        "labels": height * width * np.dtype(manifest.graph.labels_type).itemsize,
        "logits": logits * 4,
    }
    return sum(sizes[name] for name in wanted)
