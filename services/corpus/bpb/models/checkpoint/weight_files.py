"""Finds a Hugging Face model's weights, and reads the shapes of their tensors."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from services.corpus.bpb.models.checkpoint.folder_kinds import (
    NotAModelError,
    no_weights,
    refuse_pointer,
)
from services.corpus.bpb.models.checkpoint.json_files import (
    OBJECT,
    json_object,
    kind,
    parsed_object,
    require_all_of,
)

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
_MAX_HEADER = 100_000_000
"""The format's own limit, in bytes."""


def weight_files(directory: Path) -> tuple[Path, ...]:
    """Return the safetensors files. Raises NotAModelError, naming what is there instead."""
    if (directory / WEIGHTS).is_dir():
        raise NotAModelError(f"has a folder called {WEIGHTS}, where a file is needed")
    if (directory / WEIGHTS).is_file():
        return (directory / WEIGHTS,)
    index = directory / WEIGHTS_INDEX
    if not index.exists():
        raise no_weights(directory)
    content = json_object(index)
    require_all_of(content, {"weight_map": OBJECT}, WEIGHTS_INDEX)
    named = content["weight_map"].values()
    odd = [one for one in named if not isinstance(one, str)]
    if odd or not named:
        what = f"{kind(odd[0])} as the name of a file" if odd else "no file in its weight_map"
        raise NotAModelError(f"has a {WEIGHTS_INDEX} with {what}")
    names = sorted(set(named))
    for name in names:
        if not (directory / Path(name).name).is_file():
            raise NotAModelError(f"has no {name}, which {WEIGHTS_INDEX} names")
    return tuple(directory / Path(name).name for name in names)


def tensor_shapes(weights: tuple[Path, ...]) -> dict[str, list[int]]:
    """Read the shapes of the tensors from the headers of safetensors files.

    Raises NotAModelError for a file that is cut short, for one of another format, and for a tensor
    that is in two files: which of them is loaded depends on the library.
    """
    shapes: dict[str, list[int]] = {}
    first: dict[str, Path] = {}
    for path in weights:
        for name, tensor in _header(path).items():
            if name in first:
                raise NotAModelError(
                    f"has the tensor {name} in {first[name].name} and in {path.name}; remove the "
                    "files that are not of this model"
                )
            first[name], shapes[name] = path, tensor["shape"]
    return shapes


def tensor_types(weights: tuple[Path, ...]) -> dict[str, str]:
    """Read the number types of the tensors, as the format calls them: "F32", "BF16", "I8".

    Raises as `tensor_shapes` does.
    """
    return {
        name: str(tensor["dtype"]) for path in weights for name, tensor in _header(path).items()
    }


def _header(path: Path) -> dict[str, Any]:
    """Read what a safetensors file says of each of its tensors."""
    refuse_pointer(path)
    there = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise NotAModelError(f"{_cut_short(path)} ({there} bytes)")
        size = struct.unpack("<Q", start)[0]
        if not 0 < size <= _MAX_HEADER:
            raise NotAModelError(
                f"has a {path.name} that is not a safetensors file; fetch it again"
            )
        if size > there - 8:
            raise NotAModelError(f"{_cut_short(path)} (its header is of {size:,} bytes)")
        header = parsed_object(file.read(size), f"{path.name} header")
    header.pop("__metadata__", None)
    for name, tensor in header.items():
        if not _describes_a_tensor(tensor):
            raise NotAModelError(
                f"has a {path.name} whose header does not say type, shape and place of {name}; "
                "fetch it again"
            )
    ends = (tensor["data_offsets"][1] for tensor in header.values())
    whole = 8 + size + max(ends, default=0)
    if there < whole:
        raise NotAModelError(f"{_cut_short(path)} ({there:,} of {whole:,} bytes)")
    if there > whole:
        raise NotAModelError(
            f"has a {path.name} with {there - whole:,} bytes behind its tensors; fetch it again"
        )
    return header


def _describes_a_tensor(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("dtype"), str):
        return False
    shape, place = value.get("shape"), value.get("data_offsets")
    whole = (isinstance(one, list) and all(map(_is_count, one)) for one in (shape, place))
    return all(whole) and isinstance(place, list) and len(place) == 2


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _cut_short(path: Path) -> str:
    return f"has a {path.name} that is cut short; fetch it again"
