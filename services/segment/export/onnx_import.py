"""A ready ONNX segmenter as a model directory: its own graph, followed by the arg max.

The graph takes float32 (N, 3, H, W) and gives float32 logits with an axis of classes. Anything that
its file does not say (mean and deviation, class names, a free size) is declared, or found next to
it. The engines are compared with the given file on ONNX Runtime, and the directory is written only
if the graph with its additions gives the same results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from services.errors import InvalidArgument
from services.segment.ade20k import palette
from services.segment.engines.engine import Floats
from services.segment.engines.parity import Probe, probe_inputs
from services.segment.export.given import DEFAULT_THRESHOLD, Given
from services.segment.export.licenses import checkpoint_license, license_text, stated_license
from services.segment.export.measure import measured
from services.segment.export.onnx_classes import class_names, json_object
from services.segment.export.onnx_source import Names, Source, read
from services.segment.export.output import atomic_directory, check_output
from services.segment.export.preprocessing import FILE as PREPROCESSOR_FILE
from services.segment.export.preprocessing import parse_preprocessing
from services.segment.images.threshold import log_odds
from services.segment.manifest import (
    MAX_CLASSES,
    MODEL_FILE,
    NAME_RULE,
    SCHEMA,
    SOURCE_PREFIX,
    LabelsType,
    Manifest,
    ModelClass,
    ModelGraph,
    ModelPreprocessing,
    file_digest,
    is_name,
    labels_type,
    part_digests,
    write_manifest,
)

Progress = Callable[[str], None]
_LABELS = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16}


@dataclass(frozen=True)
class _Shape:
    """What computing a picture showed about the graph."""

    classes: int
    channels_last: bool
    downsampling: int


def import_onnx(
    file: Path,
    out: Path,
    *,
    name: str | None,
    version: str,
    given: Given,
    names: Names,
    progress: Progress,
) -> Manifest:
    """Write `out`, a model directory, from an ONNX file; return its manifest.

    Raises InvalidArgument naming what the file lacks, TooLarge for a full disk, InternalError if
    the graph with its additions gives other results than the file.
    """
    name = name or file.stem
    if not is_name(name):
        raise InvalidArgument("name", f"{name!r} is not a name: {NAME_RULE}")
    check_output(out, 0)
    model = read(file)
    source = Source(file, model, names)
    preprocessing = _preprocessing(file, source, given)
    progress("computing pictures with the file as it is")
    inputs = probe_inputs(preprocessing, any_size=source.free_size)
    if not source.free_batch:
        inputs = [one[None] for batch in inputs for one in batch]
    shape, free_size = _shape(source, inputs)
    if not free_size:
        inputs = [batch for batch in inputs if batch.shape[2:] == inputs[0].shape[2:]]
    classes = class_names(file, model, names.labels, shape.classes)
    background = threshold = None
    if shape.classes == 1:
        threshold = DEFAULT_THRESHOLD if given.threshold is None else given.threshold
        background = log_odds(threshold)
        classes = ("other" if classes[0].lower() == "background" else "background", *classes)
    elif given.threshold is not None:
        raise InvalidArgument(
            "threshold", f"is for models of one class; this one has {shape.classes}"
        )
    kind = labels_type(len(classes))
    graph = ModelGraph(
        input=source.input,
        logits="assay_logits",
        labels="assay_labels",
        labels_type=kind,
        downsampling=shape.downsampling,
        dynamic_batch=source.free_batch,
        dynamic_size=free_size,
        precision="fp32",
        threshold=threshold,
    )
    text = license_text(file.parent)
    terms = checkpoint_license(
        file.stem, None if text is None else text.read_text(errors="replace")
    )
    if given.license is not None:
        terms = stated_license(given.license, terms)
    colors = palette(classes)
    described = tuple(
        ModelClass(name=one, color=color) for one, color in zip(classes, colors, strict=True)
    )
    probes = [
        Probe(batch, _channels_last(source.run(batch), shape, background)) for batch in inputs
    ]
    with atomic_directory(out) as work:
        _append(model, source.output, shape, background, kind)
        (work / MODEL_FILE).write_bytes(model.SerializeToString())
        digests = {MODEL_FILE: file_digest(work / MODEL_FILE)}
        digests |= {SOURCE_PREFIX + file.name: file_digest(file)}
        digests |= part_digests(terms, described, preprocessing)
        manifest = Manifest(
            schema=SCHEMA,
            name=name,
            version=version,
            architecture="imported-onnx",
            weights="published",
            license=terms,
            source=f"the ONNX file {file.name}",
            classes=described,
            preprocessing=preprocessing,
            graph=graph,
            facts=None,
            parities=(),
            digests=digests,
            made_with={"onnx": onnx.__version__, "onnxruntime": ort.__version__},
        )
        progress("comparing the engines with the file")
        manifest = manifest.replaced(parities=measured(work, manifest, probes))
        write_manifest(work, manifest)
    return manifest


def _preprocessing(file: Path, source: Source, given: Given) -> ModelPreprocessing:
    """Return the preprocessing, declared or found next to the file, at the graph's size."""
    beside = given.preprocessor or file.parent / PREPROCESSOR_FILE
    stated: Mapping[str, Any] = {}
    if given.preprocessor is not None or beside.is_file():
        stated = json_object(beside)
    size = given.size or source.size
    if source.size is not None and given.size not in (None, source.size):
        height, width = source.size
        raise InvalidArgument("size", f"the graph takes {width}x{height} alone")
    if size is None and "size" not in stated:
        raise InvalidArgument("size", "the graph takes any: give the model's input with --size WxH")
    return parse_preprocessing(stated, size, given.resampler)


