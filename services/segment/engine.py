"""Runs one exported graph on ONNX Runtime, and refuses one that isn't a segmenter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from services.errors import InvalidArgument
from services.segment.manifest import MODEL_FILE, Manifest
from services.segment.upsample import Labels

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ERRORS_ONLY = 3


@dataclass(frozen=True)
class Output:
    """Of one picture: `logits` (h, w, C) float32, and their arg max `labels` (h, w)."""

    logits: NDArray[np.float32]
    labels: Labels


def engine_name(device: str) -> str:
    """Return how the contract names the engine and its device."""
    return f"onnxruntime-{device}"


class OnnxEngine:
    """One session of one model. `run` may be called from one thread at a time."""

    def __init__(
        self, directory: Path, manifest: Manifest, *, device: str = "cpu", threads: int = 1
    ) -> None:
        """Open the graph and compute one probe.

        Raises InvalidArgument naming the file or the device, and what is wrong with it.
        """
        self._path = directory / MODEL_FILE
        self._graph = manifest.graph
        self._classes = len(manifest.classes)
        self._size = (manifest.preprocessing.height, manifest.preprocessing.width)
        self.name = engine_name(device)
        self._session = self._open(device, threads)
        self._check_names()
        self._check_output()

    @property
    def max_batch(self) -> int | None:
        """Most pictures a run, None if the graph takes any number."""
        return None if self._graph.dynamic_batch else 1

    def run(self, batch: list[NDArray[np.float32]]) -> list[Output]:
        """Compute pictures of (3, H, W) float32, H and W being the manifest's."""
        logits, labels = self._session.run(
            [self._graph.logits, self._graph.labels],
            {self._graph.input: np.stack(batch) if len(batch) > 1 else batch[0][None]},
        )
        return [Output(*pair) for pair in zip(logits, labels, strict=True)]

    def _open(self, device: str, threads: int) -> ort.InferenceSession:
        provider = _PROVIDERS[device]
        if provider not in ort.get_available_providers():
            raise InvalidArgument(
                "device",
                f"{device} was asked for, but this build of ONNX Runtime has no {provider}: "
                "install the extra segment-gpu instead of segment, or ask for cpu",
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # Spinning between requests takes processors from decoding and from other services.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(str(self._path), options, providers=[provider])
        except Exception as error:
            # ONNX Runtime's exceptions share no base class.
            raise InvalidArgument(
                str(self._path), f"ONNX Runtime can't open it: {error}; export it again"
            ) from error
        if provider not in session.get_providers():
            # ONNX Runtime falls back to the CPU without an error where CUDA can't be loaded.
            raise InvalidArgument(
                "device",
                f"{device} was asked for, but ONNX Runtime could not use {provider} here: check "
                "the driver and the CUDA and cuDNN libraries, or ask for cpu",
            )
        return session

    def _check_names(self) -> None:
        graph = self._graph
        inputs = {tensor.name for tensor in self._session.get_inputs()}
        outputs = {tensor.name for tensor in self._session.get_outputs()}
        if inputs != {graph.input}:
            raise self._wrong(f"its inputs are {sorted(inputs)}, not [{graph.input!r}]")
        lacking = {graph.logits, graph.labels} - outputs
        if lacking:
            raise self._wrong(f"it lacks the outputs {sorted(lacking)}; it has {sorted(outputs)}")

    def _check_output(self) -> None:
        """Compute noise, where every class has its chance, and compare with the manifest."""
        height, width = self._size
        noise = np.random.default_rng(0).standard_normal((3, height, width), dtype=np.float32)
        try:
            probe = self.run([noise])[0]
        except Exception as error:
            raise self._wrong(f"it fails on a picture of its size: {error}") from error
        step = self._graph.downsampling
        h, w = math.ceil(height / step), math.ceil(width / step)
        found = {
            "logits": (tuple(probe.logits.shape), str(probe.logits.dtype)),
            "labels": (tuple(probe.labels.shape), str(probe.labels.dtype)),
        }
        wanted = {
            "logits": ((h, w, self._classes), "float32"),
            "labels": ((h, w), self._graph.labels_type),
        }
        for name, expected in wanted.items():
            if found[name] != expected:
                raise self._wrong(f"a picture's {name} are {found[name]}, not {expected}")
        if not np.isfinite(probe.logits).all():
            raise self._wrong("its logits are not finite")
        if int(probe.labels.max()) >= self._classes:
            raise self._wrong(f"it gives labels that are not below {self._classes}")
        chosen = np.take_along_axis(probe.logits, probe.labels[..., None].astype(np.int64), 2)
        if not np.array_equal(chosen[..., 0], probe.logits.max(axis=2)):
            raise self._wrong("its labels are not the arg max of its logits")

    def _wrong(self, problem: str) -> InvalidArgument:
        return InvalidArgument(
            str(self._path), f"not the segmenter that its manifest describes: {problem}"
        )
