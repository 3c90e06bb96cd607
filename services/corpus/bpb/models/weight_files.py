"""Finds a Hugging Face model's weights, and reads the shapes of their tensors."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from services.corpus.bpb.models.folder_kinds import NotAModelError, no_weights

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"


def weight_files(directory: Path) -> tuple[Path, ...]:
    """Return the safetensors files. Raises NotAModelError, naming what is there instead."""
    if (directory / WEIGHTS).is_file():
        return (directory / WEIGHTS,)
    index = directory / WEIGHTS_INDEX
    if not index.is_file():
        raise no_weights(directory)
    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    for name in names:
        if not (directory / Path(name).name).is_file():
            raise NotAModelError(f"has no {name}, which {WEIGHTS_INDEX} names")
    return tuple(directory / Path(name).name for name in names)


def tensor_shapes(weights: tuple[Path, ...]) -> dict[str, list[int]]:
    """Read the shapes of the tensors from the headers of safetensors files.

    Raises NotAModelError for a file that is cut off.
    """
    shapes: dict[str, list[int]] = {}
    for path in weights:
        with path.open("rb") as file:
            start = file.read(8)
            size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 0 < size <= path.stat().st_size - 8:
                raise NotAModelError(f"has a damaged {path.name}: its header is cut off")
            header: dict[str, Any] = json.loads(file.read(size))
        header.pop("__metadata__", None)
        shapes.update({name: tensor["shape"] for name, tensor in header.items()})
    return shapes
