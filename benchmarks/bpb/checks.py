"""What the checks of tensors and causality add to loading a model.

    python -m benchmarks.bpb.checks --model DIR

A folder is loaded on torch, and then every check of loading is repeated: names and shapes by the
loading info, numbers that are finite, whole numbers, a tied head, and two windows that differ in
their second half. The windows count twice, because they are also scored on the chosen engine. One
thread; processor seconds, which another load on the machine hardly changes, and elapsed seconds.

Writes results/bpb/checks.json.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import torch

from benchmarks import report
from services.corpus.bpb.models.checkpoint.model_directory import HuggingFaceModel, read_directory
from services.corpus.bpb.models.checkpoint.tensors import (
    require_all,
    require_finite,
    require_real_numbers,
    require_tied,
)
from services.corpus.bpb.models.checkpoint.torch_module import load_module
from services.corpus.bpb.models.checkpoint.weight_files import weight_files
from services.corpus.bpb.models.checks.causality import causality_trial, require_causal
from services.corpus.bpb.models.checks.parity import trial_text
from services.corpus.bpb.models.compute import Precision
from services.corpus.bpb.models.engines.threads import threads_for
from services.corpus.bpb.models.engines.torch_model import TorchModel
from services.corpus.bpb.models.tokenizers.hugging_face_tokenizer import HuggingFaceTokenizer

LIMIT_SECONDS = 2.0
_LOAD = "weights read and checked"
_NOTHING: dict[str, list[Any]] = {
    "missing_keys": [],
    "unexpected_keys": [],
    "mismatched_keys": [],
}


def main() -> None:
    """Time, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    options = parser.parse_args()
    name = options.model.name
    found = read_directory(name, options.model)
    if not isinstance(found, HuggingFaceModel):
        parser.error(f"{options.model} is not a Hugging Face model")
    torch.set_num_threads(threads_for(found.parameters))
    seconds: dict[str, list[float]] = {}

    def timed(what: str, work: Callable[[], Any]) -> Any:
        wall, processor = time.monotonic(), time.process_time()
        result = work()
        spent = (time.monotonic() - wall, time.process_time() - processor)
        seconds[what] = [round(one, 3) for one in spent]
        return result

    module, _ = timed(_LOAD, lambda: load_module(name, found, torch.float32))
    weights = weight_files(found.directory)
    timed("names and shapes", lambda: require_all(name, module, _NOTHING))
    timed("whole numbers", lambda: require_real_numbers(name, module, weights))
    timed("finite numbers", lambda: require_finite(name, module))
    timed("a tied head", lambda: require_tied(name, module, weights))
    model = TorchModel(HuggingFaceTokenizer(name, found), module)
    trial = causality_trial(
        model.encode(trial_text()), found.prefix_token, found.max_length, found.parameters
    )
    timed("causality", lambda: require_causal(name, Precision.FP32, model, trial))
    checks = [processor for what, (_, processor) in seconds.items() if what != _LOAD]
    row = report.row(
        f"checks of tensors, and of causality on two engines, at the loading of {name}, one thread",
        "the limit",
        sum(checks) + seconds["causality"][1],
        LIMIT_SECONDS,
        "processor seconds",
        target=1.0,
        less_is_better=True,
    )
    report.write(
        "bpb/checks",
        [row],
        packages=("torch", "transformers"),
        parameters=found.parameters,
        seconds={
            what: dict(zip(("clock", "processors"), spent, strict=True))
            for what, spent in seconds.items()
        },
    )


if __name__ == "__main__":
    main()
