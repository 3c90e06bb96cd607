"""B0 as the peers run it: as Hugging Face's guide does, and with our graph and post-processing.

Both take the bytes of a JPEG file and return labels (height, width).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Labels = NDArray[np.integer[Any]]


class Usual:
    """Processor, model and post-processing of transformers."""

    def __init__(self, checkpoint: str) -> None:
        import torch
        from transformers import SegformerForSemanticSegmentation, SegformerImageProcessorPil

        self._torch = torch
        self._processor = SegformerImageProcessorPil()
        self._model = SegformerForSemanticSegmentation.from_pretrained(checkpoint)

    def __call__(self, jpeg: bytes) -> Labels:
        """Label one picture."""
        return self.batch([jpeg])[0]

    def batch(self, jpegs: list[bytes]) -> list[Labels]:
        """Label pictures together."""
        images = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in jpegs]
        inputs = self._processor(images=images, return_tensors="pt")
        with self._torch.inference_mode():
            outputs = self._model(**inputs)
        labels = self._processor.post_process_semantic_segmentation(
            outputs, target_sizes=[image.size[::-1] for image in images]
        )
        return [label.numpy().astype(np.uint8) for label in labels]


class Graph:
    """Our model directory through OpenVINO, with our pre- and post-processing."""

    def __init__(self, model: str, precision: str) -> None:
        from benchmarks.segment.openvino import Static
        from services.segment.images import decode as image
        from services.segment.images import upsample
        from services.segment.images.preprocess import Preprocessor
        from services.segment.manifest import MODEL_FILE, read_manifest

        how = read_manifest(Path(model)).preprocessing
        self._decode, self._upsample = image.decode, upsample.upsample_argmax
        self._preprocessor = Preprocessor(how)
        self._engine = Static(Path(model) / MODEL_FILE, (1, 3, how.height, how.width), precision)
        upsample.warm()

    def __call__(self, jpeg: bytes) -> Labels:
        """Label one picture."""
        picture = self._decode(jpeg, 32_000_000)
        logits, labels = self._engine.run(self._preprocessor(picture)[None])
        return self._upsample(logits[0], labels[0], picture.height, picture.width)

    def batch(self, jpegs: list[bytes]) -> list[Labels]:
        """Label pictures one after another: batches are no faster on a CPU."""
        return [self(jpeg) for jpeg in jpegs]


def make(kind: str, arguments: list[str]) -> Usual | Graph:
    """Return the model of a command line: "usual" CHECKPOINT, or "graph" MODEL PRECISION."""
    return Usual(*arguments) if kind == "usual" else Graph(*arguments)
