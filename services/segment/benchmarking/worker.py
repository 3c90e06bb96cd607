"""Measures one model in a separate process: `python -m services.segment.benchmarking.worker`.

Reads one JSON object on stdin, the fields of `Measurement`. Writes JSON lines, by its `kind`:

    batches   {"batch_size": n, "seconds": x} a timed run, with "against": true for the second
              model; then {"load": {...}}, the machine's load as the process saw it
    server    {"seconds": x, "at": y} a request, x being null if it was refused, y the seconds
              since the load began
    modules   {"modules": [[part, seconds, share], ...]}
    any       {"changed": true}, and nothing else, if the directory no longer holds the model
              {"unavailable": why}, and nothing else, if the engine cannot run it

It times what MLPerf times: from prepared input tensors to label maps of the input's size, without
decoding and resizing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.common.calibration import kernel_seconds
from services.common.cpu_counters import (
    allowed_others,
    load_between,
    processors,
    read_counters,
)
from services.errors import EngineUnavailable, InvalidArgument, SourceChanged
from services.rpc.worker import end_with_parent
from services.segment.batching.ticket import Limits
from services.segment.benchmarking.parts import Events, part_times, parts_by_name
from services.segment.benchmarking.profiling import profile_onnxruntime, profile_openvino
from services.segment.benchmarking.server_load import arrivals, offer
from services.segment.engines.choice import Choice
from services.segment.engines.engine import OPENVINO, TORCH, Engine, GpuOptions
from services.segment.images import upsample
from services.segment.images.preprocess import Preprocessor
from services.segment.manifest import (
    MODEL_FILE,
    Manifest,
    Precision,
    manifest_digest,
    read_manifest,
    verify_files,
)
from services.segment.metrics import QueueMetrics
from services.segment.serving.pipeline import Pipeline

# Untimed runs of each batch size first: they allocate memory, and caches and clock rates settle.
_WARM_UP = 2


@dataclass(frozen=True)
class Measurement:
    """What one process measures: the model with the manifest's `digest`, in `directory`.

    `runs` is the number for each batch size, or of requests, which arrive at `rate` a second by
    `seed` and go through a scheduler with those `limits` and `workers` threads for the rest of the
    work. Batches end after `seconds`, once `needed` runs of each size are done. `against` is the
    directory and digest of a second model, which is timed in turn with the first.
    """

    directory: str
    digest: str
    engine: str
    precision: Precision
    gpu: GpuOptions
    threads: int
    kind: Literal["batches", "server", "modules"]
    batch_sizes: tuple[int, ...]
    runs: int
    limits: Limits
    workers: int
    rate: float = 0.0
    seed: int = 0
    seconds: float = 3600.0
    needed: int = 1
    against: tuple[str, str] | None = None

    @property
    def max_batch_size(self) -> int:
        """Most pictures in a run of the engine: the scheduler's limit, if there is one."""
        return self.limits.max_batch_size if self.kind == "server" else max(self.batch_sizes)


def measurement_of(request: dict[str, Any]) -> Measurement:
    """Return the measurement that was sent as JSON."""
    against = request["against"]
    return Measurement(
        **request
        | {
            "limits": Limits(**request["limits"]),
            "gpu": GpuOptions(**request["gpu"]),
            "batch_sizes": tuple(request["batch_sizes"]),
            "against": tuple(against) if against else None,
        }
    )


def measure(measurement: Measurement) -> Iterator[dict[str, Any]]:
    """Yield the lines of a measurement of batches or modules.

    Raises SourceChanged if the directory holds another model, EngineUnavailable if the engine
    cannot run the model, InvalidArgument if the model cannot be opened.
    """
    if measurement.kind == "modules":
        manifest, _, tensor = _opened(measurement)
        path = Path(measurement.directory) / MODEL_FILE
        times = part_times(
            _profiled(measurement, path, manifest, tensor), parts_by_name(path.read_bytes())
        )
        yield {"modules": [astuple(part) for part in times]}
        return
    first = _Timed(measurement)
    # Runs alternate A B B A, so that changes over time affect both models equally.
    turns: list[tuple[_Timed, dict[str, Any]]] = [(first, {})]
    if measurement.against is not None:
        directory, digest = measurement.against
        second = _Timed(replace(measurement, directory=directory, digest=digest))
        turns = [(first, {}), (second, {"against": True}), (second, {"against": True}), (first, {})]
    upsample.warm()
    for _ in range(_WARM_UP):
        for size in measurement.batch_sizes:
            for timed, _ in turns:
                timed.run(size)
    started, before = time.time(), read_counters()
    kernel = [kernel_seconds(measurement.threads)]
    end = time.perf_counter() + measurement.seconds
    for run in range(measurement.runs):
        if run >= measurement.needed and time.perf_counter() >= end:
            break
        # Sizes alternate for the same reason.
        for size in measurement.batch_sizes:
            for timed, which in turns:
                yield {"batch_size": size, "seconds": timed.run(size), **which}
    kernel.append(kernel_seconds(measurement.threads))
    load = load_between(before, read_counters(), threads=measurement.threads)
    allowed = allowed_others(measurement.threads, processors())
    yield {"load": {"started": started, "kernel": kernel, "allowed": allowed, **asdict(load)}}


