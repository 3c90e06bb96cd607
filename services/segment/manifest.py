"""The manifest of an exported model directory.

    <directory>/
        manifest.json   this module's `Manifest`
        model.onnx      the graph
        LICENSE.txt     the licence of the weights, if their source has one

Pure. Reading is strict: a missing key, an unknown key or a value of the wrong type is an error with
its path, so that a manifest means exactly what it says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from services.common import strict_documents
from services.common.license import UNREAD_WEIGHTS, UNSTATED_WEIGHTS
from services.common.strict_documents import Document
from services.errors import InvalidArgument, Violation

SCHEMA = 2
MANIFEST_FILE = "manifest.json"
MODEL_FILE = "model.onnx"
LICENSE_FILE = "LICENSE.txt"
# Prefix for digests of files that an export was made from; the files are not in the directory.
SOURCE_PREFIX = "source/"
# Prefix for digests of the manifest's own parts: two models have the same labels, say, if these
# digests are equal.
PART_PREFIX = "manifest/"
MAX_CLASSES = 65_536
_MAX_MANIFEST_BYTES = 16 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
NAME_RULE = "letters, digits, '.', '_' and '-', at most 128, the first a letter or digit"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

WeightsKind = Literal["published", "random", "reference"]
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Resampler = Literal["pillow", "torchvision", "opencv"]
LabelsType = Literal["uint8", "uint16"]
Precision = Literal["fp32", "fp16", "bf16"]


Text = Annotated[str, Field(min_length=1)]
Pixels = Annotated[int, Field(ge=32, le=8192)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Positive = Annotated[int, Field(ge=1, lt=1 << 63)]
Deviation = Annotated[float, Field(gt=0)]


def _name(value: str) -> str:
    if not is_name(value):
        raise ValueError(f"{value!r} is not a name: {NAME_RULE}")
    return value


def _schema(value: int) -> int:
    if value != SCHEMA:
        raise ValueError(f"is {value}; this release reads {SCHEMA}: export the model again")
    return value


class ModelLicense(Document):
    """Licence of the weights. `id` is an SPDX identifier or a LicenseRef-."""

    id: Text
    name: str
    url: str
    research_only: bool

    @property
    def known(self) -> bool:
        """Whether the licence's terms are known."""
        return self.id not in {UNSTATED_WEIGHTS, UNREAD_WEIGHTS}

    @property
    def restricted(self) -> bool:
        """Whether the licence is known to allow only research and evaluation.

        Older exports wrote `research_only` for unknown licences as well.
        """
        return self.research_only and self.known

    @property
    def needs_accepting(self) -> bool:
        """Whether the weights are served only if the settings accept the licence."""
        return self.research_only or not self.known


class ModelClass(Document):
    """A class of the model; its id is its index in the list. `color` is 0xRRGGBB."""

    name: Text
    color: Annotated[int, Field(ge=0, le=0xFFFFFF)]


class ModelPreprocessing(Document):
    """How an RGB picture becomes the graph's input.

    The picture is resized to `height` x `width` (or padded at the bottom and right if `pads`) with
    the arithmetic of `resampler`, scaled to [0, 1], then (value - mean) / std by channel R, G, B.
    If `resizes` is false it keeps its size, and `height` x `width` is the size that the model was
    made for.
    """

    height: Pixels
    width: Pixels
    resample: Resample
    mean: tuple[float, float, float]
    std: tuple[Deviation, Deviation, Deviation]
    pads: bool
    resizes: bool = True
    resampler: Resampler = "pillow"


