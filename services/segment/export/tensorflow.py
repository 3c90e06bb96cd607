"""Reads tf_model.h5, as transformers 4 wrote it, without TensorFlow. Needs only h5py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from services.errors import Unavailable

_LAST = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def read_tensorflow(path: Path) -> dict[str, torch.Tensor]:
    """Return the weights by PyTorch's names and in its order of axes.

    Raises Unavailable if h5py is not installed, OSError for a damaged file, ValueError for a file
    of something else.
    """
    try:
        import h5py  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"reading {path.name} needs h5py, which is not installed: pip install h5py"
        ) from error
    with h5py.File(path, "r") as file:
        found = {_name(name): _tensor(name, values) for name, values in _weights(file)}
    if not found:
        raise ValueError("it holds no weights of a Keras model")
    return found


def _weights(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield each weight's name and values, as Keras lists them."""
    for layer in file.attrs.get("layer_names", ()):
        group = file[_text(layer)]
        for name in group.attrs.get("weight_names", ()):
            yield _text(name), np.asarray(group[_text(name)])


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _name(name: str) -> str:
    """Return PyTorch's name of "model/segformer/encoder/block.0.0/mlp/dense1/kernel:0"."""
    parts = name.partition(":")[0].split("/")
    starts = [index for index, part in enumerate(parts) if part in {"segformer", "decode_head"}]
    parts = parts[starts[0] :] if starts else parts
    parts[-1] = _LAST.get(parts[-1], parts[-1])
    return ".".join(parts)


def _tensor(name: str, values: Any) -> torch.Tensor:
    """Return a weight with PyTorch's axes: (out, in) and (out, in, height, width)."""
    if name.partition(":")[0].endswith("/kernel"):
        values = values.transpose((3, 2, 0, 1) if values.ndim == 4 else None)
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
