"""Reads what a language model's directory says about itself, without loading the model.

Two layouts: a byte-level model (`lm.json` beside its ONNX file) and a Hugging Face causal language
model (`config.json`, `tokenizer.json`, weights as safetensors).
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.corpus.bpb.models.language_model import License
from services.errors import InvalidArgument

BYTE_FORMAT = "assay-byte-lm/1"
_WEIGHTS = "model.safetensors"
_WEIGHTS_INDEX = "model.safetensors.index.json"
# Where configurations keep the longest input, in the order that lm-evaluation-harness looks.
_LENGTH_KEYS = ("n_positions", "max_position_embeddings", "n_ctx")
_DEFAULT_LENGTH = 2048
_UNSTATED = License("unstated", "not stated in the model's directory")


@dataclass(frozen=True)
class ByteManifest:
    """A byte-level model: `model` is the ONNX file, `sha256` its digest in hex."""

    version: str
    architecture: str
    max_length: int
    parameters: int
    license: License
    reference: bool
    prefix_token: int
    model: Path
    sha256: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class HuggingFaceModel:
    """A Hugging Face causal language model.

    `prefix` is the text of the token that stands before a document, `bos_token` and `eos_token` the
    ids of the special tokens where there are any, `files` all that its figures depend on.
    """

    directory: Path
    architecture: str
    max_length: int
    parameters: int
    vocabulary: int
    license: License
    prefix: str
    bos_token: int | None
    eos_token: int | None
    files: tuple[Path, ...]


def read_directory(name: str, directory: Path) -> ByteManifest | HuggingFaceModel:
    """Read the directory that is registered as `name`.

    Raises InvalidArgument, naming what is missing or wrong, when it is not a model's.
    """
    if not directory.is_dir():
        raise _refuse(name, directory, "is not a directory")
    try:
        if (directory / "lm.json").is_file():
            return _read_byte_manifest(directory)
        return _read_hugging_face(directory)
    except _NotAModelError as error:
        raise _refuse(name, directory, str(error)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"cannot be read as a model ({type(error).__name__}: {error})"
        raise _refuse(name, directory, problem) from error


def digest(files: tuple[Path, ...]) -> str:
    """Return "sha256:<hex>" over the names and contents of files. Reads all of them."""
    total = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.name):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.name}\0{content}\n".encode())
    return f"sha256:{total.hexdigest()}"


class _NotAModelError(Exception):
    """The message says what is missing."""


def _refuse(name: str, directory: Path, problem: str) -> InvalidArgument:
    return InvalidArgument(f"language_models[{name!r}]", f"{directory} {problem}")


def _read_byte_manifest(directory: Path) -> ByteManifest:
    manifest = directory / "lm.json"
    values = json.loads(manifest.read_text(encoding="utf-8"))
    if values.get("format") != BYTE_FORMAT:
        raise _NotAModelError(
            f"has an lm.json of format {values.get('format')!r}; this version reads {BYTE_FORMAT!r}"
        )
    model = directory / Path(values["model"]).name
    if not model.is_file():
        raise _NotAModelError(f"has no {model.name}, which its lm.json names")
    return ByteManifest(
        version=str(values["version"]),
        architecture=str(values["architecture"]),
        max_length=int(values["max_length"]),
        parameters=int(values["parameters"]),
        license=License(**values["license"]),
        reference=bool(values["reference"]),
        prefix_token=int(values["prefix_token"]),
        model=model,
        sha256=str(values["sha256"]),
        files=(manifest, model),
    )


def _read_hugging_face(directory: Path) -> HuggingFaceModel:
    for required in ("config.json", "tokenizer.json"):
        if not (directory / required).is_file():
            raise _NotAModelError(
                f"has no {required}; a model's directory holds config.json, tokenizer.json and "
                f"{_WEIGHTS} (or lm.json, for a byte-level model in ONNX)"
            )
    weights = _weight_files(directory)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    text_config = config.get("text_config") or config
    tokenizer = _optional_json(directory / "tokenizer_config.json")
    special = _optional_json(directory / "special_tokens_map.json")
    bos = _token_text(tokenizer.get("bos_token")) or _token_text(special.get("bos_token"))
    eos = _token_text(tokenizer.get("eos_token")) or _token_text(special.get("eos_token"))
    prefix = bos or eos
    if prefix is None:
        raise _NotAModelError(
            "names neither a bos_token nor an eos_token in tokenizer_config.json, and the first "
            "token of a document needs one before it"
        )
    shapes = _tensor_shapes(weights)
    if text_config.get("tie_word_embeddings", config.get("tie_word_embeddings")):
        # Some files store the shared matrix under both of its names.
        shapes.pop("lm_head.weight", None)
    extras = ("tokenizer_config.json", "special_tokens_map.json", _WEIGHTS_INDEX)
    present = tuple(path for extra in extras if (path := directory / extra).is_file())
    return HuggingFaceModel(
        directory=directory,
        architecture=str(config["model_type"]),
        max_length=_max_length(text_config, tokenizer),
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        vocabulary=int(text_config["vocab_size"]),
        license=_UNSTATED,
        prefix=prefix,
        bos_token=_token_id(directory, bos),
        eos_token=_token_id(directory, eos),
        files=(directory / "config.json", directory / "tokenizer.json", *present, *weights),
    )


def _weight_files(directory: Path) -> tuple[Path, ...]:
    if (directory / _WEIGHTS).is_file():
        return (directory / _WEIGHTS,)
    index = directory / _WEIGHTS_INDEX
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        for name in names:
            if not (directory / Path(name).name).is_file():
                raise _NotAModelError(f"has no {name}, which {_WEIGHTS_INDEX} names")
        return tuple(directory / Path(name).name for name in names)
    other = next((path.name for path in sorted(directory.glob("*.bin"))), None)
    hint = f"; convert {other}, since pickles are not loaded" if other else ""
    raise _NotAModelError(f"has no {_WEIGHTS}{hint}")


def _tensor_shapes(weights: tuple[Path, ...]) -> dict[str, list[int]]:
    """Read the shapes of the tensors from the headers of safetensors files."""
    shapes: dict[str, list[int]] = {}
    for path in weights:
        with path.open("rb") as file:
            start = file.read(8)
            size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 0 < size <= path.stat().st_size - 8:
                raise _NotAModelError(f"has a damaged {path.name}: its header is cut off")
            header: dict[str, Any] = json.loads(file.read(size))
        header.pop("__metadata__", None)
        shapes.update({name: tensor["shape"] for name, tensor in header.items()})
    return shapes


def _max_length(config: dict[str, Any], tokenizer: dict[str, Any]) -> int:
    for key in _LENGTH_KEYS:
        if config.get(key) is not None:
            return int(config[key])
    length = tokenizer.get("model_max_length")
    # Tokenizers without a limit say 10^30.
    return int(length) if length is not None and length < 10**15 else _DEFAULT_LENGTH


def _optional_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _token_id(directory: Path, text: str | None) -> int | None:
    """Look a special token up in tokenizer.json, which the engine then reads itself."""
    if text is None:
        return None
    content = _optional_json(directory / "tokenizer.json")
    for token in content.get("added_tokens") or ():
        if token.get("content") == text:
            return int(token["id"])
    vocabulary = (content.get("model") or {}).get("vocab")
    found = vocabulary.get(text) if isinstance(vocabulary, dict) else None
    return None if found is None else int(found)


def _token_text(value: object) -> str | None:
    """Read a special token, which is spelled as text or as an object with its content."""
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) and content else None