class ModelGraph(Document):
    """Names and types of the graph's tensors.

    `input` is float32 (N, 3, H, W); `logits` is float32 (N, h, w, C); `labels` is (N, h, w), the
    arg max of the logits over C. h and w are H and W divided by `downsampling`, rounded up.
    `precision` is the number type in which the graph multiplies. `threshold` is for a one-class
    source model, whose class is the second here: the first logit is the logit of that probability
    everywhere.
    """

    input: Text
    logits: Text
    labels: Text
    labels_type: LabelsType
    downsampling: Annotated[int, Field(ge=1, le=64)]
    dynamic_batch: bool
    dynamic_size: bool
    precision: Precision
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None

    def problems(self) -> Iterator[Violation]:
        """Yield an error if two tensors have the same name."""
        if len({self.input, self.logits, self.labels}) != 3:
            yield "input", "three distinct names are needed"

    def logits_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (h, w) of the logits and labels for an input of `height` and `width`."""
        return -(-height // self.downsampling), -(-width // self.downsampling)


class StageFacts(Document):
    """One stage of a hierarchical encoder: blocks, channels, input pixels a side per output."""

    depth: Positive
    width: Positive
    downsampling: Positive


class ModelFacts(Document):
    """Counts and shapes of the source model, exactly as its authors published it.

    `modules` and `head_modules` count leaf modules by class name; `convolutions` counts them by
    role ("depthwise", "patch_embedding", "spatial_reduction", "decode_head"); `logits_shape` is
    (1, C, h, w) for one input of the preprocessing's size.
    """

    parameters: Positive
    parameters_by_part: Mapping[str, Count]
    modules: Mapping[str, Count]
    convolutions: Mapping[str, Count]
    head_modules: Mapping[str, Count]
    stages: tuple[StageFacts, ...]
    logits_shape: tuple[Positive, Positive, Positive, Positive]
    decoder_width: Positive


class ModelParity(Document):
    """How far an engine in a number type is from the source model's fp32, on `probes` pictures.

    `passed` says whether that is close enough to serve. `instruction_set` is the processor's, by
    oneDNN's name, if the figures depend on it; older manifests lack it.
    """

    engine: Text
    precision: Precision
    max_abs_difference: Annotated[float, Field(ge=0)]
    label_agreement: Annotated[float, Field(ge=0, le=1)]
    probes: Positive
    passed: bool
    instruction_set: Text | None = None


class Manifest(Document):
    """Everything recorded about an exported model.

    `source` says in words where the weights came from. For a graph imported without its source
    model, `facts` is None and `parities` empty. Otherwise the first of `parities` decided whether
    the graph was written; the others are engines and number types that were also tried. `digests`
    is "sha256:<hex>" by file: the directory's files under their names, those that the export was
    made from under "source/<name>"; and of the manifest's parts, as `part_digests` returns them.
    `made_with` is versions by package.
    """

    schema_version: Annotated[int, AfterValidator(_schema)] = Field(alias="schema")
    name: Annotated[str, AfterValidator(_name)]
    version: Annotated[str, AfterValidator(_name)]
    architecture: Text
    weights: WeightsKind
    license: ModelLicense
    source: str
    classes: Annotated[tuple[ModelClass, ...], Field(min_length=1, max_length=MAX_CLASSES)]
    preprocessing: ModelPreprocessing
    graph: ModelGraph
    facts: ModelFacts | None
    parities: tuple[ModelParity, ...]
    digests: Mapping[str, str]
    made_with: Mapping[str, str]

    def problems(self) -> Iterator[Violation]:
        """Return the parts that contradict each other."""
        count = len(self.classes)
        wanted = labels_type(count)
        if self.graph.labels_type != wanted:
            kind = self.graph.labels_type
            yield "graph.labels_type", f"is {kind}; {count} classes need {wanted}"
        tried = [(one.engine, one.precision) for one in self.parities]
        if len(set(tried)) != len(tried):
            yield "parities", "an engine and precision appears twice"
        if self.parities and not self.parities[0].passed:
            yield "parities", "the first did not pass; such a graph is never written"
        if MODEL_FILE not in self.digests:
            yield "digests", f"lacks {MODEL_FILE!r}"
        parts = part_digests(self.license, self.classes, self.preprocessing)
        for file, digest in self.digests.items():
            if file.startswith(PART_PREFIX):
                if parts.get(file) != digest:
                    right = parts.get(file)
                    problem = f"is {digest!r}, not {right!r} as that part of the manifest has"
                    yield f"digests.{file}", problem
                continue
            plain = PurePosixPath(file.removeprefix(SOURCE_PREFIX))
            if plain.name != str(plain) or plain.name in {"", ".."}:
                yield "digests", f"{file!r} is not a file name"
            if _DIGEST.fullmatch(digest) is None:
                problem = f"{digest!r} is not 'sha256:' and 64 hexadecimal digits"
                yield f"digests.{file}", problem

    @property
    def parity(self) -> ModelParity | None:
        """The parity that decided whether the graph was written; None for an imported graph."""
        return self.parities[0] if self.parities else None


def part_digests(
    terms: ModelLicense, classes: tuple[ModelClass, ...], preprocessing: ModelPreprocessing
) -> dict[str, str]:
    """Return "sha256:<hex>" of the canonical JSON of four parts of a manifest."""
    parts = {
        "license": terms.model_dump(),
        "labels": [item.name for item in classes],
        "palette": [item.color for item in classes],
        "preprocessing": _as_before(preprocessing.model_dump(), ModelPreprocessing),
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
    value = manifest.model_dump(by_alias=True)
    value["preprocessing"] = _as_before(value["preprocessing"], ModelPreprocessing)
    value["graph"] = _as_before(value["graph"], ModelGraph)
    value["parities"] = [_as_before(parity, ModelParity) for parity in value["parities"]]
    return _canonical(value)


def _as_before(value: Mapping[str, Any], kind: type[Document]) -> dict[str, Any]:
    """Return it without empty values that older releases did not write, so that digests stay."""
    fields = kind.model_fields
    return {
        key: item
        for key, item in value.items()
        if fields[key].is_required() or item != fields[key].default
    }


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1)
    return text.encode() + b"\n"


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def decode_manifest(data: bytes, file: str = MANIFEST_FILE) -> Manifest:
    """Parse a manifest strictly.

    Raises InvalidArgument, whose field is `file`, with all errors and their paths.
    """
    return strict_documents.read(Manifest, data, file)


def manifest_digest(manifest: Manifest) -> str:
    """Return "sha256:<hex>" of the canonical JSON.

    It covers the graph and the licence too, since the manifest contains their digests.
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
