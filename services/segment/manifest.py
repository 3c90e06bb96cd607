"""The manifest of an exported model directory.

    <directory>/
        manifest.json   this module's `Manifest`
        model.onnx      the graph
        LICENSE.txt     the licence of the weights, where their source has one

Pure: JSON and the standard library. Reading is strict: a missing key, an unknown key or a value
of the wrong kind is an error that names its place, so that a manifest never means something else
than it says.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from services.errors import InvalidArgument
from services.segment.strict_json import added, build, loads

SCHEMA = 2
MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"
LICENSE_FILE = "LICENSE.txt"
# Prefix of the digests of the files that an export was made from; they are not in the directory.
SOURCE_PREFIX = "source/"
# Prefix of the digests of the manifest's own parts: two models have the same labels, say, where
# these digests are the same.
PART_PREFIX = "manifest/"
MAX_CLASSES = 65_536
_MAX_MANIFEST_BYTES = 16 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
NAME_RULE = "letters, digits, '.', '_' and '-', at most 128, the first a letter or digit"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

WeightsKind = Literal["published", "random", "reference"]
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]
LabelsType = Literal["uint8", "uint16"]
Precision = Literal["fp32", "fp16", "bf16"]


def _require(condition: bool, key: str, problem: str) -> None:
    """Raise ValueError naming `key` unless `condition` holds."""
    if not condition:
        raise ValueError(f"{key}: {problem}")


@dataclass(frozen=True)
class ModelLicense:
    """Licence of the weights. `id` is an SPDX identifier or a LicenseRef-."""

    id: str
    name: str
    url: str
    research_only: bool

    def __post_init__(self) -> None:
        _require(bool(self.id), "id", "may not be empty")


@dataclass(frozen=True)
class ModelClass:
    """A class of the model; its id is its place in the list. `color` is 0xRRGGBB."""

    name: str
    color: int

    def __post_init__(self) -> None:
        _require(bool(self.name), "name", "may not be empty")
        _require(0 <= self.color <= 0xFFFFFF, "color", "must be in 0..0xFFFFFF")


@dataclass(frozen=True)
class ModelPreprocessing:
    """How an RGB picture becomes the graph's input.

    The picture is resized to `height` x `width` (or padded at the bottom and right if `pads`),
    scaled to [0, 1], then (value - mean) / std by channel R, G, B.
    """

    height: int
    width: int
    resample: Resample
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pads: bool

    def __post_init__(self) -> None:
        for key, size in (("height", self.height), ("width", self.width)):
            _require(32 <= size <= 8192, key, "must be in 32..8192 pixels")
        _require(all(math.isfinite(x) for x in self.mean), "mean", "must be finite")
        _require(all(0 < x < math.inf for x in self.std), "std", "must be positive and finite")


@dataclass(frozen=True)
class ModelGraph:
    """Names and types of the graph's tensors.

    `input` is float32 (N, 3, H, W); `logits` is float32 (N, h, w, C); `labels` is (N, h, w), the
    arg max of the logits over C. h and w are H and W over `downsampling`, rounded up. `precision`
    is the number type that the graph multiplies in.
    """

    input: str
    logits: str
    labels: str
    labels_type: LabelsType
    downsampling: int
    dynamic_batch: bool
    dynamic_size: bool
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        _require(1 <= self.downsampling <= 64, "downsampling", "must be in 1..64")
        names = (self.input, self.logits, self.labels)
        _require(all(names) and len(set(names)) == 3, "input", "three distinct names are needed")

    def logits_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (h, w) of the logits and labels of an input of `height` and `width`."""
        return -(-height // self.downsampling), -(-width // self.downsampling)


@dataclass(frozen=True)
class StageFacts:
    """One stage of a hierarchical encoder: blocks, channels, input pixels a side per output."""

    depth: int
    width: int
    downsampling: int

    def __post_init__(self) -> None:
        for key in ("depth", "width", "downsampling"):
            _require(getattr(self, key) >= 1, key, "must be at least 1")


@dataclass(frozen=True)
class ModelFacts:
    """Counts and shapes of the source model, exactly as its authors published it.

    `modules` and `head_modules` count leaf modules by class name; `convolutions` counts them by
    role ("depthwise", "patch_embedding", "spatial_reduction", "decode_head"); `logits_shape` is
    (1, C, h, w) for one input of the preprocessing's size.
    """

    parameters: int
    parameters_by_part: Mapping[str, int]
    modules: Mapping[str, int]
    convolutions: Mapping[str, int]
    head_modules: Mapping[str, int]
    stages: tuple[StageFacts, ...]
    logits_shape: tuple[int, int, int, int]
    decoder_width: int

    def __post_init__(self) -> None:
        _require(self.parameters >= 1, "parameters", "must be at least 1")
        for key in ("parameters_by_part", "modules", "convolutions", "head_modules"):
            counts = getattr(self, key)
            _require(all(x >= 0 for x in counts.values()), key, "counts may not be negative")
        _require(all(x >= 1 for x in self.logits_shape), "logits_shape", "must be positive")
        _require(self.decoder_width >= 1, "decoder_width", "must be at least 1")


@dataclass(frozen=True)
class ModelParity:
    """How far an engine in a number type is from the source model's fp32, on `probes` pictures.

    `passed` says whether that is close enough to be served. `instruction_set` is the processor's,
    by oneDNN's name, where that decides the figures; older manifests don't tell it.
    """

    engine: str
    precision: Precision
    max_abs_difference: float
    label_agreement: float
    probes: int
    passed: bool
    instruction_set: str | None = added(None)

    def __post_init__(self) -> None:
        _require(bool(self.engine), "engine", "may not be empty")
        difference = self.max_abs_difference
        _require(0 <= difference < math.inf, "max_abs_difference", "must be finite, at least 0")
        _require(0 <= self.label_agreement <= 1, "label_agreement", "must be in [0, 1]")
        _require(self.probes >= 1, "probes", "must be at least 1")
        _require(self.instruction_set != "", "instruction_set", "may not be empty")


@dataclass(frozen=True)
class Manifest:
    """Everything recorded about an exported model.

    `source` says in words where the weights came from. `facts` is None and `parities` empty for a
    graph that was imported without its source model; else the first of `parities` is the one that
    decided whether the graph was written, the others are engines and number types that were tried
    on it. `digests` is "sha256:<hex>" by file: those of the directory under their names, those that
    the export was made from under "source/<name>"; and of the manifest's parts, as `part_digests`
    gives them. `made_with` is versions by package.
    """

    schema: int
    name: str
    version: str
    architecture: str
    weights: WeightsKind
    license: ModelLicense
    source: str
    classes: tuple[ModelClass, ...]
    preprocessing: ModelPreprocessing
    graph: ModelGraph
    facts: ModelFacts | None
    parities: tuple[ModelParity, ...]
    digests: Mapping[str, str]
    made_with: Mapping[str, str]

    def __post_init__(self) -> None:
        _require(
            self.schema == SCHEMA,
            "schema",
            f"is {self.schema}; this release reads {SCHEMA}: export the model again",
        )
        for key in ("name", "version"):
            value = getattr(self, key)
            _require(is_name(value), key, f"{value!r} is not a name: {NAME_RULE}")
        _require(bool(self.architecture), "architecture", "may not be empty")
        count = len(self.classes)
        _require(1 <= count <= MAX_CLASSES, "classes", f"{count} of them; 1..{MAX_CLASSES} allowed")
        wanted = labels_type(count)
        _require(
            self.graph.labels_type == wanted,
            "graph.labels_type",
            f"is {self.graph.labels_type}; {count} classes need {wanted}",
        )
        tried = [(one.engine, one.precision) for one in self.parities]
        _require(
            len(set(tried)) == len(tried), "parities", "an engine and precision is there twice"
        )
        _require(
            not self.parities or self.parities[0].passed,
            "parities",
            "the first did not pass; such a graph is never written",
        )
        _require(MODEL_FILE in self.digests, "digests", f"lacks {MODEL_FILE!r}")
        parts = part_digests(self.license, self.classes, self.preprocessing)
        for file, digest in self.digests.items():
            if file.startswith(PART_PREFIX):
                _require(
                    parts.get(file) == digest,
                    f"digests.{file}",
                    f"is {digest!r}, not {parts.get(file)!r} as that part of the manifest has",
                )
                continue
            plain = PurePosixPath(file.removeprefix(SOURCE_PREFIX))
            named = plain.name == str(plain) and plain.name not in {"", ".."}
            _require(named, "digests", f"{file!r} is not a file name")
            _require(
                _DIGEST.fullmatch(digest) is not None,
                f"digests.{file}",
                f"{digest!r} is not 'sha256:' and 64 hexadecimal digits",
            )

    @property
    def parity(self) -> ModelParity | None:
        """What decided whether the graph was written; None for an imported graph."""
        return self.parities[0] if self.parities else None


def part_digests(
    terms: ModelLicense, classes: tuple[ModelClass, ...], preprocessing: ModelPreprocessing
) -> dict[str, str]:
    """Return "sha256:<hex>" of the canonical JSON of four parts of a manifest."""
    parts = {
        "license": asdict(terms),
        "labels": [item.name for item in classes],
        "palette": [item.color for item in classes],
        "preprocessing": asdict(preprocessing),
    }
    return {PART_PREFIX + name: _digest(_canonical(part)) for name, part in parts.items()}


def is_name(value: str) -> bool:
    """Return whether `value` can name a model or a version of it, by NAME_RULE."""
    return _NAME.fullmatch(value) is not None


def labels_type(classes: int) -> LabelsType:
    """Return the element type of label maps with that many classes."""
    return "uint8" if classes <= 256 else "uint16"


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the manifest's one canonical JSON text: keys in order, UTF-8, a final newline."""
    value = asdict(manifest)
    for parity in value["parities"]:
        if parity["instruction_set"] is None:  # as it was written before, so digests stay
            del parity["instruction_set"]
    return _canonical(value)


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
    return text.encode() + b"\n"


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def decode_manifest(data: bytes, place: str = MANIFEST_FILE) -> Manifest:
    """Parse a manifest strictly.

    Raises InvalidArgument, whose field is `place`, naming the key that is wrong.
    """
    try:
        return build(Manifest, loads(data))
    except ValueError as error:
        raise InvalidArgument(place, str(error)) from error


def manifest_digest(manifest: Manifest) -> str:
    """Return "sha256:<hex>" of the canonical JSON.

    It covers the graph and the licence too, since the manifest holds their digests.
    """
    return _digest(encode_manifest(manifest))


def file_digest(path: Path) -> str:
    """Return "sha256:<hex>" of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of an exported model directory.

    Raises InvalidArgument if the directory is not one, or if the manifest is not valid. Does not
    read the graph: `verify_files` does.
    """
    path = directory / MANIFEST_FILE
    lacking = [name for name in (MANIFEST_FILE, MODEL_FILE) if not (directory / name).is_file()]
    if lacking:
        what = "is not an exported model" if directory.is_dir() else "is not a directory"
        raise InvalidArgument(
            str(directory),
            f"{what}: {' and '.join(lacking)} missing; `assay export` makes such a directory",
        )
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise InvalidArgument(str(path), f"larger than {_MAX_MANIFEST_BYTES} bytes")
    return decode_manifest(path.read_bytes(), str(path))


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into an existing directory. Raises OSError."""
    (directory / MANIFEST_FILE).write_bytes(encode_manifest(manifest))


def verify_files(directory: Path, manifest: Manifest) -> None:
    """Check the digest of each of the directory's files that the manifest names.

    Raises InvalidArgument naming the file that is missing or differs.
    """
    for name, wanted in manifest.digests.items():
        if name.startswith((SOURCE_PREFIX, PART_PREFIX)):
            continue
        path = directory / name
        if not path.is_file():
            raise InvalidArgument(str(path), "missing, though the manifest names it; export again")
        found = file_digest(path)
        if found != wanted:
            raise InvalidArgument(
                str(path), f"its digest is {found}, the manifest says {wanted}; export again"
            )
