"""Requests of the Open Inference Protocol: checked, and split into pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.errors import InvalidArgument, TooLarge
from services.inference.v2 import open_inference_pb2 as pb
from services.segment.api import open_tensors
from services.segment.api.shared_memory import Place, Regions
from services.segment.batching.ticket import Priority
from services.segment.images.decode import decode, from_pixels
from services.segment.images.limits import check_size
from services.segment.manifest import Manifest

Source = Callable[[], Image.Image | NDArray[np.float32]]
MAX_ID = 1024
_INPUTS = {"image": ("BYTES",), "pixels": ("FP32", "FP16", "UINT8")}
_OUTPUTS = ("labels", "logits")
# The fields with typed elements, unless the contents are raw; FP16 is always raw.
_CONTENTS = {
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "FP16": "",
    "UINT8": "uint_contents",
}
REGION = "shared_memory_region"
_REGION_SIZE, _REGION_OFFSET = "shared_memory_byte_size", "shared_memory_offset"
FINAL_RESPONSE = "triton_enable_empty_final_response"
# The standard's priorities: 0 is the default, 1 the highest.
_PRIORITIES = (Priority.NORMAL, Priority.HIGH, Priority.NORMAL, Priority.LOW)


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size bucket, with the bytes that each picture and its answer hold."""

    sources: list[Source]
    nbytes: list[int]
    bucket: tuple[int, int] | None = None


@dataclass(frozen=True)
class WantedOutput:
    """A requested output, and its place in shared memory; None means in the reply."""

    name: str
    place: Place | None = None


@dataclass(frozen=True)
class _Sent:
    """An input: its raw contents or None, the field with its elements, and its shape."""

    given: pb.ModelInferRequest.InferInputTensor
    raw: bytes | None
    field: str
    shape: list[int]


