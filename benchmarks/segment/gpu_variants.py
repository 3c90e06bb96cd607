"""A model's engine with CUDA graphs and with TensorRT: a part of `gpu`.

    python -m benchmarks.segment.gpu_variants --model DIR --variant NAME --seconds S --device cuda

measures one variant and prints it as a line of JSON. It is a separate process because TensorRT
builds an engine for minutes, and only ending the process can stop that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.segment.gpu_engine import measure_engine, measure_pipeline
from services.errors import EngineUnavailable, InvalidArgument
from services.segment.engines.choice import Device, EngineSetting, choose
from services.segment.engines.engine import GpuOptions
from services.segment.manifest import read_manifest

# Seconds to measure an open variant, and the least time left to begin one.
_SECONDS, _LEAST_SECONDS = 20.0, 60.0
_MEASURED = "measured: "


@dataclass(frozen=True)
class Variant:
    """An engine by name, with or without CUDA graphs, and its largest batch."""

    engine: EngineSetting
    graphs: bool
    max_batch: int


# The variants of the engine. TensorRT builds an engine for each captured batch size, and one size
# is enough to see the effect.
VARIANTS = {
    "CUDA graphs": Variant("onnxruntime", graphs=True, max_batch=32),
    "TensorRT": Variant("tensorrt", graphs=False, max_batch=32),
    "TensorRT with a CUDA graph of one picture": Variant("tensorrt", graphs=True, max_batch=1),
}
REHEARSED = {"rehearsed": Variant("onnxruntime", graphs=False, max_batch=2)}


def measured(directory: Path, device: Device, end: float) -> dict[str, dict[str, Any]]:
    """Measure a model's variants until `end` (time.monotonic); say why any was not measured."""
    found = {}
    rehearsal = device == "cpu"
    for name in REHEARSED if rehearsal else VARIANTS:
        found[name] = _measured(directory, name, device, 0.2 if rehearsal else _SECONDS, end)
        print(f"  {name}: {found[name]}", flush=True)
    return found


def _measured(
    directory: Path, name: str, device: Device, seconds: float, end: float
) -> dict[str, Any]:
    left = end - time.monotonic()
    if left < _LEAST_SECONDS:
        return {"not_measured": "no time was left"}
    command = [
        *(sys.executable, "-m", "benchmarks.segment.gpu_variants", "--model", str(directory)),
        *("--variant", name, "--seconds", str(seconds), "--device", device),
    ]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=left)
    except subprocess.TimeoutExpired:
        return {"not_measured": f"it was not done after {left:.0f} s"}
    for line in ended.stdout.splitlines():
        if line.startswith(_MEASURED):
            found: dict[str, Any] = json.loads(line.removeprefix(_MEASURED))
            return found
    return {"not_measured": (ended.stderr.strip() or f"it ended with {ended.returncode}")[-500:]}


async def measure(directory: Path, variant: Variant, device: Device, seconds: float) -> Any:
    """Measure one variant, whose logits are compared when it is opened."""
    manifest = read_manifest(directory)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="assay-gpu-engines-") as cache:
        choice = choose(variant.engine, device, manifest.graph.precision)
        try:
            engine = choice.open(
                directory,
                manifest,
                threads=4,
                gpu=GpuOptions(graphs=variant.graphs, cache=cache),
                max_batch_size=variant.max_batch,
            )
        except (EngineUnavailable, InvalidArgument) as error:
            return {"not_measured": str(error)}
        opened = time.monotonic() - begun
        if variant.graphs and not getattr(engine, "replays", False):
            return {"not_measured": "no CUDA graph was captured: the log says why"}
        return {
            "seconds_to_open": round(opened, 1),
            "engine": measure_engine(engine, manifest, seconds / 2),
            "pipeline": await measure_pipeline(engine, manifest, variant.max_batch, seconds / 2),
        }


def main() -> None:
    """Measure the variant of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, metavar="DIR")
    parser.add_argument("--variant", choices=[*VARIANTS, *REHEARSED], required=True)
    parser.add_argument("--seconds", type=float, required=True, metavar="S")
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True)
    options = parser.parse_args()
    variant = (VARIANTS | REHEARSED)[options.variant]
    found = asyncio.run(measure(options.model, variant, options.device, options.seconds))
    print(_MEASURED + json.dumps(found))


if __name__ == "__main__":
    main()
