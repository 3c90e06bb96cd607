"""Speed of B4, against unmodified ONNX Runtime, the machine's limit, and served.

    python -m benchmarks.segment.engine [--rounds N] [--turns N] [--seconds S] [--only ROWS ...]

Random weights: speed does not depend on them. 512 x 512, one picture a run, two threads. Rows:

    model   our engine against ONNX Runtime on an export of transformers' own model, and against
            the time of its products and convolutions at the best rate of a large product
    infer   pictures a second through ModelInfer of the Open Inference Protocol, FP32 tensors from
            four clients, against the same engine in a loop

Sides take turns in every round; times are medians. `infer` needs the real photographs
(ASSAY_TEST_DATA), and lets Triton's client, in an environment of its own, write the requests.

Writes results/segment/engine.json.
"""

from __future__ import annotations

import statistics
import time
from argparse import Namespace
from collections.abc import Callable

import numpy as np
import onnxruntime as ort

from benchmarks import load, report
from benchmarks.connections import Target
from benchmarks.segment.graphs import (
    LIBRARIES,
    SIDE,
    Engine,
    graph_flops,
    module_flops,
    open_engine,
    product_flops,
    products,
    unmodified,
)
from benchmarks.segment.peers import ours
from benchmarks.segment.setting import Row, Setting, finish, parse

_INFER = "/inference.GRPCInferenceService/ModelInfer"
_THREADS = 2
_CLIENTS = 4
# Of our engine over ONNX Runtime, and of the floor over our engine.
_SPEEDUP = {"fp32": 2.0, "bf16": 3.7}
_FLOOR = {"fp32": 1 / 1.08, "bf16": 1 / 1.22}
# After this pause the other side's threads, which spin while they wait for work, have stopped.
_SETTLE_SECONDS = 0.1
_PIXELS = np.random.default_rng(0).standard_normal((3, SIDE, SIDE), np.float32)


def in_turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return each side's median seconds over the rounds after the first."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, side in sides.items():
            time.sleep(_SETTLE_SECONDS)
            seconds[name].append(side())
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def timed(engine: Engine) -> Callable[[], float]:
    """Return a function that times one picture."""

    def once() -> float:
        begun = time.perf_counter()
        engine.run([_PIXELS])
        return time.perf_counter() - begun

    return once


def model(setting: Setting, options: Namespace) -> list[Row]:
    """Compare with unmodified ONNX Runtime and with the floor."""
    directory = setting.random_model("b4")
    flops, again = graph_flops(directory), module_flops("b4")
    print(f"{flops / 1e9:.2f} GFLOP by the graph's nodes, {again / 1e9:.2f} by torch's counter")
    session_options = ort.SessionOptions()
    session_options.intra_op_num_threads = _THREADS
    session = ort.InferenceSession(unmodified("b4", setting.folder), session_options)

    def onnxruntime() -> float:
        begun = time.perf_counter()
        session.run(None, {"pixels": _PIXELS[None]})
        return time.perf_counter() - begun

    sides: dict[str, Callable[[], float]] = {"ONNX Runtime": onnxruntime}
    for precision in options.precisions:
        sides[precision] = timed(open_engine(directory, precision, threads=_THREADS))
        for library, product in products(precision, _THREADS).items():
            sides[f"{precision} {library}"] = product
    seconds = in_turns(sides, options.rounds)
    rows = [
        report.row(
            f"B4 in {precision}, model only, {_THREADS} threads",
            "unmodified model on ONNX Runtime in fp32",
            *(1e3 * seconds[precision], 1e3 * seconds["ONNX Runtime"], "ms"),
            target=_SPEEDUP[precision],
            less_is_better=True,
        )
        for precision in options.precisions
    ]
    for precision in options.precisions:
        rates = {
            library: product_flops() / seconds[f"{precision} {library}"] for library in LIBRARIES
        }
        library, rate = max(rates.items(), key=lambda item: item[1])
        print(", ".join(f"{name}: {value / 1e9:.1f} GFLOP/s" for name, value in rates.items()))
        rows.append(
            report.row(
                f"B4 in {precision}, model only, {_THREADS} threads",
                f"{flops / 1e9:.1f} GFLOP at {rate / 1e9:.1f} GFLOP/s, {library}'s product of "
                "squares of 2048",
                *(1e3 * seconds[precision], 1e3 * flops / rate, "ms"),
                target=round(_FLOOR[precision], 3),
                less_is_better=True,
            )
        )
    return rows


def infer(setting: Setting, options: Namespace) -> list[Row]:
    """Compare pictures served as tensors with a loop of the engine, in fp32."""
    directory = setting.random_model("b4")
    engine = open_engine(directory, "fp32", threads=_THREADS)
    requests = setting.triton_requests(pixels=True, model="segformer-b4-random")
    served: list[float] = []
    looped: list[float] = []
    with ours(setting, directory, "fp32", threads=_THREADS) as side:
        target = Target("grpc", side.target.address, _INFER)
        for turn in range(options.turns):
            begun, count = time.perf_counter(), 0
            while time.perf_counter() < begun + options.seconds:
                engine.run([_PIXELS])
                count += 1
            looped.append(count / (time.perf_counter() - begun))
            result = load.run(target, requests, load.Closed(_CLIENTS, options.seconds))
            served.append(result.require_success().rate)
            print(f"round {turn + 1} of {options.turns}", flush=True)
    return [
        report.row(
            f"B4 in fp32, tensors of 512 x 512 through ModelInfer, {_CLIENTS} clients",
            "the engine in a loop",
            *(statistics.median(served), statistics.median(looped), "pictures a second"),
            target=0.95,
        )
    ]


_ROWS = {"model": model, "infer": infer}


def main() -> None:
    """Run the rows of the command line and write the result."""
    setting, options = parse(__doc__, rounds=20, turns=5, seconds=12.0, only=list(_ROWS))
    rows = [row for name in options.only for row in _ROWS[name](setting, options)]
    finish(options, "segment/engine", rows)


if __name__ == "__main__":
    main()
