"""Times two parts of a network that the page makes claims about: decode head and upsampling.

    python -m benchmarks.ranker.operators

B2.3 says that SegFormer's decode head runs three to five times as fast as DeepLabV3+'s, B7.2 that
bilinear upsampling is ten times as fast as a transposed convolution. Neither claim names hardware,
engine or size, nor B7.2 the kernel. Both are timed here at 512 x 512, with torch and ONNX Runtime.

No code of the product is used. In each restart every pair and engine has its own process, in which
the two sides run in turn, A B B A; the ratio of their medians is one observation. Other load slows
both sides, so the ratio of processor times is recorded in addition to that of elapsed times. The
duration of the first restart decides how many fit into `--minutes`, at most ten in all, before any
ratio is read. The ratios are shown for orientation and decide nothing; with fewer than eight
restarts the level would be below 99 %.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.report import row, write

SIZE = 512
CLASSES = 150
THREADS = 2
_WARM_UP = 1
_MOST = 10
HEADS = "decode heads: DeepLabV3+'s over SegFormer-B4's"
UPSAMPLINGS = {
    "upsampling: transposed convolution of 8x8 over bilinear, classes apart": CLASSES,
    "upsampling: transposed convolution of 8x8 over bilinear, classes mixed": 1,
}
CLAIMED = {
    HEADS: ("the least that B2.3 claims", 3.0),
    **dict.fromkeys(UPSAMPLINGS, ("the least that B7.2 claims", 9.0)),
}
ENGINES = ("torch", "onnxruntime")
Run = Callable[[], object]


def main() -> None:
    """Time each pair by each engine; write the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--pair", choices=CLAIMED, help=argparse.SUPPRESS)
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.pair:
        print(json.dumps(_timed(chosen.pair, chosen.engine)))
        return
    begun = time.monotonic()
    found = [_restart()]
    each = time.monotonic() - begun
    restarts = max(1, min(_MOST, int(60 * chosen.minutes / each)))
    print(f"{each:.0f} s a restart: {restarts} in all")
    found += [_restart() for _ in range(restarts - 1)]
    rows = [
        row(
            f"{what}, {engine}",
            claimed,
            statistics.median(one[f"{what}, {engine}"]["wall"] for one in found),
            least,
            "times",
            target=None,
        )
        for what, (claimed, least) in CLAIMED.items()
        for engine in ENGINES
    ]
    write(
        "ranker/operators",
        rows,
        packages=("torch", "onnxruntime", "numpy", "transformers"),
        restarts=found,
    )


def _restart() -> dict[str, dict[str, float]]:
    return {
        f"{what}, {engine}": _in_a_process(what, engine) for what in CLAIMED for engine in ENGINES
    }


def _in_a_process(what: str, engine: str) -> dict[str, float]:
    words = ["-m", "benchmarks.ranker.operators", "--pair", what, "--engine", engine]
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    ran = subprocess.run(
        [sys.executable, *words], check=True, capture_output=True, text=True, env=environment
    )
    read: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return read


def _timed(what: str, engine: str) -> dict[str, float]:
    """Ratios of the slower side over the faster one, as the claims have them."""
    import torch  # noqa: PLC0415  (the parent only counts)

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    pair = (_deeplab(), _segformer()) if what == HEADS else _upsamplings(UPSAMPLINGS[what])
    with torch.inference_mode(), TemporaryDirectory() as folder:
        if engine == "torch":
            return _ratio(*(lambda one=one: one[0](*one[1]) for one in pair))
        names = (Path(folder) / "first.onnx", Path(folder) / "second.onnx")
        return _ratio(*(_exported(*one, at) for one, at in zip(pair, names, strict=True)))


