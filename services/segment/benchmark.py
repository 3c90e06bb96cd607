"""Times one model in a process of its own: `python -m services.segment.benchmark`.

Reads one JSON object on stdin, the fields of `Plan`. Writes one JSON line a timed run:
{"seconds": x}; or the line {"changed": true} if the directory no longer holds the model. What is
timed is what MLPerf times: from prepared input tensors to label maps of the input's size; decoding
and resizing are left out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from services.errors import InvalidArgument, PreconditionFailed
from services.rpc.orphans import end_with_parent
from services.segment import upsample
from services.segment.engines.choice import Choice
from services.segment.manifest import (
    Manifest,
    Precision,
    manifest_digest,
    read_manifest,
    verify_files,
)
from services.segment.preprocess import Preprocessor

# Runs before the timed ones: memory is allocated, caches and clock rates settle.
_WARM_UP = 2


@dataclass(frozen=True)
class Plan:
    """What one process measures: the model with the manifest's `digest`, in `directory`."""

    directory: str
    digest: str
    engine: str
    precision: Precision
    gpu: int
    threads: int
    batch_size: int
    runs: int


def measure(plan: Plan) -> Iterator[float]:
    """Yield the seconds of each timed run.

    Raises PreconditionFailed if the directory holds another model than the plan's, InvalidArgument
    if it can't be opened.
    """
    directory = Path(plan.directory)
    manifest = _manifest(directory, plan.digest)
    engine = Choice(plan.engine, plan.precision).open(
        directory, manifest, threads=plan.threads, gpu=plan.gpu, max_batch=plan.batch_size
    )
    upsample.warm()
    how = manifest.preprocessing
    tensor = Preprocessor(how)(_picture(how.width, how.height))
    batch = [tensor] * plan.batch_size
    for run in range(_WARM_UP + plan.runs):
        start = time.perf_counter()
        for output in engine.run(batch):
            upsample.upsample_argmax(output.logits, output.labels, how.height, how.width)
        seconds = time.perf_counter() - start
        if run >= _WARM_UP:
            yield seconds


def _manifest(directory: Path, digest: str) -> Manifest:
    """Return the manifest if it and the files are still those that the server loaded."""
    try:
        manifest = read_manifest(directory)
        verify_files(directory, manifest)
    except InvalidArgument as error:
        raise PreconditionFailed(f"the model's files have changed: {error}") from error
    found = manifest_digest(manifest)
    if found != digest:
        raise PreconditionFailed(
            f"the model's files have changed: their digest is {found}, the server loaded {digest}"
        )
    return manifest


def _picture(width: int, height: int) -> Image.Image:
    """Return a picture with both smooth and busy parts: a gradient under coarse noise."""
    noise = np.random.default_rng(0).integers(0, 128, (16, 16, 3), dtype=np.uint8)
    coarse = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR))
    ramp = np.linspace(0, 127, height, dtype=np.uint8)[:, None, None]
    return Image.fromarray(coarse + ramp)


def main() -> int:
    """Measure what stdin asks for."""
    end_with_parent()
    request: dict[str, Any] = json.load(sys.stdin)
    try:
        for seconds in measure(Plan(**request)):
            print(json.dumps({"seconds": seconds}), flush=True)
    except PreconditionFailed:
        print(json.dumps({"changed": True}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