class _Timed:
    """An open model, and one input for it."""

    def __init__(self, measurement: Measurement) -> None:
        manifest, self._engine, self._tensor = _opened(measurement)
        self._how = manifest.preprocessing

    def run(self, size: int) -> float:
        """Run a batch, including labels; return its seconds."""
        start = time.perf_counter()
        for output in self._engine.run([self._tensor] * size):
            upsample.upsample_argmax(
                output.logits, output.labels, self._how.height, self._how.width
            )
        return time.perf_counter() - start


def _profiled(
    measurement: Measurement, path: Path, manifest: Manifest, tensor: NDArray[np.float32]
) -> list[Events]:
    """Return the profile of each run by the engine's own profiler."""
    if measurement.engine != OPENVINO:
        batch = np.stack([tensor] * measurement.batch_sizes[0])
        return profile_onnxruntime(path, batch, threads=measurement.threads, runs=measurement.runs)
    # OpenVINO comes with an extra.
    from services.segment.engines.openvino import compile_profiled  # noqa: PLC0415

    compiled = compile_profiled(
        path, manifest, precision=measurement.precision, threads=measurement.threads
    )
    return profile_openvino(compiled, tensor[None], runs=measurement.runs)


async def serve(measurement: Measurement) -> None:
    """Print the lines of a measurement of the server scenario; raises as `measure` does."""
    manifest, engine, tensor = _opened(measurement)
    with ThreadPoolExecutor(measurement.workers) as pool:
        metrics = QueueMetrics().of(manifest.name, manifest.version)
        pipeline = Pipeline(manifest, engine, measurement.limits, pool, metrics)
        pipeline.warm()
        times = arrivals(measurement.rate, measurement.runs, measurement.seed)
        async with aclosing(offer(pipeline, tensor, times)) as answers:
            async for answer in answers:
                _print({"seconds": answer.seconds, "at": answer.at})
        await pipeline.close()


def _opened(measurement: Measurement) -> tuple[Manifest, Engine, NDArray[np.float32]]:
    """Return the checked manifest, the engine, and one input."""
    directory = Path(measurement.directory)
    manifest = _manifest(directory, measurement.digest)
    how = manifest.preprocessing
    tensor = Preprocessor(how)(_picture(how.width, how.height))
    if measurement.engine == TORCH:
        # torch comes with an extra.
        from services.segment.export.torch_engine import TorchEngine  # noqa: PLC0415

        return manifest, TorchEngine(manifest, threads=measurement.threads), tensor
    engine = Choice(measurement.engine, measurement.precision).open(
        directory,
        manifest,
        threads=measurement.threads,
        gpu=measurement.gpu,
        max_batch_size=measurement.max_batch_size,
    )
    return manifest, engine, tensor


def _manifest(directory: Path, digest: str) -> Manifest:
    """Return the manifest if it and the files are still those that the server loaded."""
    try:
        manifest = read_manifest(directory)
        verify_files(directory, manifest)
    except InvalidArgument as error:
        raise SourceChanged(f"the model's files have changed: {error}") from error
    found = manifest_digest(manifest)
    if found != digest:
        raise SourceChanged(
            f"the model's files have changed: their digest is {found}, the server loaded {digest}"
        )
    return manifest


def _picture(width: int, height: int) -> Image.Image:
    """Return a picture with both smooth and busy parts: a gradient under coarse noise."""
    noise = np.random.default_rng(0).integers(0, 128, (16, 16, 3), dtype=np.uint8)
    coarse = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR))
    ramp = np.linspace(0, 127, height, dtype=np.uint8)[:, None, None]
    return Image.fromarray(coarse + ramp)


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def main() -> int:
    """Measure the model that the request on stdin names."""
    end_with_parent()
    measurement = measurement_of(json.load(sys.stdin))
    try:
        if measurement.kind == "server":
            asyncio.run(serve(measurement))
        else:
            for line in measure(measurement):
                _print(line)
    except SourceChanged:
        _print({"changed": True})
    except EngineUnavailable as error:
        _print({"unavailable": str(error)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