def _upsamplings(groups: int) -> Sequence[tuple[Any, list[Any]]]:
    """A learned and a bilinear upsampling, from a picture's logits to its size."""
    import torch  # noqa: PLC0415

    learned = torch.nn.ConvTranspose2d(
        CLASSES, CLASSES, 8, stride=4, padding=2, groups=groups, bias=False
    )
    bilinear = torch.nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)
    logits = [torch.randn(1, CLASSES, SIZE // 4, SIZE // 4)]
    return (learned, logits), (bilinear, logits)


def _ratio(first: Run, second: Run) -> dict[str, float]:
    for _ in range(_WARM_UP):
        first(), second()
    wall: Mapping[Run, list[float]] = {first: [], second: []}
    cpu: Mapping[Run, list[float]] = {first: [], second: []}
    for one in (first, second, second, first):
        started, used = time.perf_counter(), time.process_time()
        one()
        wall[one].append(time.perf_counter() - started)
        cpu[one].append(time.process_time() - used)
    sides = [statistics.median(wall[one]) for one in (first, second)]
    worked = [statistics.median(cpu[one]) for one in (first, second)]
    return {
        "wall": sides[0] / sides[1],
        "cpu": worked[0] / worked[1],
        "first": sides[0],
        "second": sides[1],
    }


def _exported(module: Any, inputs: Sequence[Any], path: Path) -> Run:
    """The same module as a graph, run by ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415
    import torch  # noqa: PLC0415

    names = [f"input{number}" for number in range(len(inputs))]
    torch.onnx.export(module, tuple(inputs), str(path), input_names=names, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    fed = {name: np.asarray(one) for name, one in zip(names, inputs, strict=True)}
    return lambda: session.run(None, fed)


def _segformer() -> tuple[Any, list[Any]]:
    """B4's decode head as Transformers builds it, and the four stages' outputs for a picture."""
    import torch  # noqa: PLC0415
    from transformers import SegformerConfig  # noqa: PLC0415
    from transformers.models.segformer import modeling_segformer  # noqa: PLC0415

    widths = (64, 128, 320, 512)
    config = SegformerConfig(hidden_sizes=list(widths), decoder_hidden_size=768)
    config.num_labels = CLASSES
    build: Any = modeling_segformer.SegformerDecodeHead
    head = build(config).train(False)
    _check(head, 3_265_686)

    class Stages(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, *stages: Any) -> Any:
            return self.head(stages)

    stages = [
        torch.randn(1, width, SIZE // stride, SIZE // stride)
        for width, stride in zip(widths, (4, 8, 16, 32), strict=True)
    ]
    return Stages().train(False), stages


def _deeplab() -> tuple[Any, list[Any]]:
    """DeepLabV3+'s head for ResNet-101 as MMSegmentation builds it, and its inputs."""
    import torch  # noqa: PLC0415

    def convolution(into: int, out: int, size: int, dilation: int = 1, groups: int = 1) -> Any:
        padding = dilation * (size // 2)
        return torch.nn.Sequential(
            torch.nn.Conv2d(
                into, out, size, padding=padding, dilation=dilation, groups=groups, bias=False
            ),
            torch.nn.BatchNorm2d(out),
            torch.nn.ReLU(),
        )

    def separable(into: int, out: int, dilation: int = 1) -> Any:
        depthwise = convolution(into, into, 3, dilation, groups=into)
        return torch.nn.Sequential(depthwise, convolution(into, out, 1))

    class Head(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pooled = torch.nn.Sequential(
                torch.nn.AdaptiveAvgPool2d(1), convolution(2048, 512, 1)
            )
            self.branches = torch.nn.ModuleList(
                [convolution(2048, 512, 1), *(separable(2048, 512, one) for one in (12, 24, 36))]
            )
            self.bottleneck = convolution(5 * 512, 512, 3)
            self.low = convolution(256, 48, 1)
            self.fused = torch.nn.Sequential(separable(512 + 48, 512), separable(512, 512))
            self.classify = torch.nn.Conv2d(512, CLASSES, 1)

        def forward(self, low: Any, high: Any) -> Any:
            resize = torch.nn.functional.interpolate
            pooled = resize(self.pooled(high), size=high.shape[2:], mode="bilinear")
            seen = torch.cat([pooled, *(one(high) for one in self.branches)], 1)
            seen = resize(self.bottleneck(seen), size=low.shape[2:], mode="bilinear")
            return self.classify(self.fused(torch.cat([seen, self.low(low)], 1)))

    head = Head().train(False)
    _check(head, 17_765_126)
    quarter, eighth = SIZE // 4, SIZE // 8
    return head, [torch.randn(1, 256, quarter, quarter), torch.randn(1, 2048, eighth, eighth)]


def _check(head: Any, parameters: int) -> None:
    """Check that it is the claimed head, by the exact number of parameters."""
    found = sum(one.numel() for one in head.parameters())
    if found != parameters:
        raise RuntimeError(f"{found:,} parameters, not {parameters:,}")


if __name__ == "__main__":
    main()