def _shape(source: Source, inputs: list[Floats]) -> tuple[_Shape, bool]:
    """Compute a picture of each size: finds the output's form, and whether other sizes work."""
    first = inputs[0]
    height, width = first.shape[2:]
    try:
        output = source.run(first)
    except Exception as error:
        # ONNX Runtime's exceptions share no base class.
        reason = str(error).strip().split("\n")[0]
        raise InvalidArgument("file", f"it fails on {width} x {height}: {reason}") from error
    if output.ndim != 4 or output.dtype != np.float32 or len(output) != len(first):
        raise InvalidArgument(
            "output", f"it gives {output.shape} of {output.dtype}; logits with classes are needed"
        )
    if not np.isfinite(output).all():
        raise InvalidArgument("output", "its logits are not all finite numbers")
    for channels_last, (classes, h, w) in (
        (False, output.shape[1:]),
        (True, (output.shape[3], *output.shape[1:3])),
    ):
        step = round(height / h)
        fits = 1 <= step <= 64 and (-(-height // step), -(-width // step)) == (h, w)
        if fits and 1 <= classes <= MAX_CLASSES:
            shape = _Shape(classes, channels_last, step)
            return shape, source.free_size and _takes(source, inputs[-1], shape)
    raise InvalidArgument(
        "output",
        f"it gives {output.shape} of {width} x {height}; (N, classes, h, w) or (N, h, w, classes) "
        "is needed, h and w being the input's over a whole number",
    )


def _takes(source: Source, pixels: Floats, shape: _Shape) -> bool:
    """Whether the graph computes pictures of that size, with logits of the same proportion."""
    try:
        output = source.run(pixels)
    except Exception:  # noqa: BLE001  # a size that is baked in fails in many ways
        return False
    found = output.shape[1:3] if shape.channels_last else output.shape[2:]
    step = shape.downsampling
    return tuple(found) == (-(-pixels.shape[2] // step), -(-pixels.shape[3] // step))


def _channels_last(output: Floats, shape: _Shape, background: float | None) -> Floats:
    logits = output if shape.channels_last else output.transpose(0, 2, 3, 1)
    if background is None:
        return np.ascontiguousarray(logits)
    return np.concatenate([np.full_like(logits, background), logits], axis=-1)


def _append(
    model: Any, output: str, shape: _Shape, background: float | None, kind: LabelsType
) -> None:
    """Replace the graph's outputs with two: logits (N, h, w, C) and their arg max."""
    nodes, last = [], output
    if not shape.channels_last:
        nodes.append(helper.make_node("Transpose", [last], ["assay_last"], perm=[0, 2, 3, 1]))
        last = "assay_last"
    if background is not None:
        constants = {"assay_zero": 0.0, "assay_background": background}
        model.graph.initializer.extend(
            numpy_helper.from_array(np.array(value, np.float32), name)
            for name, value in constants.items()
        )
        nodes += [
            helper.make_node("Mul", [last, "assay_zero"], ["assay_zeros"]),
            helper.make_node("Add", ["assay_zeros", "assay_background"], ["assay_other"]),
            helper.make_node("Concat", ["assay_other", last], ["assay_both"], axis=3),
        ]
        last = "assay_both"
    nodes += [
        helper.make_node("Identity", [last], ["assay_logits"]),
        helper.make_node("ArgMax", ["assay_logits"], ["assay_indices"], axis=3, keepdims=0),
        helper.make_node("Cast", ["assay_indices"], ["assay_labels"], to=_LABELS[kind]),
    ]
    model.graph.node.extend(nodes)
    del model.graph.output[:]
    model.graph.output.extend(
        [
            helper.make_tensor_value_info("assay_logits", TensorProto.FLOAT, [None] * 4),
            helper.make_tensor_value_info("assay_labels", _LABELS[kind], [None] * 3),
        ]
    )
