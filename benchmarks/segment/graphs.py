"""Graphs and engines that benchmarks of segment run themselves, without a server."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import opset13
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from services.segment.export.folding import FoldedSegformer
from services.segment.export.pipeline import random_source
from services.segment.manifest import MODEL_FILE, Precision, read_manifest

SIDE = 512
_SQUARE = 2048
LIBRARIES = ("torch", "OpenVINO")
Pixels = NDArray[np.float32]


class Engine(Protocol):
    """The engine that the service runs a model with."""

    def run(self, batch: list[Pixels]) -> Any:
        """Compute pictures of (3, H, W)."""


def open_engine(
    directory: Path,
    precision: Precision,
    *,
    device: str = "cpu",
    threads: int = 2,
    max_batch: int = 1,
) -> Engine:
    """Open a model with the service's own engine, without the check of its labels.

    The labels of random weights mean nothing, and nearly tie at every pixel.
    """
    manifest = read_manifest(directory)
    # Each module imports a library that may be missing.
    if device == "cuda":
        from services.segment.engines.cuda import CudaEngine  # noqa: PLC0415

        return CudaEngine(directory, manifest, max_batch_size=max_batch)
    from services.segment.engines.openvino import OpenVinoEngine  # noqa: PLC0415

    return OpenVinoEngine(directory, manifest, precision=precision, threads=threads)


def unmodified(architecture: str, folder: Path, *, batch: bool = False) -> Path:
    """Export transformers' own model, random weights, as the guide of torch.onnx does; return it.

    The weights are those of `export_random` with seed 0. With `batch` its first axis is free.
    """
    file = folder / f"{architecture}-unmodified{'-batch' if batch else ''}.onnx"
    if not file.exists():
        model = _Logits(random_source(architecture, 0, ()).model)
        axes = ({0: torch.export.Dim.DYNAMIC} if batch else None,)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own internals
            example = (torch.zeros(2 if batch else 1, 3, SIDE, SIDE),)
            torch.onnx.export(
                model,
                example,
                file,
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=["pixels"],
                output_names=["logits"],
                dynamic_shapes=axes if batch else None,
            )
    return file


class _Logits(nn.Module):
    """The model, returning a tensor instead of transformers' output class."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model.eval()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._model(pixels).logits
        return logits


def graph_flops(directory: Path) -> float:
    """Count the arithmetic of products and convolutions in an exported graph, by its nodes."""
    model = openvino.Core().read_model(directory / MODEL_FILE)
    model.reshape([1, 3, SIDE, SIDE])
    total = 0.0
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in {"MatMul", "Convolution", "GroupConvolution"}:
            continue
        outputs = float(np.prod(list(node.output(0).shape)))
        left, right = (list(node.input_value(index).shape) for index in (0, 1))
        if kind == "MatMul":
            depth = left[-2] if node.get_attributes()["transpose_a"] else left[-1]
        else:
            # Kernels are (out, in, h, w), or (groups, out, in, h, w).
            depth = np.prod(right[1:] if kind == "Convolution" else right[2:])
        total += 2 * outputs * float(depth)
    return total


def module_flops(architecture: str) -> float:
    """Count the same arithmetic in the torch module that the graph is exported from."""
    model = random_source(architecture, 0, ()).model
    model.set_attn_implementation("eager")
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        FoldedSegformer(model, torch.uint8).eval()(torch.zeros(1, 3, SIDE, SIDE))
    return float(counter.get_total_flops())


def products(precision: str, threads: int) -> dict[str, Callable[[], float]]:
    """Return functions, by library, that time one square product of `product_flops`."""
    torch.set_num_threads(threads)
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    square = torch.randn(_SQUARE, _SQUARE).to(dtype)
    pixels = opset13.parameter([_SQUARE, _SQUARE], np.float32)
    weights = np.random.default_rng(0).standard_normal((_SQUARE, _SQUARE), np.float32)
    model = openvino.Model([opset13.matmul(pixels, weights, False, False)], [pixels])
    hints = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": str(threads),
    }
    request = openvino.compile_model(model, "CPU", hints).create_infer_request()

    def timed(run: Callable[[], object]) -> Callable[[], float]:
        def once() -> float:
            begun = time.perf_counter()
            run()
            return time.perf_counter() - begun

        return once

    runs = (
        lambda: torch.mm(square, square),
        lambda: request.infer([weights], share_inputs=True, share_outputs=True),
    )
    return dict(zip(LIBRARIES, map(timed, runs), strict=True))


def product_flops() -> float:
    """Return the arithmetic of one product."""
    return 2.0 * _SQUARE**3
