"""Reads the weights of the reference byte model out of its ONNX graph.

The export gives matrices the names of its own intermediate values, so they are found by the order
in which the graph uses them. What is read is then compared with ONNX Runtime before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from services.errors import ModelUnusable

Matrix = npt.NDArray[np.float32]
ARCHITECTURE = "byte-transformer"
_PER_BLOCK = 4  # query, key and value together; project; expand; contract


@dataclass(frozen=True)
class BlockWeights:
    """One block. `mix` holds what the tokens two before, one before and now are weighted with."""

    mix: Matrix  # [3, width]
    query_key_value: Matrix  # [width, 3 * width]
    project: Matrix  # [width, width]
    expand: Matrix  # [width, expansion * width]
    contract: Matrix  # [expansion * width, width]


@dataclass(frozen=True)
class ByteWeights:
    """All weights of `services.corpus.bpb.reference.model`, matrices as they are multiplied."""

    embed: Matrix  # [257, width]
    embed_level: Matrix  # [12, width]
    embed_predictions: Matrix  # [512, width]
    cos: Matrix  # [2 * block, size / 2]
    sin: Matrix
    blocks: tuple[BlockWeights, ...]
    gate: Matrix  # [width, 2]
    gate_bias: Matrix
    head: Matrix  # [width, 256]
    head_bias: Matrix


def read_weights(data: bytes) -> ByteWeights:
    """Read an ONNX file. Raises ModelUnusable when it is of another architecture."""
    graph = onnx.load_from_string(data).graph
    tensors = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    matrices = [
        tensors[node.input[1]]
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in tensors
    ]
    width = tensors.get("model.embed.weight", np.zeros((0, 0))).shape[1]
    mixes = [
        value
        for item in graph.initializer
        if (value := tensors[item.name]).shape == (width,) and not item.name.startswith("model.")
    ]
    count, rest = divmod(len(matrices) - 3, _PER_BLOCK)
    if rest or count < 1 or len(mixes) != 3 * count:
        raise ModelUnusable(
            "the ONNX file is not the graph of a byte-transformer that this version exports; "
            "export it again"
        )
    blocks = tuple(
        _block(mixes[3 * i : 3 * i + 3], matrices[1 + _PER_BLOCK * i : 1 + _PER_BLOCK * (i + 1)])
        for i in range(count)
    )
    return ByteWeights(
        embed=tensors["model.embed.weight"],
        embed_level=tensors["model.embed_level.weight"],
        embed_predictions=matrices[0],
        cos=tensors["model.blocks.0.cos"],
        sin=tensors["model.blocks.0.sin"],
        blocks=blocks,
        gate=matrices[-2],
        gate_bias=tensors["model.gate.bias"],
        head=matrices[-1],
        head_bias=tensors["model.head.bias"],
    )


def _block(mix: list[Any], matrices: list[Any]) -> BlockWeights:
    # The export folds 1 + weight[2] first, then takes weight[0] and weight[1].
    now, two_before, one_before = mix
    return BlockWeights(np.stack([two_before, one_before, now]), *matrices)
