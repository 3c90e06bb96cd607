"""Measures the memory that a long window takes on each engine.

    python -m benchmarks.bpb.memory [--tokens N ...] [--timeout SECONDS]

A Llama of one small layer with a window of 131,072 tokens and random weights scores one window of
random tokens, in a process of its own. Memory is the largest resident set of that process.

Writes benchmarks/results/bpb/memory.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

from benchmarks import report
from benchmarks.bpb import random_models
from services.corpus.bpb.models.compute import OPENVINO, TORCH, Compute
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.scored_windows import Window

VOCABULARY = 900


def score(directory: Path, engine: str, tokens: int) -> dict[str, float]:
    """Score one window in this process, and report the time and memory."""
    model = Registry({"m": directory}).load("m", Compute(engine))
    loaded = _peak()
    ids = [3 + number * 7919 % (VOCABULARY - 3) for number in range(tokens + 1)]
    began = time.perf_counter()
    row = model.log_likelihoods([Window(ids[:-1], ids[1:])])[0]
    seconds = time.perf_counter() - began
    return {"loaded": loaded, "peak": _peak(), "seconds": seconds, "nats": -float(row.sum())}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(directory: Path, engine: str, tokens: int, timeout: float) -> dict[str, float]:
    """Score one window in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bpb.memory", "--one", str(directory)]
    done = subprocess.run(
        [*command, "--engine", engine, "--tokens", str(tokens)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=timeout,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    """Measure both engines and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[6_000, 24_000, 42_000, 131_072])
    parser.add_argument("--timeout", type=float, default=1800)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(score(options.one, options.engine, options.tokens[0])))
        return 0
    rows: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        directory = random_models.make_long_llama(Path(folder) / "m", VOCABULARY)
        for tokens in options.tokens:
            found = {
                engine: measure(directory, engine, tokens, options.timeout)
                for engine in (TORCH, OPENVINO)
            }
            details += [
                {"engine": engine, "tokens": tokens, **values} for engine, values in found.items()
            ]
            rows.append(
                report.row(
                    f"largest resident memory, one window of {tokens:,} tokens, {OPENVINO}",
                    TORCH,
                    found[OPENVINO]["peak"],
                    found[TORCH]["peak"],
                    "MB",
                    target=0.5,
                    less_is_better=True,
                )
            )
    packages = ("torch", "transformers", "openvino")
    report.write("bpb/memory", rows, packages=packages, windows=details)
    return 0


if __name__ == "__main__":
    sys.exit(main())
