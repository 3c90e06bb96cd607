"""Counts the files that one call passes in a running service, and the moves between them.

    python -m benchmarks.walks

A file counts if a function in it is called. A move counts if the next call in the same thread is in
another file; different moves are counted too, since loops repeat moves. Each call is made once
before, so that nothing is opened or compiled on the walk.
Writes benchmarks/results/walks.json; docs/architecture.md shows its table.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from assay_rpc.channel import connect
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import (
    corpus_pb2_grpc,
    describe_pb2,
    scoring_pb2,
    scoring_pb2_grpc,
    selection_pb2,
    stream_pb2,
)
from assay_rpc.ranker.v1 import (
    compare_pb2,
    ranker_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc
from PIL import Image

from benchmarks import report

ARTIFACT = "segformer-b4-finetuned-ade-512-512"
CLAIM = "B4.1"  # its parameters, which segment reports


class Walk(NamedTuple):
    """The files and moves of one call."""

    files: int
    moves: int
    different: int


class Service:
    """A traced service in a separate process; it answers calls once it is made."""

    def __init__(self, name: str, home: Path, **variables: str) -> None:
        self._out = home / f"{name}-walk.json"
        ready = home / f"{name}-ready.json"
        prefix = f"ASSAY_{name.upper()}_"
        environment = {
            "ASSAY_HOME": str(home),
            f"{prefix}READY_FILE": str(ready),
            f"{prefix}LOG_LEVEL": "error",
            f"{prefix}END_WITH_PARENT": "true",
            **{f"{prefix}{kind}PORT": "0" for kind in ("", "HEALTH_", "METRICS_")},
            **variables,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.walk_tracer", name, str(self._out)],
            env={**os.environ, **environment},
        )
        while not ready.exists():
            if self._process.poll() is not None:
                raise SystemExit(f"{name} did not start")
            time.sleep(0.05)
        self.address = f"127.0.0.1:{json.loads(ready.read_text('utf-8'))['port']}"

    def walk(self, call: Callable[[], object]) -> Walk:
        """Return the files and moves of one call."""
        self._process.send_signal(signal.SIGUSR1)
        time.sleep(0.3)
        call()
        time.sleep(0.3)
        self._process.send_signal(signal.SIGUSR2)
        while not self._out.exists():
            time.sleep(0.05)
        threads = json.loads(self._out.read_text("utf-8"))
        self._out.unlink()
        moves = [pair for thread in threads for pair in pairwise(thread) if pair[0] != pair[1]]
        files = {file for thread in threads for file in thread}
        return Walk(len(files), len(moves), len(set(moves)))

    def stop(self) -> None:
        """Ask the service to end, and wait."""
        self._process.terminate()
        self._process.wait()


def _finish(method: Any, request: Any) -> None:
    """Read a stream to its end."""
    for _ in method(request, timeout=300):
        pass


def _verify(stub: Any) -> None:
    """Submit a verification and follow it to its end."""
    submitted = stub.SubmitVerification(
        verification_pb2.SubmitVerificationRequest(
            artifact=ARTIFACT, claims=[f"{ARTIFACT}/{CLAIM}"], request_id=str(uuid.uuid4())
        ),
        timeout=60,
    )
    _finish(stub.WatchJob, verification_pb2.WatchJobRequest(job=submitted.job.id))


def _picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _segment(home: Path) -> dict[str, Walk]:
    service = Service("segment", home)
    with connect(service.address) as channel:
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        request = segment_pb2.SegmentImageRequest(image=images_pb2.Image(encoded=_picture()))
        stub.SegmentImage(request, timeout=60)
        walk = service.walk(lambda: stub.SegmentImage(request, timeout=60))
    service.stop()
    return {"SegmentImage, idle": walk}


def _corpus(home: Path) -> dict[str, Walk]:
    service = Service("corpus", home)
    with connect(service.address) as channel:
        stub = corpus_pb2_grpc.CorpusServiceStub(channel)
        scoring = scoring_pb2_grpc.ScoringServiceStub(channel)
        (corpus,) = stub.ListCorpora(describe_pb2.ListCorporaRequest(), timeout=60).corpora
        whole = stream_pb2.StreamCorpusRequest(
            corpus=corpus.ref,
            selection=selection_pb2.Selection(splits=["test"], max_documents=20),
            delivery=stream_pb2.DELIVERY_DOCUMENTS,
        )

        def score(documents: int) -> scoring_pb2.ScoreBPBRequest:
            return scoring_pb2.ScoreBPBRequest(
                corpus=corpus.ref,
                selection=selection_pb2.Selection(splits=["test"], max_documents=documents),
                model=common_pb2.ModelRef(name="byte-reference"),
            )

        # Another number first, because a finished scoring would be answered from its stored result.
        other, request = score(3), score(2)
        calls: dict[str, tuple[Any, Any, Any]] = {
            "StreamCorpus, no index": (stub.StreamCorpus, whole, whole),
            "ScoreBPB, two documents": (scoring.ScoreBPB, other, request),
        }
        walks = {}
        for name, (method, before, counted) in calls.items():
            _finish(method, before)
            walks[name] = service.walk(partial(_finish, method, counted))
    service.stop()
    return walks


def _ranker(home: Path) -> dict[str, Walk]:
    segment = Service("segment", home)
    service = Service("ranker", home, ASSAY_RANKER_SEGMENT_ADDR=segment.address)
    with connect(service.address) as channel:
        stub = ranker_pb2_grpc.RankerServiceStub(channel)
        verification = verification_pb2_grpc.VerificationServiceStub(channel)
        _verify(verification)
        walks = {"a verification, one claim": service.walk(partial(_verify, verification))}
        miss = compare_pb2.CompareRequest(left=ARTIFACT, right="the-pile", as_of="2026-01-15")
        before = compare_pb2.CompareRequest(left=ARTIFACT, right="the-pile", as_of="2026-01-14")
        stub.Compare(before, timeout=60)
        walks["Compare, MISS"] = service.walk(lambda: stub.Compare(miss, timeout=60))
        walks["Compare, HIT"] = service.walk(lambda: stub.Compare(miss, timeout=60))
    service.stop()
    segment.stop()
    return walks


# The counts of this script for the layout of release 0.1.0, and the goals: files, moves.
BEFORE = {
    "SegmentImage, idle": ((30, 180), (18, 90)),
    "StreamCorpus, no index": ((18, 151), (12, 80)),
    "ScoreBPB, two documents": ((32, 291), (20, 120)),
    "a verification, one claim": ((25, 98), (18, 90)),
    "Compare, MISS": ((33, 301), (20, 150)),
    "Compare, HIT": ((16, 26), (12, 20)),
}


def main() -> None:
    """Walk through the three services and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        walks = _segment(Path(folder)) | _corpus(Path(folder)) | _ranker(Path(folder))
    rows = [
        report.row(
            f"{name}: {unit}",
            "the layout of 0.1.0",
            *(ours, theirs, unit),
            target=round(theirs / goal, 2),
            less_is_better=True,
        )
        for name, counted in walks.items()
        for ours, theirs, goal, unit in zip(
            counted[:2], *BEFORE[name], ("files", "moves"), strict=True
        )
    ]
    different = {name: walk.different for name, walk in walks.items()}
    report.write("walks", rows, packages=["grpcio"], different_moves=different)


if __name__ == "__main__":
    main()
