"""Measures everything that needs a GPU, in one command: `make gpu`.

    python -m benchmarks.segment.gpu [--model DIR ...] [--minutes M] [--rehearse]

For a machine with a GPU and without a network. The models are the given ones, or else the reference
model and, if torch is installed, a B0 and a B4 with random weights (speed does not depend on them).
A model whose labels differ from the processor's is not measured. For each other model:

    engine    pictures a second and the median latency of batches of 1, 8 and 32
    kernels   a label map and an input made on the GPU, against the processor's
    pipeline  a JPEG to its labels, one after the other, and many at once
    server    pictures a second through SegmentImages, against the engine's
    memory    of the GPU, before and after requests of mixed sizes

and then, in processes of their own while there is time (`gpu_variants`), the engine and the
pipeline with CUDA graphs and with TensorRT.

Without a GPU it says so and exits with 3. `--rehearse` runs the same steps on the processor,
quickly and without writing anything: it shows that the program works, but gives no figure.

Writes results/segment/gpu.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from assay_rpc.client import AssayError, SegmentClient

from benchmarks import report
from benchmarks.segment import gpu_kernels, gpu_variants
from benchmarks.segment.gpu_engine import measure_engine, measure_pipeline, photographs
from services.cli.connections import processes
from services.errors import EngineUnavailable, InvalidArgument
from services.segment.engines.choice import Device, choose
from services.segment.engines.engine import Engine
from services.segment.images.decode import decode
from services.segment.manifest import Manifest, Precision, read_manifest
from services.segment.reference import MODEL_DIRECTORY

NO_GPU = 3
_PROVIDER = "CUDAExecutionProvider"
_MIXED_REQUESTS = 10_000
# Shares of a model's time, by what is measured.
_ENGINE_SHARE, _PIPELINE_SHARE, _SERVER_SHARE, _MEMORY_SHARE = 0.25, 0.2, 0.3, 0.25
# Share of all the time for the models without the variants.
_FIRST_SHARE = 0.6
_LIBRARIES = ("onnxruntime-gpu", "numpy", "pillow", "numba", "grpcio")


@dataclass(frozen=True)
class Setting:
    """Where models run, how long each of them may take in all, and where results go."""

    device: Device
    seconds: float
    rehearsal: bool
    max_batch: int


def gpu_facts() -> dict[str, str]:
    """Return the GPU's name, driver and memory as nvidia-smi says; empty without a GPU."""
    query = "--query-gpu=name,driver_version,memory.total"
    try:
        said = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"],
            capture_output=True, text=True, check=True, timeout=30,
        ).stdout.strip().splitlines()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return {}
    if not said:
        return {}
    name, driver, memory = (part.strip() for part in said[0].split(","))
    return {"gpu": name, "driver": driver, "gpu_memory": memory, "gpus": str(len(said))}


