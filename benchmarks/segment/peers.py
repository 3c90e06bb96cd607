"""Servers of B0 for the benchmarks of segment: ours, LitServe, Triton's Python front end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from assay_rpc.segment.v1 import segment_pb2
from numpy.typing import NDArray

from benchmarks import load
from benchmarks.connections import Target
from benchmarks.segment.setting import ROOT, SIZE, Setting
from benchmarks.serving import SegmentServer, free_port

METHOD = "/assay.segment.v1.SegmentService/SegmentImage"
_START_SECONDS = 180
_LEAST_AGREEMENT = 0.99


@dataclass(frozen=True)
class Served:
    """A running server, and the way to put load on it."""

    name: str
    target: Target
    requests: list[Path]
    pid: int
    labels_of: Callable[[bytes], bytes]

    def labels(self) -> NDArray[np.uint8]:
        """Request each picture's labels once; return (pictures, height, width)."""
        width, height = SIZE
        maps = [self.labels_of(load.answer(self.target, request)) for request in self.requests]
        return np.frombuffer(b"".join(maps), np.uint8).reshape(len(maps), height, width)

    def under(self, how: load.Closed | load.Open) -> load.Result:
        """Put load on it."""
        return load.run(self.target, self.requests, how)


@contextlib.contextmanager
def ours(
    setting: Setting, model: Path, precision: str, **settings: str | float
) -> Iterator[Served]:
    """Serve a model with our service in `precision`."""
    server = SegmentServer(model, setting.folder, precision=precision, **settings)
    try:
        target = Target("grpc", server.address, METHOD)
        yield Served(server.engine, target, setting.requests(), server.process.pid, _ours)
    finally:
        server.stop()


@contextlib.contextmanager
def litserve(setting: Setting, kind: str, *arguments: str | Path) -> Iterator[Served]:
    """Serve with LitServe: "usual" CHECKPOINT, or "graph" MODEL PRECISION."""
    port = free_port()
    with _peer(setting, "segment", "segment_litserve", port, kind, *arguments) as process:
        _wait(process, f"http://127.0.0.1:{port}/health")
        target = Target("http", f"127.0.0.1:{port}", "/predict")
        yield Served(f"LitServe, {kind}", target, setting.forms(), process.pid, bytes)


@contextlib.contextmanager
def pytriton(setting: Setting, kind: str, *arguments: str | Path) -> Iterator[Served]:
    """Serve with Triton's Python front end; the arguments are those of `litserve`."""
    port, http = free_port(), free_port()
    with _peer(setting, "pytriton", "segment_pytriton", port, http, kind, *arguments) as process:
        _wait(process, f"http://127.0.0.1:{http}/v2/models/segformer/ready")
        target = Target("grpc", f"127.0.0.1:{port}", "/inference.GRPCInferenceService/ModelInfer")
        requests = setting.triton_requests()
        yield Served(f"Triton-python, {kind}", target, requests, process.pid, _last)


def _ours(reply: bytes) -> bytes:
    return segment_pb2.SegmentImageResponse.FromString(reply).labels.data


def _last(reply: bytes) -> bytes:
    """Return the labels of a ModelInferResponse, whose raw contents come last."""
    return reply[-SIZE[0] * SIZE[1] :]


@contextlib.contextmanager
def _peer(
    setting: Setting, venv: str, module: str, *arguments: object
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a peer's server, logging to MODULE.log; its processes end with the context."""
    command: list[str | Path] = [setting.python(venv), "-m", f"benchmarks.peers.{module}"]
    command += map(str, arguments)
    log = (setting.folder / f"{module}.log").open("wb")
    with log:
        process = subprocess.Popen(
            command, cwd=ROOT, start_new_session=True, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # processes that it started and left behind
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    """Wait until a URL answers with success. Exits if the process ends first."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    begun = time.monotonic()
    while time.monotonic() < begun + _START_SECONDS:
        if process.poll() is not None:
            raise SystemExit(f"a peer did not start: {process.args!r}")
        try:
            with direct.open(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"a peer does not answer: {process.args!r}")


def requirements(name: str) -> dict[str, str]:
    """Return the versions that the list of a peer's environment pins."""
    lines = (ROOT / "benchmarks" / "peers" / f"{name}.txt").read_text("utf-8").splitlines()
    pins = (line.partition("==")[::2] for line in lines if not line.startswith("#"))
    return dict(pins)


def agreement(labels: Mapping[str, NDArray[np.uint8]]) -> dict[str, float]:
    """Return the share of each side's labels that equal the first's. Exits if sides disagree.

    Times are comparable only if all sides do the same work.
    """
    first = next(iter(labels.values()))
    shares = {name: float((first == other).mean()) for name, other in labels.items()}
    if min(shares.values()) < _LEAST_AGREEMENT:
        raise SystemExit(f"the sides do not agree on the labels: {shares}")
    return {name: round(share, 6) for name, share in shares.items()}
