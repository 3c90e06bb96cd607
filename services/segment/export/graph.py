"""A torch module to an ONNX graph: names, dynamic sizes, and nothing about this machine."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from services.segment.manifest import LabelsType, ModelGraph, Precision

OPSET = 20
_TORCH_LABELS = {"uint8": torch.uint8, "uint16": torch.uint16}


def torch_labels(kind: LabelsType) -> torch.dtype:
    """Return torch's type for label maps of that element type."""
    return _TORCH_LABELS[kind]


def describe_graph(
    labels: LabelsType, precision: Precision = "fp32", threshold: float | None = None
) -> ModelGraph:
    """Return the names and sizes of the graphs that `write_graph` makes.

    `threshold` is that of a source model with one class.
    """
    return ModelGraph(
        input="pixels",
        logits="logits",
        labels="labels",
        labels_type=labels,
        downsampling=4,
        dynamic_batch=True,
        dynamic_size=True,
        precision=precision,
        threshold=threshold,
    )


def write_graph(module: nn.Module, path: Path, height: int, width: int) -> None:
    """Write `module`, (N, 3, H, W) -> logits, labels, as one ONNX file. Raises OSError.

    Batch, height and width stay free. Traced on a picture of (height, width).
    """
    names = describe_graph("uint8")
    dynamic = {"pixels": {0: "batch", 2: "height", 3: "width"}}
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            (torch.zeros(2, 3, height, width),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[names.input],
            output_names=[names.logits, names.labels],
            dynamic_shapes=dynamic,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    proto = program.model_proto
    _strip(proto)
    path.write_bytes(proto.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's messages about its internals: deprecated calls, absent packages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _strip(proto: onnx.ModelProto) -> None:
    """Remove stack traces and comments: they hold paths of this machine and change each time."""
    graph = proto.graph
    parts: list[Any] = [proto, graph, *graph.node, *graph.value_info, *graph.initializer]
    parts += [*graph.input, *graph.output, *proto.functions]
    parts += [node for function in proto.functions for node in function.node]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]