class Requests:
    """What a server accepts: pictures up to `max_pixels`, answers up to `max_bytes`."""

    def __init__(self, max_pixels: int, max_bytes: int, regions: Regions) -> None:
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes
        self._regions = regions

    def pictures(
        self, request: pb.ModelInferRequest, manifest: Manifest, wanted: list[str]
    ) -> Pictures:
        """Check the input and return its pictures."""
        if len(request.id) > MAX_ID:
            raise InvalidArgument("id", f"{len(request.id)} characters; at most {MAX_ID}")
        if len(request.inputs) != 1:
            raise InvalidArgument(
                "inputs", f"{len(request.inputs)} of them; give one: {' or '.join(_INPUTS)}"
            )
        given = request.inputs[0]
        if given.name not in _INPUTS:
            raise InvalidArgument(
                "inputs[0].name", f"{given.name!r}; the inputs are {' and '.join(_INPUTS)}"
            )
        kinds = _INPUTS[given.name]
        if given.datatype not in kinds:
            raise InvalidArgument(
                "inputs[0].datatype",
                f"{given.datatype!r}; {given.name} is {' or '.join(kinds)}",
            )
        raw, field = self._raw(request)
        _check_input_parameters(given.parameters, raw)
        sent = _Sent(given, raw, field, list(given.shape))
        if given.name == "image":
            return self._images(sent, manifest, wanted)
        if given.datatype == "UINT8":
            return self._pictures(sent, manifest, wanted)
        return self._pixels(sent, manifest, wanted)

    def _raw(self, request: pb.ModelInferRequest) -> tuple[bytes | None, str]:
        """Return the raw contents, or None if the input has its own, and the field that holds them.

        Raises InvalidArgument.
        """
        given = request.inputs[0]
        typed, place = _CONTENTS[given.datatype], _place(given.parameters, "inputs[0].parameters")
        for content, _ in given.contents.ListFields():
            if content.name != typed:
                where = f"belongs into {typed}" if typed else "belongs into raw_input_contents"
                raise InvalidArgument(
                    f"inputs[0].contents.{content.name}", f"{given.datatype} {where}"
                )
            if request.raw_input_contents or place is not None:
                raise InvalidArgument(
                    "inputs[0].contents", "given as well as raw contents: give one of them"
                )
            return None, "inputs[0].contents"
        if place is not None:
            if request.raw_input_contents:
                raise InvalidArgument(
                    "raw_input_contents", "given as well as shared memory: give one of them"
                )
            return self._regions.read(place), place.field
        if len(request.raw_input_contents) != 1:
            raise InvalidArgument(
                "raw_input_contents",
                f"{len(request.raw_input_contents)} of them for one input without contents; give "
                "one",
            )
        return request.raw_input_contents[0], "raw_input_contents[0]"

    def _pictures(self, sent: _Sent, manifest: Manifest, wanted: list[str]) -> Pictures:
        """Take pictures as R, G and B for each pixel; they are resized like files."""
        raw, field, shape = sent.raw, sent.field, sent.shape
        if len(shape) != 4 or shape[3] != 3:
            raise InvalidArgument(
                "inputs[0].shape", f"{shape}; [N, height, width, 3] is taken of UINT8"
            )
        count, height, width, _ = shape
        open_tensors.check_count(count, "inputs[0].shape")
        check_size(height, width, self._max_pixels, "inputs[0].shape", empty=InvalidArgument)
        values = bytes_of(sent.given.contents.uint_contents, field) if raw is None else raw
        size = 3 * height * width
        if len(values) != count * size:
            raise InvalidArgument(
                field, f"{len(values)} bytes; {shape} of UINT8 has {count * size}"
            )
        how = manifest.preprocessing
        answer = _answer_bytes(manifest, height, width, [*{*wanted} - {"logits"}])
        answer += _answer_bytes(manifest, how.height, how.width, [*{*wanted} - {"labels"}])
        self._require_fits(count * answer)
        held = size + 3 * 4 * how.height * how.width + answer
        sources: list[Source] = [
            partial(
                from_pixels, values[index * size : (index + 1) * size], height, width,
                self._max_pixels, field,
            )
            for index in range(count)
        ]  # fmt: skip
        return Pictures(sources, [held] * count)

    def _pixels(self, sent: _Sent, manifest: Manifest, wanted: list[str]) -> Pictures:
        raw, field, shape = sent.raw, sent.field, sent.shape
        open_tensors.check_pixels_shape(shape, manifest, "inputs[0].shape")
        count, _, height, width = shape
        answer = _answer_bytes(manifest, height, width, wanted)
        self._require_fits(count * answer)
        sources = (
            open_tensors.from_numbers(sent.given.contents.fp32_contents, shape, field)
            if raw is None
            else open_tensors.from_raw(raw, shape, field, sent.given.datatype)
        )
        how = manifest.preprocessing
        usual = (height, width) == (how.height, how.width)
        return Pictures(
            [*sources],
            [3 * 4 * height * width + answer] * count,
            None if usual else (height, width),
        )

    def _images(self, sent: _Sent, manifest: Manifest, wanted: list[str]) -> Pictures:
        raw, field, shape = sent.raw, sent.field, sent.shape
        if len(shape) not in {1, 2} or shape[1:] not in ([], [1]):
            raise InvalidArgument(
                "inputs[0].shape", f"{shape}; [N] or [N, 1] is taken, one file an element"
            )
        count = shape[0]
        open_tensors.check_count(count, "inputs[0].shape")
        files = (
            list(sent.given.contents.bytes_contents)
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
                first = sizes.setdefault("first", size)  # of whichever thread came first
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
        """Raise TooLarge if tensors of `nbytes` bytes do not fit into a reply."""
        if nbytes > self._max_bytes:
            raise TooLarge(
                f"the outputs take {nbytes} bytes and a reply holds {self._max_bytes}: send fewer "
                "pictures at a time, or request less"
            )


def wanted_outputs(request: pb.ModelInferRequest) -> list[WantedOutput]:
    """Return the requested outputs, in order. Raises InvalidArgument."""
    wanted: list[WantedOutput] = []
    for index, output in enumerate(request.outputs):
        if output.name not in _OUTPUTS:
            raise InvalidArgument(
                f"outputs[{index}].name", f"{output.name!r}; the outputs are labels and logits"
            )
        if any(output.name == other.name for other in wanted):
            raise InvalidArgument(f"outputs[{index}].name", f"{output.name} is requested twice")
        field = f"outputs[{index}].parameters"
        known = {"binary_data", REGION, _REGION_SIZE, _REGION_OFFSET}
        _refuse_others(output.parameters, known, field)
        wanted.append(WantedOutput(output.name, _place(output.parameters, field)))
    return wanted or [WantedOutput("labels")]


def bytes_of(numbers: Sequence[int], field: str) -> bytes:
    """Return typed elements of UINT8 as bytes. Raises InvalidArgument for a value out of range."""
    try:
        return bytes(numbers)
    except ValueError as error:
        raise InvalidArgument(field, "an element is over 255") from error


def _check_input_parameters(given: Mapping[str, pb.InferParameter], raw: bytes | None) -> None:
    field = "inputs[0].parameters"
    _refuse_others(given, {"binary_data_size", REGION, _REGION_SIZE, _REGION_OFFSET}, field)
    if "binary_data_size" in given:
        size = _integer(given["binary_data_size"], f"{field}[binary_data_size]")
        if raw is None or size != len(raw):
            there = "the input has no raw contents" if raw is None else f"there are {len(raw)}"
            raise InvalidArgument(f"{field}[binary_data_size]", f"{size} bytes; {there}")


def _place(given: Mapping[str, pb.InferParameter], field: str) -> Place | None:
    """Return a tensor's place in shared memory; None if it has none."""
    if REGION not in given:
        for name in (_REGION_SIZE, _REGION_OFFSET):
            if name in given:
                raise InvalidArgument(f"{field}[{name}]", f"goes with {REGION}")
        return None
    region = given[REGION]
    if region.WhichOneof("parameter_choice") != "string_param":
        raise InvalidArgument(f"{field}[{REGION}]", "a name is needed")
    if _REGION_SIZE not in given:
        raise InvalidArgument(f"{field}[{_REGION_SIZE}]", "is missing")
    size = _integer(given[_REGION_SIZE], f"{field}[{_REGION_SIZE}]")
    offset = 0
    if _REGION_OFFSET in given:
        offset = _integer(given[_REGION_OFFSET], f"{field}[{_REGION_OFFSET}]")
    return Place(region.string_param, offset, size, f"{field}[{REGION}]")


def _integer(parameter: pb.InferParameter, field: str) -> int:
    kind = parameter.WhichOneof("parameter_choice")
    if kind not in {"int64_param", "uint64_param"}:
        raise InvalidArgument(field, "an integer is needed")
    return int(getattr(parameter, kind))


def parse_parameters(
    given: Mapping[str, pb.InferParameter], left: float | None
) -> tuple[float | None, Priority]:
    """Return the request's time limit in seconds and its priority. Raises InvalidArgument."""
    timeout, priority = left, Priority.NORMAL
    for name, parameter in given.items():
        field = f"parameters[{name}]"
        if name in {"binary_data_output", FINAL_RESPONSE}:
            if parameter.WhichOneof("parameter_choice") != "bool_param":
                raise InvalidArgument(field, "true or false is needed")
            continue
        if name not in {"timeout", "priority"}:
            raise InvalidArgument(field, "is not known; timeout and priority are")
        value = _integer(parameter, field)
        if name == "priority":
            if not 0 <= value < len(_PRIORITIES):
                raise InvalidArgument(field, f"{value}; 0 to {len(_PRIORITIES) - 1} are known")
            priority = _PRIORITIES[value]
        elif value < 0:
            raise InvalidArgument(field, f"{value} microseconds; 0, for none, or more is needed")
        elif value:
            timeout = min(value / 1e6, timeout if timeout is not None else value / 1e6)
    return timeout, priority


def _refuse_others(given: Mapping[str, pb.InferParameter], known: set[str], field: str) -> None:
    """Raise InvalidArgument for an unknown parameter, such as classification."""
    for name in sorted(set(given) - known):
        raise InvalidArgument(f"{field}[{name}]", "is not known here")


def _answer_bytes(manifest: Manifest, height: int, width: int, wanted: list[str]) -> int:
    """Return the bytes of the requested outputs for a picture of that size."""
    logits = math.prod(manifest.graph.logits_size(height, width)) * len(manifest.classes)
    sizes = {
        "labels": height * width * np.dtype(manifest.graph.labels_type).itemsize,
        "logits": logits * 4,
    }
    return sum(sizes[name] for name in wanted)
