"""Accuracy of an exported model on drawn scenes, by mmsegmentation's definition of mIoU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from services.segment.manifest import MODEL_FILE, Manifest, ModelPreprocessing, read_manifest
from services.segment.reference.scenes.canvas import Floats
from services.segment.reference.scenes.draw import draw_scene
from services.segment.reference.scenes.labels import DRAWN

# Scenes that training never sees: training draws seeds from 0 up.
HELD_OUT_SEED = 1_000_000
HELD_OUT_SCENES = 60
HELD_OUT_SIZE = (384, 512)


@dataclass(frozen=True)
class Accuracy:
    """Mean IoU over the classes present, IoU by class id, share of pixels that are right."""

    mean_iou: float
    iou: dict[int, float]
    pixel_accuracy: float


def model_input(rgb: NDArray[np.uint8], preprocessing: ModelPreprocessing) -> Floats:
    """Return a picture (H, W, 3) as the model's input (1, 3, h, w)."""
    size = (preprocessing.width, preprocessing.height)
    resized = Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR)
    mean = np.array(preprocessing.mean, np.float32)
    std = np.array(preprocessing.std, np.float32)
    values = (np.asarray(resized, np.float32) / 255 - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None], np.float32)


def upsample(logits: Floats, height: int, width: int) -> Floats:
    """Return (h, w, C) logits at (height, width) by bilinear interpolation of pixel centres."""
    for axis, size in ((0, height), (1, width)):
        length = logits.shape[axis]
        position = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.floor(position).astype(np.int64)
        high = np.minimum(low + 1, length - 1)
        weight = (
            (position - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        )
        logits = logits.take(low, axis) * (1 - weight) + logits.take(high, axis) * weight
    return logits


def accuracy(confusion: NDArray[np.int64]) -> Accuracy:
    """Return the accuracy of a confusion matrix (true, predicted); absent classes don't count."""
    right = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - right
    present = np.flatnonzero(confusion.sum(1))
    iou = {int(i): float(right[i] / union[i]) for i in present}
    return Accuracy(float(np.mean(list(iou.values()))), iou, float(right.sum() / confusion.sum()))


class Predictor:
    """An exported model directory on ONNX Runtime, one thread."""

    def __init__(self, directory: Path) -> None:
        self.manifest: Manifest = read_manifest(directory)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(directory / MODEL_FILE), options, providers=["CPUExecutionProvider"]
        )

    def run(self, pixels: Floats, output: str) -> NDArray[Any]:
        """Return one output of the graph for an input (N, 3, h, w)."""
        result: NDArray[Any] = self._session.run([output], {self.manifest.graph.input: pixels})[0]
        return result

    def labels(self, rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the class id of each pixel of a picture (H, W, 3).

        Only classes that occur in drawn scenes can win.
        """
        graph = self.manifest.graph
        pixels = model_input(rgb, self.manifest.preprocessing)
        logits = self.run(pixels, graph.logits)
        drawn = np.array(DRAWN)
        best = upsample(logits[0][..., drawn], *rgb.shape[:2]).argmax(-1)
        labels: NDArray[np.int64] = drawn[best]
        return labels


def evaluate(directory: Path, seeds: Iterable[int]) -> Accuracy:
    """Measure an exported model on the scenes of these seeds, at HELD_OUT_SIZE."""
    predictor = Predictor(directory)
    classes = len(predictor.manifest.classes)
    confusion = np.zeros((classes, classes), np.int64)
    for seed in seeds:
        rgb, truth = draw_scene(seed, *HELD_OUT_SIZE)
        pairs = truth.astype(np.int64) * classes + predictor.labels(rgb)
        confusion += np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)
    return accuracy(confusion)
