"""Finds a checkpoint's weights and reads them as one state dict. Runs no code from the checkpoint.

Reads files of transformers (whole or in shards), torch.save, Lightning, mmsegmentation and
TensorFlow. Names are returned as in the hub's checkpoints, without a wrapper's common prefix:
`module.`, `_orig_mod.`, `model.` and the like.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from services.errors import InvalidArgument
from services.segment.export.mmsegmentation import is_mmsegmentation, renamed
from services.segment.export.tensorflow import read_tensorflow

INDEX_FILES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WEIGHT_FILES = ("model.safetensors", *INDEX_FILES[:1], "pytorch_model.bin", *INDEX_FILES[1:],
                "tf_model.h5")  # fmt: skip
PICKLES = (".bin", ".pth", ".pt", ".ckpt")
"""Files that torch.save, Lightning and mmsegmentation write."""
# Keys under which programs store the state dict in their files.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net")
# A name that occurs once in every SegFormer, by the writing program.
_ANCHORS = (
    "decode_head.classifier.weight",
    "decode_head.linear_pred.weight",
    "decode_head.conv_seg.weight",
)
_POINTER = b"version https://git-lfs"
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Weights:
    """A state dict by the hub's names, and other information from its file.

    `convolutional_head` means mmsegmentation's decode head, which computes more than the published
    one; `classes` are the names in the file, if any.
    """

    state: State
    files: tuple[Path, ...]
    convolutional_head: bool = False
    classes: tuple[str, ...] | None = None


def find_weights(directory: Path) -> Path | None:
    """Return the file to read: one of WEIGHT_FILES, else the only other file from torch."""
    for name in WEIGHT_FILES:
        if (directory / name).is_file():
            return directory / name
    others = [path for path in sorted(directory.iterdir()) if path.suffix in PICKLES]
    if len(others) > 1:
        names = ", ".join(path.name for path in others)
        raise InvalidArgument("checkpoint", f"{directory} holds {names}: leave one of them there")
    return others[0] if others else None


def read_weights(path: Path) -> Weights:
    """Read a file, or all shards of an index.

    Raises InvalidArgument naming what is damaged or missing, or cannot be read without running
    code.
    """
    files = _shards(path) if path.name in INDEX_FILES else [path]
    content: dict[str, Any] = {}
    for file in files:
        content |= _read(file)
    tensors = _tensors(content, path)
    state = _stripped(tensors, path)
    convolutional = is_mmsegmentation(state)
    return Weights(
        renamed(state), (path, *(file for file in files if file != path)), convolutional,
        _class_names(content),
    )  # fmt: skip


def _shards(index: Path) -> list[Path]:
    try:
        named = json.loads(index.read_text())["weight_map"]
        names = sorted(set(named.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidArgument(
            "checkpoint", f"{index} is not an index of shards: {error!r}"
        ) from error
    for name in names:
        if not isinstance(name, str) or PurePosixPath(name).name != name:
            raise InvalidArgument("checkpoint", f"{index}: {name!r} is not the name of a file")
        if not (index.parent / name).is_file():
            raise InvalidArgument("checkpoint", f"{index.parent} lacks the shard {name}")
    return [index.parent / name for name in names]


def _read(path: Path) -> dict[str, Any]:
    """Return a file's contents: tensors by name, or a dictionary that contains them."""
    try:
        _require_fetched(path)
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        if path.suffix == ".h5":
            return dict(read_tensorflow(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidArgument(
            "checkpoint",
            f"{path} cannot be loaded: it holds more than tensors, and objects are not read, for "
            "that would run their code: save its state dict alone, with "
            "torch.save(model.state_dict(), ...)",
        ) from error
    except (
        OSError, ValueError, TypeError, KeyError, RuntimeError, IndexError, EOFError,
        AttributeError, SafetensorError,
    ) as error:  # fmt: skip
        reason = str(error).strip().split("\n")[0]
        raise InvalidArgument("checkpoint", f"{path} cannot be loaded: {reason}") from error
    if not isinstance(found, dict):
        raise InvalidArgument("checkpoint", f"{path} cannot be loaded: it holds no state dict")
    return found


def _require_fetched(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise ValueError("it is a Git LFS pointer: run `git lfs pull`")


def _tensors(content: Mapping[str, Any], path: Path) -> State:
    """Return the state dict from a program's saved object."""
    inner = content
    while not any(isinstance(value, torch.Tensor) for value in inner.values()):
        for wrapper in _WRAPPERS:
            if isinstance(inner.get(wrapper), Mapping):
                inner = inner[wrapper]
                break
        else:
            found = ", ".join(map(str, list(inner)[:5])) or "nothing"
            raise InvalidArgument(
                "checkpoint", f"{path} cannot be loaded: it holds no state dict; it holds {found}"
            )
    return {str(name): value for name, value in inner.items() if isinstance(value, torch.Tensor)}


def _stripped(state: State, path: Path) -> State:
    """Return the state dict without a prefix that all of a model's names share."""
    for anchor in _ANCHORS:
        prefixes = sorted(name[: -len(anchor)] for name in state if name.endswith(anchor))
        if len(prefixes) > 1:
            names = ", ".join(repr(prefix) for prefix in prefixes)
            raise InvalidArgument(
                "checkpoint", f"{path} holds several models, under {names}: keep one of them"
            )
        if prefixes:
            start = len(prefixes[0])
            return {
                name[start:]: value for name, value in state.items() if name.startswith(prefixes[0])
            }
    some = ", ".join(sorted(state)[:3])
    raise InvalidArgument(
        "checkpoint", f"{path}: no SegFormer with a decode head is in it; it has {some}, ..."
    )


def _class_names(content: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the class names that mmsegmentation saved with the weights."""
    meta = content.get("meta")
    if not isinstance(meta, Mapping):
        return None
    inner = meta.get("dataset_meta")
    names = meta.get("CLASSES") or (inner.get("classes") if isinstance(inner, Mapping) else None)
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return tuple(names) or None
    return None
