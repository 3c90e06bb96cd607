"""Times logits to label maps against Hugging Face's post-processing.

    python -m benchmarks.segment.postprocess [--rounds N] [--no-result]

Needs the real data (ASSAY_TEST_DATA) and the environment that `make setup-torch` makes. The real B0
makes the logits of the photographs. Ours makes the label map on one thread from these logits and
their arg max, which a graph gives; rows that say so also compute the arg max, as the OpenVINO
engine does. Theirs is `post_process_semantic_segmentation` of transformers'
SegformerImageProcessorPil on two threads of torch, from logits in the model's own order. The two
alternate; each round sums over all pictures, and a row has the medians of the rounds. Pure noise,
in which no cell has a single class, is the worst case.

Writes results/segment/postprocess.json.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.segment.setting import finish, parse
from services.segment.engines import arg_max
from services.segment.engines.engine import Labels, Output
from services.segment.engines.onnxruntime import OnnxEngine
from services.segment.images import upsample
from services.segment.images.decode import PILLOW_LIMIT, decode
from services.segment.images.preprocess import Preprocessor
from services.segment.manifest import read_manifest

_THEIR_THREADS = 2
# Height, width and the ratio to reach with real logits.
_SIZES = [(512, 512, 200.0), (768, 1024, 400.0), (1536, 2048, 500.0)]
_NOISE_TARGET = 3.0
_NOISE_SHAPE = (128, 128, 150)
Labelled: TypeAlias = Callable[[Output, int, int], Labels]


def outputs(model: Path, images: list[Path]) -> list[Output]:
    """The model's logits and low-resolution labels of each picture."""
    manifest = read_manifest(model)
    engine = OnnxEngine(model, manifest, threads=_THEIR_THREADS)
    preprocessor = Preprocessor(manifest.preprocessing)
    pictures = [decode(file.read_bytes(), PILLOW_LIMIT) for file in images]
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


def ours(output: Output, height: int, width: int) -> Labels:
    """The label map."""
    return upsample.upsample_argmax(output.logits, output.labels, height, width)


def ours_with_arg_max(output: Output, height: int, width: int) -> Labels:
    """The label map, including the arg max of the logits."""
    labels = np.empty_like(output.labels)
    arg_max.arg_max(output.logits, labels)
    return upsample.upsample_argmax(output.logits, labels, height, width)


def compared(
    found: list[Output], labelled: Labelled, theirs: Theirs, size: tuple[int, int], rounds: int
) -> tuple[float, float, float]:
    """Milliseconds a picture, ours and theirs, and the share of pixels with one label."""
    prepared = [theirs.prepare(output) for output in found]
    same = [
        np.mean(labelled(output, *size) == theirs.labels(other, *size))
        for output, other in zip(found, prepared, strict=True)
    ]
    ours_ms, theirs_ms = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        for output in found:
            labelled(output, *size)
        between = time.perf_counter()
        for other in prepared:
            theirs.labels(other, *size)
        ours_ms.append(1e3 * (between - start) / len(found))
        theirs_ms.append(1e3 * (time.perf_counter() - between) / len(found))
    return statistics.median(ours_ms), statistics.median(theirs_ms), float(np.mean(same))


def main() -> None:
    """Compare at every size, print and write."""
    setting, options = parse(__doc__, rounds=15)
    upsample.warm()
    arg_max.warm()
    images = sorted((setting.data / "ade20k" / "images").iterdir())
    real, theirs = outputs(setting.real_b0(), images), Theirs()
    rows, agreement = [], {}
    cases: list[tuple[str, list[Output], Labelled, int, int, float | None]] = []
    cases += [("real logits", real, ours, *size) for size in _SIZES]
    cases += [("pure noise", noise(), ours, *size[:2], _NOISE_TARGET) for size in _SIZES]
    with_arg_max = "real logits, the arg max computed as well,"
    cases += [(with_arg_max, real, ours_with_arg_max, *size[:2], None) for size in _SIZES]
    for what, found, labelled, height, width, target in cases:
        mine, other, same = compared(found, labelled, theirs, (height, width), options.rounds)
        name = f"{what} to labels, {width} x {height}"
        agreement[name] = same
        rows.append(
            report.row(
                name,
                "transformers post_process_semantic_segmentation, two threads",
                *(mine, other, "ms a picture"),
                target=target,
                less_is_better=True,
            )
        )
        print(f"    labels agree in {same:.7%} of pixels")
    finish(
        options,
        "segment/postprocess",
        rows,
        rounds=options.rounds,
        pictures=len(real),
        label_agreement=agreement,
    )


if __name__ == "__main__":
    main()
