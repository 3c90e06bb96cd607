"""More load than can be computed, and how long a start takes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from assay_rpc.segment.v1 import images_pb2, segment_pb2

from benchmarks import load
from benchmarks.connections import Target
from benchmarks.faults.callers import picture
from benchmarks.faults.running import Running
from benchmarks.faults.table import Row, row
from benchmarks.serving import processor_seconds

_TIMES, _SECONDS, _CLIENTS = 5, 10.0, 8
_SERVICE_TIMES = 4
_STARTS = 3


def overload(folder: Path, home: Path) -> list[Row]:
    """Overload segment with its demonstration model.

    The model is so small that refusing four of five calls takes much of its processor time.
    """
    return _overload(folder, "the demonstration model", {"ASSAY_HOME": str(home)})


def overload_b0(folder: Path, home: Path) -> list[Row]:
    """Overload segment with a SegFormer-B0 of random weights; no rows if torch is missing."""
    if not find_spec("torch"):
        return []
    models = folder / "models"
    source = ("--architecture", "b0", "--random-weights", "0")
    subprocess.run(
        [sys.executable, "-m", "services.cli", "export", "--out", models / "b0", *source],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    variables = {"ASSAY_HOME": str(home), "ASSAY_SEGMENT_MODELS": json.dumps([str(models)])}
    return _overload(folder, "B0 in 512 x 512", variables)


def _overload(folder: Path, model: str, variables: dict[str, str]) -> list[Row]:
    """Offer five times the rate that the model computes, with deadlines; then that rate again."""
    file = folder / "request"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_bytes(
        segment_pb2.SegmentImageRequest(
            image=images_pb2.Image(encoded=picture())
        ).SerializeToString()
    )
    with Running("segment", folder, variables) as service:
        target = Target("grpc", service.address, "/assay.segment.v1.SegmentService/SegmentImage")
        closed = load.Closed(_CLIENTS, _SECONDS / 2)
        before = load.run(target, [file], closed).require_success().rate
        offered = load.Open(_TIMES * before, _SECONDS, timeout=_SERVICE_TIMES * _CLIENTS / before)
        under = load.run(target, [file], offered)
        back = load.run(target, [file], load.Closed(_CLIENTS, 2.0)).require_success().rate
        after = load.run(target, [file], closed).require_success().rate
    capacity = statistics.mean((before, after))
    what = f"segment, {model}: {_TIMES} times the load that it computes"
    replies = ", ".join(f"{count:,} {status}" for status, count in under.statuses.items())
    says = f"of {capacity:.0f} a second; {replies}"
    return [
        row(what, "lost of the goodput", 1 - min(1, under.rate / capacity), 0.1, "", says),
        row(what, "lost of it in the 2 s after", 1 - min(1, back / capacity), 0.1, ""),
    ]


def cold_start(name: str, at_most: float, folder: Path, variables: dict[str, str]) -> list[Row]:
    """Start a service that was started before, three times, and return the medians.

    The bound is on the processor time of the start, which other work on the machine changes less
    than the elapsed time. The row states the elapsed time too.
    """
    seconds, clock = [], []
    with Running(name, folder, variables) as service:
        for _ in range(_STARTS):
            service.stop()
            clock.append(service.start())
            seconds.append(processor_seconds(service.process.pid))
    what = f"{name}: start of a process until it serves"
    says = f"{statistics.median(clock):.1f} s on the clock, load {os.getloadavg()[0]:.1f}"
    return [row(what, "processor time", statistics.median(seconds), at_most, "s", says)]
