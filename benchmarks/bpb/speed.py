"""Speed of bits per byte, against lm-evaluation-harness and the machine's limit.

    python -m benchmarks.bpb.speed [--model NAME] [--documents N] [--rounds N] [--only ROW]

A GPT-NeoX with random weights and its real tokenizer, on the first documents of test. One thread.
Rounds alternate between all sides, and the first is not counted; figures are medians. Rows:

    lm-eval   fp32 and bf16 against lm-eval in fp32 with batch size 1, and 8
    padding   tokens computed against tokens of windows
    floor     against the time of the matrix products alone, at the rate of a large product

Needs the real data (ASSAY_TEST_DATA) and, for `lm-eval`, the environment that
bpb/lm_eval.py makes. Writes results/bpb/speed.json.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks import report
from benchmarks.bpb.lm_eval import Peer, make_venv
from benchmarks.bpb.setting import Setting, cpu_seconds, in_turns, main  # sets the threads
from services.corpus.bpb.document_scoring import score_document
from services.corpus.bpb.models.compute import OPENVINO, Compute, Precision
from services.corpus.bpb.scored_windows import Window

_PRECISIONS = (Precision.FP32, Precision.BF16)
_SQUARE = 2048
_RATE = "tokens per CPU-second"


def against_lm_eval(setting: Setting) -> Iterator[dict[str, Any]]:
    """Time all sides in turns."""
    ours = {precision: setting.bare(Compute(OPENVINO, precision)) for precision in _PRECISIONS}
    sides: dict[str, Callable[[], float]] = {
        precision.value: cpu_seconds(loop) for precision, loop in ours.items()
    }
    peer = Peer(make_venv(setting.venv), setting.directory)

    def theirs(size: int) -> Callable[[], float]:
        options: dict[str, object] = {"batch_size": size, "add_bos_token": False}
        return lambda: float(peer.score(setting.documents, **options)["cpu_seconds"])

    sides |= {str(size): theirs(size) for size in (1, 8)}
    try:
        seconds = in_turns(sides, setting.rounds)
    finally:
        peer.close()
    tokens = ours[Precision.FP32]()
    rates = {side: tokens / value for side, value in seconds.items()}
    shift = setting.shift(Compute(OPENVINO, Precision.BF16))
    for precision, size, target in (("fp32", "1", 1.2), ("fp32", "8", 2.5), ("bf16", "1", 2.1)):
        yield report.row(
            f"scoring in {precision}, one thread"
            + (f" (shift {shift.mean:.1e} nats a token)" if precision == "bf16" else ""),
            f"lm-eval in fp32, batch size {size}, warm",
            *(rates[precision], rates[size], _RATE),
            target=target,
        )


def padding(setting: Setting) -> Iterator[dict[str, Any]]:
    """Count the tokens that go into the body of the model."""
    model, definition = setting.load(Compute(OPENVINO))
    wanted = sum(len(window.inputs) for window in setting.windows(model, definition))
    computed = 0
    body = model._body  # type: ignore[attr-defined]

    class Counting:
        def infer(self, feed: list[Any], **options: Any) -> Any:
            nonlocal computed
            computed += feed[0].size
            return body.infer(feed, **options)

    model._body = Counting()  # type: ignore[attr-defined]
    for document in setting.documents:
        score_document(model, definition, document)
    yield report.row(
        "tokens computed",
        "the limit",
        *(computed / wanted, 1.03, "for each token of a window"),
        target=1.0,
        less_is_better=True,
    )


def floor(setting: Setting) -> Iterator[dict[str, Any]]:
    """Compare with the time of the matrix products alone."""
    torch.set_num_threads(1)
    for precision, target in ((Precision.FP32, 1 / 1.05), (Precision.BF16, 1 / 1.35)):
        model, definition = setting.load(Compute(OPENVINO, precision))
        flops = _flops(setting, setting.windows(model, definition))
        dtype = torch.float32 if precision is Precision.FP32 else torch.bfloat16
        square = torch.randn(_SQUARE, _SQUARE).to(dtype)

        def multiply(square: torch.Tensor = square) -> float:
            began = time.process_time()
            torch.mm(square, square)
            return time.process_time() - began

        sides = {"ours": cpu_seconds(setting.bare(Compute(OPENVINO, precision))), "mm": multiply}
        seconds = in_turns(sides, setting.rounds)
        rate = 2 * _SQUARE**3 / seconds["mm"]
        print(f"{precision}: {rate / 1e9:.1f} GFLOP/s, {flops / 1e9:.1f} GFLOP")
        yield report.row(
            f"scoring in {precision}, one thread",
            f"{flops / 1e9:.1f} GFLOP at {rate / 1e9:.1f} GFLOP/s, torch's product of squares of "
            f"{_SQUARE}",
            *(seconds["ours"], flops / rate, "CPU-seconds"),
            target=round(target, 3),
            less_is_better=True,
        )


def _flops(setting: Setting, windows: list[Window]) -> float:
    """Count the products of weights, of queries with the keys before them, and with values."""
    from transformers import AutoConfig  # noqa: PLC0415

    config = AutoConfig.from_pretrained(setting.directory)
    width, layers = config.hidden_size, config.num_hidden_layers
    weights = layers * (4 * width**2 + 2 * width * config.intermediate_size)
    total = 0.0
    for window in windows:
        length = len(window.inputs)
        total += 2 * weights * length + 2 * layers * width * length * (length + 1)
        total += 2 * width * config.vocab_size * len(window.targets)
    return total


if __name__ == "__main__":
    MEASURES = {"lm-eval": against_lm_eval, "padding": padding, "floor": floor}
    sys.exit(main("bpb/speed", __doc__, MEASURES, rounds=5))
