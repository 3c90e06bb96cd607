"""Reads what a language model's directory says about itself, without loading the model.

Two layouts: a byte-level model (`lm.json` beside its ONNX file) and a Hugging Face causal language
model (`config.json`, `tokenizer.json`, weights as safetensors).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.common.license import UNSTATED, License
from services.corpus.bpb.models.checkpoint.folder_kinds import (
    NotAModelError,
    refuse_dropout,
    refuse_other_classes,
    refuse_other_files,
)
from services.corpus.bpb.models.checkpoint.json_files import (
    NUMBER,
    OBJECT,
    TEXT,
    json_object,
    require_all_of,
)
from services.corpus.bpb.models.checkpoint.text_config import read_config, read_text_config
from services.corpus.bpb.models.checkpoint.weight_files import (
    WEIGHTS_INDEX,
    tensor_shapes,
    weight_files,
)
from services.corpus.bpb.models.tokenizers.special_tokens import (
    read_tokenizer,
    read_tokenizer_config,
    special_tokens,
)
from services.errors import InvalidArgument

BYTE_FORMAT = "assay-byte-lm/1"
_BYTE_ENTRIES = {
    **dict.fromkeys(("version", "architecture", "model", "sha256"), TEXT),
    **dict.fromkeys(("max_length", "parameters", "prefix_token"), NUMBER),
    "license": OBJECT,
}
_UNSTATED = License(UNSTATED, "not stated in the model's directory")


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

    `max_length_assumed` says that no file states `max_length`: see `TextConfig`.
    `vocabulary` is how many tokens its config.json gives an embedding, `bos_token` and `eos_token`
    are the ids of the special tokens where there are any, `files` all that its figures depend on.
    """

    directory: Path
    architecture: str
    max_length: int
    max_length_assumed: bool
    parameters: int
    vocabulary: int
    license: License
    bos_token: int | None
    eos_token: int | None
    files: tuple[Path, ...]

    @property
    def prefix_token(self) -> int | None:
        """Id of the token before a document: beginning of sequence, or else end of sequence."""
        return self.eos_token if self.bos_token is None else self.bos_token


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
    except NotAModelError as error:
        raise _refuse(name, directory, str(error)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        problem = f"cannot be read as a model ({type(error).__name__}: {error})"
        raise _refuse(name, directory, problem) from error


def file_digests(files: tuple[Path, ...]) -> dict[str, str]:
    """Return the "sha256:<hex>" of each file by its name, in order of names. Reads all of them."""
    found = {}
    for path in sorted(files, key=lambda path: path.name):
        with path.open("rb") as file:
            found[path.name] = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return found


def digest(files: Mapping[str, str]) -> str:
    """Return the "sha256:<hex>" of a model: over the names and the digests of its files."""
    total = hashlib.sha256()
    for name, content in sorted(files.items()):
        total.update(f"{name}\0{content.removeprefix('sha256:')}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _refuse(name: str, directory: Path, problem: str) -> InvalidArgument:
    return InvalidArgument(f"language_models[{name!r}]", f"{directory} {problem}")


def _read_byte_manifest(directory: Path) -> ByteManifest:
    manifest = directory / "lm.json"
    values = json_object(manifest)
    if values.get("format") != BYTE_FORMAT:
        raise NotAModelError(
            f"has an lm.json of format {values.get('format')!r}; this version reads {BYTE_FORMAT!r}"
        )
    require_all_of(values, _BYTE_ENTRIES, "lm.json")
    require_all_of(values["license"], {"id": TEXT}, "license in lm.json")
    terms = {key: str(values["license"].get(key) or "") for key in ("id", "name", "url")}
    model = directory / Path(values["model"]).name
    if not model.is_file():
        raise NotAModelError(f"has no {model.name}, which its lm.json names")
    return ByteManifest(
        version=str(values["version"]),
        architecture=str(values["architecture"]),
        max_length=int(values["max_length"]),
        parameters=int(values["parameters"]),
        license=License(**terms, research_only=values["license"].get("research_only") is True),
        reference=values.get("reference") is True,
        prefix_token=int(values["prefix_token"]),
        model=model,
        sha256=str(values["sha256"]),
        files=(manifest, model),
    )


def _read_hugging_face(directory: Path) -> HuggingFaceModel:
    refuse_other_files(directory)
    config = read_config(directory)
    refuse_other_classes(config)
    refuse_dropout(read_tokenizer(directory))
    weights = weight_files(directory)
    tokenizer_config = read_tokenizer_config(directory)
    found = read_text_config(directory, config, tokenizer_config)
    bos, eos = special_tokens(directory, config, tokenizer_config)
    shapes = tensor_shapes(weights)
    text_config = config.get("text_config") or config
    if text_config.get("tie_word_embeddings", config.get("tie_word_embeddings")):
        # Some files store the shared matrix under both of its names.
        shapes.pop("lm_head.weight", None)
    extras = ("tokenizer_config.json", "special_tokens_map.json", WEIGHTS_INDEX)
    present = tuple(path for extra in extras if (path := directory / extra).is_file())
    return HuggingFaceModel(
        directory=directory,
        architecture=found.architecture,
        max_length=found.max_length,
        max_length_assumed=found.max_length_assumed,
        parameters=sum(math.prod(shape) for shape in shapes.values()),
        vocabulary=found.vocabulary,
        license=_UNSTATED,
        bos_token=bos,
        eos_token=eos,
        files=(directory / "config.json", directory / "tokenizer.json", *present, *weights),
    )
