"""A segmenter small enough for every test, written without the onnx package.

Average pooling by 4, one 1x1 convolution, arg max: its labels can be computed by hand. Graphs that
are wrong in one way are made by the same function.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.segment.manifest import (
    MODEL_FILE,
    SCHEMA,
    Manifest,
    ModelClass,
    ModelFacts,
    ModelGraph,
    ModelLicense,
    ModelParity,
    ModelPreprocessing,
    StageFacts,
    file_digest,
    labels_type,
    write_manifest,
)

STEP = 4
_FLOAT, _UINT8, _UINT16 = 1, 2, 4
APACHE = ModelLicense(id="Apache-2.0", name="Apache License 2.0", url="", research_only=False)
RESEARCH = ModelLicense(
    id="LicenseRef-Test", name="Test Licence", url="https://example.org", research_only=True
)


@dataclass(frozen=True)
class Tiny:
    """What the model is; `weights` is (classes, 3), drawn from `seed`."""

    name: str = "tiny"
    version: str = "1"
    height: int = 64
    width: int = 96
    classes: int = 7
    seed: int = 0
    license: ModelLicense = APACHE
    batch: str | int = "N"  # a number makes the graph's batch fixed
    free_size: bool = False  # the graph takes any height and width
    logits_name: str = "logits"
    argmax_axis: int = 3  # of (N, h, w, classes)
    negate_labels: bool = False  # the arg min instead of the arg max
    alike: bool = False  # classes are a thousandth apart, which bf16 can't tell

    @property
    def weights(self) -> NDArray[np.float32]:
        drawn = np.random.default_rng(self.seed).normal(size=(self.classes, 3))
        if self.alike:
            drawn = drawn[:1] + drawn / 1000
        return drawn.astype(np.float32)

    def logits(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (h, w, classes) of a (3, H, W) input, in numpy."""
        height, width = tensor.shape[1:]
        pooled = tensor.reshape(3, height // STEP, STEP, width // STEP, STEP)
        logits: NDArray[np.float32] = np.einsum(
            "chw,kc->hwk", pooled.mean(axis=(2, 4)), self.weights
        )
        return logits

    def manifest(self) -> Manifest:
        h, w = self.height // STEP, self.width // STEP
        return Manifest(
            schema=SCHEMA,
            name=self.name,
            version=self.version,
            architecture="tiny",
            weights="reference",
            license=self.license,
            source="drawn from a seed",
            classes=tuple(ModelClass(name=f"class {i}", color=i) for i in range(self.classes)),
            preprocessing=ModelPreprocessing(
                height=self.height,
                width=self.width,
                resample="bilinear",
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                pads=False,
            ),
            graph=ModelGraph(
                input="pixel_values",
                logits="logits",
                labels="labels",
                labels_type=labels_type(self.classes),
                downsampling=STEP,
                dynamic_batch=self.batch == "N",
                dynamic_size=self.free_size,
                precision="fp32",
            ),
            facts=ModelFacts(
                parameters=3 * self.classes,
                parameters_by_part={"decode_head": 3 * self.classes},
                modules={"Conv2d": 1},
                convolutions={"decode_head": 1},
                head_modules={"Conv2d": 1},
                stages=(StageFacts(depth=1, width=3, downsampling=STEP),),
                logits_shape=(1, self.classes, h, w),
                decoder_width=3,
            ),
            parities=(
                ModelParity(
                    engine="onnxruntime-cpu",
                    precision="fp32",
                    max_abs_difference=0.0,
                    label_agreement=1.0,
                    probes=1,
                    passed=True,
                ),
            ),
            digests={MODEL_FILE: "sha256:" + "0" * 64},
            made_with={},
        )


def write(directory: Path, tiny: Tiny | None = None) -> Path:
    """Write a model directory; return it."""
    tiny = tiny or Tiny()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MODEL_FILE).write_bytes(_model(tiny))
    sealed(directory, tiny.manifest())
    return directory


def sealed(directory: Path, manifest: Manifest) -> None:
    """Write the manifest with the digest of the graph that is there."""
    digests = {MODEL_FILE: file_digest(directory / MODEL_FILE)}
    write_manifest(directory, manifest.replaced(digests=digests))


def _model(tiny: Tiny) -> bytes:
    h: str | int = tiny.height // STEP
    w: str | int = tiny.width // STEP
    size: list[str | int] = [tiny.height, tiny.width]
    if tiny.free_size:
        h, w, size = "h", "w", ["H", "W"]
    kind = _UINT8 if tiny.classes <= 256 else _UINT16
    kernel = _ints("kernel_shape", STEP, STEP) + _ints("strides", STEP, STEP)
    weights = tiny.weights.reshape(tiny.classes, 3, 1, 1)
    source = "negative" if tiny.negate_labels else tiny.logits_name
    arg = _int("axis", tiny.argmax_axis) + _int("keepdims", 0)
    nodes = [
        _node("AveragePool", ["pixel_values"], "pooled", kernel),
        _node("Conv", ["pooled", "weights"], "channels_first", b""),
        _node("Transpose", ["channels_first"], tiny.logits_name, _ints("perm", 0, 2, 3, 1)),
        _node("Neg", [tiny.logits_name], "negative", b""),
        _node("ArgMax", [source], "indices", arg),
        _node("Cast", ["indices"], "labels", _int("to", kind)),
    ]
    tensor = (
        b"".join(_varint(1, size) for size in weights.shape)
        + _varint(2, _FLOAT)
        + _bytes(8, b"weights")
        + _bytes(9, weights.tobytes())
    )
    axes: list[str | int] = [tiny.batch, h, w, tiny.classes]
    label_axes = axes[: tiny.argmax_axis] + axes[tiny.argmax_axis + 1 :]
    graph = (
        b"".join(_bytes(1, node) for node in nodes)
        + _bytes(2, b"tiny")
        + _bytes(5, tensor)
        + _bytes(11, _value("pixel_values", _FLOAT, [tiny.batch, 3, *size]))
        + _bytes(12, _value(tiny.logits_name, _FLOAT, axes))
        + _bytes(12, _value("labels", kind, label_axes))
    )
    return _varint(1, 8) + _bytes(8, _varint(2, 17)) + _bytes(7, graph)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _varint(field: int, value: int) -> bytes:
    return _number(field << 3) + _number(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _number(field << 3 | 2) + _number(len(value)) + value


def _int(name: str, value: int) -> bytes:
    return _bytes(5, _bytes(1, name.encode()) + _varint(3, value) + _varint(20, 2))


def _ints(name: str, *values: int) -> bytes:
    body = b"".join(_varint(8, value) for value in values)
    return _bytes(5, _bytes(1, name.encode()) + body + _varint(20, 7))


def _node(kind: str, inputs: list[str], output: str, attributes: bytes) -> bytes:
    names = b"".join(_bytes(1, name.encode()) for name in inputs)
    return names + _bytes(2, output.encode()) + _bytes(4, kind.encode()) + attributes


def _value(name: str, kind: int, axes: list[str | int]) -> bytes:
    shape = b"".join(
        _bytes(1, _varint(1, axis) if isinstance(axis, int) else _bytes(2, axis.encode()))
        for axis in axes
    )
    tensor = _varint(1, kind) + _bytes(2, shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))
