"""How serving B4 scales on a GPU: batches of 1 to 32, over gRPC and in a loop.

    python -m benchmarks.segment.scaling [--device cpu] [--architecture NAME] [--seconds S]

Needs a GPU, the extra segment-gpu and the real data (ASSAY_TEST_DATA), and does not start without
them. `--device cpu` runs the same steps on a processor, to test them. Rows:

    loop        pictures a second of the engine alone in fp16, by batch
    unmodified  the same of ONNX Runtime on an export of transformers' own model, in fp32
    served      JPEG files of 1024 x 768 to labels over gRPC: against the loop and 1,000 a second;
                the 99th percentile of latency at half of that load
    exact       labels of the real B0 in fp16 and bf16 that are those of fp32

Writes results/segment/scaling.json.
"""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnxruntime as ort
from assay_rpc.segment.v1 import segment_pb2

from benchmarks import load, report
from benchmarks.segment.graphs import SIDE, open_engine, unmodified
from benchmarks.segment.peers import ours
from benchmarks.segment.setting import Row, Setting, finish, parse
from services.rpc.environment import environment
from services.segment.manifest import Precision

_BATCHES = (1, 2, 4, 8, 16, 32)
_PROVIDERS = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}
_WANTED, _OF_LOOP, _P99_MS = 1000.0, 0.9, 20.0
_EXACT = {"fp16": 0.995, "bf16": 0.995}
Facts = dict[str, Any]


def require_gpu() -> None:
    """Exit with a message that names what is missing, if no GPU can be used."""
    if not environment().accelerators:
        raise SystemExit("no GPU here: nvidia-smi lists none; --device cpu only tries the steps")
    if _PROVIDERS["cuda"] not in ort.get_available_providers():
        raise SystemExit(
            "this build of ONNX Runtime has no CUDA: install the extra segment-gpu instead of "
            "segment"
        )


def rate(run: Callable[[], object], pictures: int, seconds: float) -> float:
    """Call `run`, which computes a number of pictures, repeatedly; return pictures a second."""
    run()
    begun, count = time.perf_counter(), 0
    while time.perf_counter() < begun + seconds:
        run()
        count += pictures
    return count / (time.perf_counter() - begun)


def loops(setting: Setting, options: Namespace, facts: Facts) -> list[Row]:
    """Measure the engine and unmodified ONNX Runtime by batch, in turns."""
    precision = _precision(options)
    directory = setting.random_model(options.architecture, precision)
    draw = np.random.default_rng(0)
    pictures = [draw.standard_normal((3, SIDE, SIDE), np.float32) for _ in range(_BATCHES[-1])]
    engine = open_engine(directory, precision, device=options.device, max_batch=_BATCHES[-1])
    graph = unmodified(options.architecture, setting.folder, batch=True)
    session = ort.InferenceSession(graph, providers=[_PROVIDERS[options.device]])
    if _PROVIDERS[options.device] not in session.get_providers():
        raise SystemExit(f"ONNX Runtime can't use {_PROVIDERS[options.device]} here")
    folded: dict[int, float] = {}
    plain: dict[int, float] = {}
    for size in _BATCHES[: options.sizes]:
        batch = pictures[:size]
        feed = {"pixels": np.stack(batch)}
        folded[size] = rate(partial(engine.run, batch), size, options.seconds)
        plain[size] = rate(partial(session.run, None, feed), size, options.seconds)
        print(f"{size}: {folded[size]:.1f}, {plain[size]:.1f}", flush=True)
    facts["pictures_a_second_by_batch"] = folded
    facts["unmodified_by_batch"] = plain
    best = max(folded.values())
    unit = "pictures a second"
    return [
        report.row(
            f"{options.architecture} in {precision}, the engine in a loop, best batch",
            "a batch of one",
            *(best, folded[1], unit),
            target=None,
        ),
        report.row(
            f"{options.architecture} in {precision}, the engine in a loop, best batch",
            "unmodified model on ONNX Runtime in fp32, best batch",
            *(best, max(plain.values()), unit),
            target=None,
        ),
    ]


def served(setting: Setting, options: Namespace, facts: Facts) -> list[Row]:
    """Measure the rate over gRPC, and the latency at half of it."""
    precision = _precision(options)
    directory = setting.random_model(options.architecture, precision)
    batch = _BATCHES[-1] if options.device == "cuda" else 1
    settings = {"device": options.device, "max_batch": batch, "queue_items": 4 * options.clients}
    with ours(setting, directory, precision, **settings) as side:
        side.under(load.Closed(options.clients, 1))
        full = side.under(load.Closed(options.clients, options.seconds)).require_success()
        half = side.under(load.Open(full.rate / 2, options.seconds, timeout=60)).require_success()
        answers = [
            segment_pb2.SegmentImageResponse.FromString(load.answer(side.target, request)).timings
            for request in side.requests
        ]
    facts["milliseconds_of_one_request"] = {
        name: round(
            statistics.median(
                getattr(timings, name).ToTimedelta().total_seconds() * 1e3 for timings in answers
            ),
            2,
        )
        for name in ("decode", "queue", "compute", "post")
    }
    best = max(facts.get("pictures_a_second_by_batch", {1: 0.0}).values())
    what = f"{options.architecture} in {precision}, JPEG files to labels over gRPC"
    rows = [
        report.row(what, "1,000", full.rate, _WANTED, "pictures a second", target=1.0),
        report.row(
            f"{what}: p99 at half load",
            "the limit",
            *(1e3 * load.percentile(half.latencies, 0.99), _P99_MS, "ms"),
            target=1.0,
            less_is_better=True,
        ),
    ]
    if best:
        rows.append(
            report.row(
                what,
                "the engine in a loop, best batch",
                *(full.rate, best, "pictures a second"),
                target=_OF_LOOP,
            )
        )
    return rows


def exact(setting: Setting, options: Namespace, facts: Facts) -> list[Row]:
    """Compare labels of the real B0 by number type."""
    labels = {}
    narrow = tuple(_EXACT) if options.device == "cuda" else ("bf16",)
    for precision in ("fp32", *narrow):
        # A GPU computes in the graph's own types, a processor in the type that the setting names.
        written = precision if options.device == "cuda" else "fp32"
        directory = setting.real_b0(written)
        with ours(setting, directory, precision, device=options.device) as side:
            labels[precision] = side.labels()
    facts["pictures"] = len(labels["fp32"])
    return [
        report.row(
            f"labels of the real B0 in {precision}",
            "in fp32",
            *(float((labels[precision] == labels["fp32"]).mean()), 1.0, "agree, of one"),
            target=_EXACT[precision],
        )
        for precision in narrow
    ]


def _precision(options: Namespace) -> Precision:
    return "fp16" if options.device == "cuda" else "fp32"


_ROWS = {"loop": loops, "served": served, "exact": exact}


def main() -> None:
    """Measure the rows of the command line and write the result."""
    setting, options = parse(
        __doc__,
        device="cuda",
        architecture="b4",
        seconds=10.0,
        clients=64,
        sizes=len(_BATCHES),
        only=list(_ROWS),
    )
    if options.device == "cuda":
        require_gpu()
    facts: Facts = {"accelerators": list(environment().accelerators)}
    rows = [row for name in options.only for row in _ROWS[name](setting, options, facts)]
    finish(options, "segment/scaling", rows, measured=facts)


if __name__ == "__main__":
    main()
