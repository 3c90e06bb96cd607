"""Refuses a graph that is not the segmenter that its manifest describes, for any engine."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from services.errors import InvalidArgument
from services.segment.engines.engine import Engine, Floats, OnDevice
from services.segment.manifest import MODEL_FILE, Manifest


class GraphCheck:
    """The checks of one model directory. Each raises InvalidArgument naming the file."""

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.path = directory / MODEL_FILE
        self._manifest = manifest

    def names(self, inputs: Collection[str], outputs: Collection[str]) -> None:
        """Compare the names of the graph's tensors with the manifest's."""
        graph = self._manifest.graph
        if set(inputs) != {graph.input}:
            raise self._wrong(f"its inputs are {sorted(inputs)}, not [{graph.input!r}]")
        lacking = {graph.logits, graph.labels} - set(outputs)
        if lacking:
            raise self._wrong(f"it lacks the outputs {sorted(lacking)}; it has {sorted(outputs)}")

    def output(self, engine: Engine) -> None:
        """Compute noise, in which any class can win, and compare with the manifest."""
        how, graph = self._manifest.preprocessing, self._manifest.graph
        classes = len(self._manifest.classes)
        noise = np.random.default_rng(0).standard_normal(
            (3, how.height, how.width), dtype=np.float32
        )
        try:
            output = engine.run([noise])[0]
        except Exception as error:
            # Engines' exceptions share no base class.
            raise self._wrong(f"it fails on a picture of its size: {error}") from error
        h, w = graph.logits_size(how.height, how.width)
        found = {
            "logits": (tuple(output.logits.shape), str(output.logits.dtype)),
            "labels": (tuple(output.labels.shape), str(output.labels.dtype)),
        }
        wanted = {
            "logits": ((h, w, classes), "float32"),
            "labels": ((h, w), graph.labels_type),
        }
        for name, expected in wanted.items():
            if found[name] != expected:
                raise self._wrong(f"a picture's {name} are {found[name]}, not {expected}")
        if not np.isfinite(output.logits).all():
            raise self._wrong("its logits are not finite")
        if int(output.labels.max()) >= classes:
            raise self._wrong(f"it gives labels that are not below {classes}")
        chosen = np.take_along_axis(output.logits, output.labels[..., None].astype(np.int64), 2)
        if not np.array_equal(chosen[..., 0], output.logits.max(axis=2)):
            raise self._wrong("its labels are not the arg max of its logits")

    def size(self, tensor: Floats | OnDevice) -> None:
        """Refuse a tensor of neither the manifest's size nor another that the graph accepts.

        Raises InvalidArgument.
        """
        how = self._manifest.preprocessing
        own = (3, how.height, how.width)
        if tensor.shape != own and not self._manifest.graph.dynamic_size:
            raise InvalidArgument(
                "tensor", f"{tensor.shape}; the graph of this model takes {own} only"
            )

    def _wrong(self, problem: str) -> InvalidArgument:
        return InvalidArgument(
            str(self.path), f"not the segmenter that its manifest describes: {problem}"
        )
