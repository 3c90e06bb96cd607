"""Times logits to label maps against Hugging Face's post-processing.

    python -m benchmarks.segment_postprocess --model DIR --images DIR [--rounds N] [--no-result]

`--model` is what `assay export` wrote, say of the real B0; its graph makes the logits and their arg
max of every picture in `--images`, as a service does. Ours is one thread, from there to the label
map; theirs is `post_process_semantic_segmentation` of transformers' SegformerImageProcessorPil on
two threads of torch, from logits in the order that the model has them. The two alternate; a row is
the medians over the rounds of the sums over all pictures. Pure noise, where no cell has one class,
is the worst case. Needs the environment that `make setup-torch` makes.

Writes benchmarks/results/segment-postprocess.json.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from services.segment import upsample
from services.segment.engines.engine import Output
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.image import PILLOW_LIMIT, decode
from services.segment.manifest import read_manifest
from services.segment.preprocess import Preprocessor

_THEIR_THREADS = 2
# Height, width and the ratio to reach with real logits.
_SIZES = [(512, 512, 200.0), (768, 1024, 400.0), (1536, 2048, 500.0)]
_NOISE_TARGET = 3.0
_NOISE_SHAPE = (128, 128, 150)


def outputs(model: Path, images: Path) -> list[Output]:
    """The model's logits and low-resolution labels of each picture."""
    manifest = read_manifest(model)
    engine = OnnxEngine(model, manifest, threads=_THEIR_THREADS)
    preprocessor = Preprocessor(manifest.preprocessing)
    pictures = [decode(file.read_bytes(), PILLOW_LIMIT) for file in sorted(images.iterdir())]
    return [engine.run([preprocessor(picture)])[0] for picture in pictures]


def noise() -> list[Output]:
    """Logits without any structure."""
    logits = np.random.default_rng(0).normal(size=_NOISE_SHAPE).astype(np.float32)
    return [Output(logits, logits.argmax(axis=2).astype(np.uint8))]


class Theirs:
    """Hugging Face's post-processing of one picture at a time."""

    def __init__(self) -> None:
        import torch  # noqa: PLC0415  # not in every environment
        from transformers import SegformerImageProcessorPil  # noqa: PLC0415
        from transformers.modeling_outputs import SemanticSegmenterOutput  # noqa: PLC0415

        torch.set_num_threads(_THEIR_THREADS)
        self._torch = torch
        self._processor = SegformerImageProcessorPil()
        self._outputs = SemanticSegmenterOutput

    def prepare(self, output: Output) -> Any:
        """The model's output as torch's model gives it: (1, C, h, w)."""
        tensor = self._torch.from_numpy(output.logits).permute(2, 0, 1)[None].contiguous()
        return self._outputs(logits=tensor)

    def labels(self, prepared: Any, height: int, width: int) -> NDArray[np.int64]:
        """The label map."""
        (labels,) = self._processor.post_process_semantic_segmentation(
            prepared, target_sizes=[(height, width)]
        )
        found: NDArray[np.int64] = labels.numpy()
        return found


def compared(
    found: list[Output], theirs: Theirs, height: int, width: int, rounds: int
) -> tuple[float, float, float]:
    """Milliseconds a picture, ours and theirs, and the share of pixels with one label."""
    prepared = [theirs.prepare(output) for output in found]
    same = [
        np.mean(
            upsample.upsample_argmax(output.logits, output.labels, height, width)
            == theirs.labels(other, height, width)
        )
        for output, other in zip(found, prepared, strict=True)
    ]
    ours_ms, theirs_ms = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        for output in found:
            upsample.upsample_argmax(output.logits, output.labels, height, width)
        between = time.perf_counter()
        for other in prepared:
            theirs.labels(other, height, width)
        ours_ms.append(1e3 * (between - start) / len(found))
        theirs_ms.append(1e3 * (time.perf_counter() - between) / len(found))
    return statistics.median(ours_ms), statistics.median(theirs_ms), float(np.mean(same))


def main() -> None:
    """Compare at every size, print and write."""
    parser = argparse.ArgumentParser(description="Times logits to label maps.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-result", action="store_true", help="write no result file")
    chosen = parser.parse_args()
    upsample.warm()
    real, theirs = outputs(chosen.model, chosen.images), Theirs()
    rows, agreement = [], {}
    cases = [("real logits", real, *size) for size in _SIZES]
    cases += [("pure noise", noise(), *size[:2], _NOISE_TARGET) for size in _SIZES]
    for what, found, height, width, target in cases:
        ours, other, same = compared(found, theirs, height, width, chosen.rounds)
        name = f"{what} to labels, {width} x {height}"
        agreement[name] = same
        rows.append(
            report.row(
                name,
                "transformers post_process_semantic_segmentation, two threads",
                ours,
                other,
                "ms a picture",
                target=target,
                less_is_better=True,
            )
        )
        print(f"    labels agree in {same:.7%} of pixels")
    if not chosen.no_result:
        report.write(
            "segment-postprocess",
            rows,
            packages=("numpy", "numba", "torch", "transformers"),
            rounds=chosen.rounds,
            pictures=len(real),
            label_agreement=agreement,
        )


if __name__ == "__main__":
    main()