def gpu_bytes() -> int | None:
    """Return the used bytes of the GPU's memory; None if unknown."""
    query = "--query-gpu=memory.used"
    try:
        said = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader,nounits"],
            capture_output=True, text=True, check=True, timeout=30,
        ).stdout.split()  # fmt: skip
        return int(said[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def open_engine(directory: Path, manifest: Manifest, setting: Setting) -> Engine:
    """Open a model, whose labels on a GPU are compared with the processor's: raises if they differ.

    The gates are the export's: 99.99 % of labels in fp32, 99.5 % in fp16.
    """
    choice = choose("onnxruntime", setting.device, manifest.graph.precision)
    return choice.open(directory, manifest, threads=4, max_batch_size=setting.max_batch)


async def measure_server(
    directory: Path, manifest: Manifest, setting: Setting, seconds: float
) -> dict[str, Any]:
    """Time SegmentImages of a server in a process of its own."""
    variables = {
        "ASSAY_SEGMENT_MODELS": json.dumps([str(directory)]),
        "ASSAY_SEGMENT_ACCEPTED_LICENSES": json.dumps([manifest.license.id]),
        "ASSAY_SEGMENT_DEVICE": setting.device,
        "ASSAY_SEGMENT_ENGINE": "onnxruntime",
        "ASSAY_SEGMENT_PRECISION": manifest.graph.precision,
        "ASSAY_SEGMENT_QUEUE_ITEMS": "1024",
    }
    with tempfile.TemporaryDirectory(prefix="assay-gpu-") as logs:
        server = await processes.start("segment", variables, Path(logs))
        try:
            return await asyncio.to_thread(_through, server.address, setting, seconds)
        finally:
            await server.stop()


def _through(address: str, setting: Setting, seconds: float) -> dict[str, Any]:
    files = photographs(16)
    with SegmentClient(address) as client:
        client.label(files[0])
        done, begun = 0, time.perf_counter()

        def until() -> Iterator[bytes]:
            number = 0
            while number < 8 or time.perf_counter() - begun < seconds / 2:
                yield files[number % len(files)]
                number += 1

        for _, answer in client.label_many(until()):
            if isinstance(answer, AssayError):
                raise answer
            done += 1
        rate = done / (time.perf_counter() - begun)
        before, mixed = gpu_bytes(), 0
        drawn = np.random.default_rng(1)
        wanted = 32 if setting.rehearsal else _MIXED_REQUESTS

        def sizes() -> Iterator[Any]:
            end = time.perf_counter() + seconds / 2
            for number in range(wanted):
                if number > 8 and time.perf_counter() > end:
                    return
                height, width = drawn.integers(64, 1200, 2)
                yield np.zeros((int(height), int(width), 3), np.uint8)

        for _, answer in client.label_many(sizes()):
            if isinstance(answer, AssayError):
                raise answer
            mixed += 1
        after = gpu_bytes()
    return {
        "pictures_per_second": round(rate, 1),
        "mixed_requests": mixed,
        "gpu_bytes_before": before,
        "gpu_bytes_after": after,
    }


async def measure(directory: Path, setting: Setting) -> dict[str, Any]:
    """Measure one model; if its labels differ from the processor's, only report that."""
    manifest = read_manifest(directory)
    facts = {
        "model": manifest.name,
        "precision": manifest.graph.precision,
        "architecture": manifest.architecture,
    }
    print(
        f"{manifest.name} in {manifest.graph.precision}: comparing with the processor", flush=True
    )
    try:
        engine = await asyncio.to_thread(open_engine, directory, manifest, setting)
    except (EngineUnavailable, InvalidArgument) as error:
        print(f"  not equal, and not measured: {error}", flush=True)
        return facts | {"equal": False, "why": str(error)}
    found: dict[str, Any] = facts | {"equal": True}
    found["engine"] = await asyncio.to_thread(
        measure_engine, engine, manifest, _ENGINE_SHARE * setting.seconds
    )
    print(f"  engine {found['engine']}", flush=True)
    picture = decode(photographs(1)[0], 10_000_000)
    found["label_map"] = gpu_kernels.label_maps(engine, manifest.preprocessing, picture)
    found["input"] = gpu_kernels.inputs(engine, manifest.preprocessing, picture)
    print(f"  kernels {found['label_map']} {found['input']}", flush=True)
    found["pipeline"] = await measure_pipeline(
        engine, manifest, setting.max_batch, _PIPELINE_SHARE * setting.seconds
    )
    del engine
    print(f"  pipeline {found['pipeline']}", flush=True)
    found["server"] = await measure_server(
        directory, manifest, setting, (_SERVER_SHARE + _MEMORY_SHARE) * setting.seconds
    )
    print(f"  server {found['server']}", flush=True)
    return found


# Goals on an H100 or H200: milliseconds from a JPEG to its labels, and pictures a second.
_LATENCY_MS = {"segformer-b0": 2.0}
_RATE = {"segformer-b0": 3000.0, "segformer-b4": 1000.0}


def goals(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of one model: its goals, the server against the engine, and its memory."""
    name = f"{found['model']} in {found['precision']}"
    engine = max(one["pictures_per_second"] for one in found["engine"].values())
    pipeline, server = found["pipeline"], found["server"]
    rows = [
        report.row(
            f"{name} through SegmentImages", "its engine alone", server["pictures_per_second"],
            engine, "pictures/s", target=0.9,
        )
    ]  # fmt: skip
    goal = _LATENCY_MS.get(found["architecture"])
    if goal is not None:
        latency = pipeline["jpeg_to_labels_p50_ms"]
        rows.append(
            report.row(
                f"{name}, a JPEG to its labels", "the goal", latency, goal, "ms", target=1.0,
                less_is_better=True,
            )
        )  # fmt: skip
    goal = _RATE.get(found["architecture"])
    if goal is not None:
        rate = pipeline["pictures_per_second"]
        rows.append(
            report.row(f"{name}, offline", "the goal", rate, goal, "pictures/s", target=1.0)
        )
    before, after = server["gpu_bytes_before"], server["gpu_bytes_after"]
    if before and after:
        rows.append(
            report.row(
                f"{name}, memory after {server['mixed_requests']} mixed requests", "before them",
                after, before, "bytes", target=0.95, less_is_better=True,
            )
        )  # fmt: skip
    return rows


def models(given: list[Path], work: Path) -> list[Path]:
    """Return the models to measure: given ones, or the reference model and random ones."""
    if given:
        return given
    found = [MODEL_DIRECTORY]
    if find_spec("torch") and find_spec("transformers"):
        from services.segment.export.command import export_random  # noqa: PLC0415  # slow to load

        precisions: tuple[Precision, ...] = ("fp32", "fp16")
        for architecture in ("b0", "b4"):
            for precision in precisions:
                out = work / f"{architecture}-{precision}"
                print(f"exporting {architecture} in {precision}", flush=True)
                export_random(architecture, 0, out, precision=precision)
                found.append(out)
    return found


def main() -> int:
    """Measure; return 3 without a GPU, 1 if a model's labels differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", action="append", default=[], type=Path, metavar="DIR")
    parser.add_argument("--minutes", type=float, default=25.0, metavar="M")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    facts = gpu_facts()
    if not options.rehearse and (not facts or _PROVIDER not in ort.get_available_providers()):
        what = "no GPU is here: nvidia-smi finds none" if not facts else (
            f"this ONNX Runtime has no {_PROVIDER}: install requirements/serve-segment-gpu.lock"
        )  # fmt: skip
        print(f"{what}; nothing was measured", file=sys.stderr)
        return NO_GPU
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="assay-gpu-models-") as work:
        chosen = [MODEL_DIRECTORY] if options.rehearse else models(options.model, Path(work))
        end = begun + options.minutes * 60 * 0.9
        left = max(60.0, (end - time.monotonic()) * _FIRST_SHARE)
        setting = Setting(
            device="cpu" if options.rehearse else "cuda",
            seconds=0.2 if options.rehearse else left / len(chosen),
            rehearsal=options.rehearse,
            max_batch=2 if options.rehearse else 32,
        )
        found = [asyncio.run(measure(directory, setting)) for directory in chosen]
        for directory, one in zip(chosen, found, strict=True):
            if one["equal"]:
                one["variants"] = gpu_variants.measured(directory, setting.device, end)
    if options.rehearse:
        print("a rehearsal on the processor: nothing was written")
    else:
        rows = [row for one in found if one["equal"] for row in goals(one)]
        everything: dict[str, Any] = {**facts, "models": found}
        report.write("segment/gpu", rows, packages=_LIBRARIES, **everything)
    return 0 if all(one["equal"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
