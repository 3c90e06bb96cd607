"""Kills a scoring with SIGKILL at random points, and compares the final bits.

    python -m benchmarks.bpb.kill
    python -m benchmarks.bpb.kill --kills 2 --documents 10 --no-result

A corpus service scores the reference model on the first documents of the reference corpus, once
without interruption. Then the same scoring runs with a checkpoint, and the service is killed
repeatedly, at moments drawn evenly from the time that the first scoring took. A scoring that
finishes must have every sum and every interval of the first one, bit for bit; then the next scoring
starts. The run ends after enough kills, once every scoring that was killed has finished.

Writes benchmarks/results/bpb/kill.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, scoring_pb2_grpc, selection_pb2

from benchmarks import report

_START_SECONDS = 120.0


class CorpusProcess:
    """A corpus service in a process of its own."""

    def __init__(self, home: Path) -> None:
        ready = home / "ready.json"
        ready.unlink(missing_ok=True)
        ports = dict.fromkeys(("PORT", "HEALTH_PORT", "METRICS_PORT"), "0")
        variables = {
            **os.environ,
            **{f"ASSAY_CORPUS_{name}": value for name, value in ports.items()},
            "ASSAY_CORPUS_HOST": "127.0.0.1",
            "ASSAY_CORPUS_READY_FILE": str(ready),
            "ASSAY_CORPUS_END_WITH_PARENT": "true",
            "ASSAY_HOME": str(home),
        }
        with (home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.corpus"], env=variables, stdout=log, stderr=log
            )
        end = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"the corpus service did not start; see {home / 'log'}")
            time.sleep(0.02)
        self.port = json.loads(ready.read_text())["port"]

    def score(self, documents: int, checkpoint: str) -> scoring_pb2.FinalScore | None:
        """Score; None when the service ended before the scoring did."""
        request = scoring_pb2.ScoreBPBRequest(
            corpus=selection_pb2.CorpusRef(name="python-reference"),
            selection=selection_pb2.Selection(splits=["test"], max_documents=documents),
            model=common_pb2.ModelRef(name="byte-reference"),
            checkpoint=checkpoint,
        )
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            stub = scoring_pb2_grpc.ScoringServiceStub(channel)
            try:
                for update in stub.ScoreBPB(request):
                    if update.HasField("result"):
                        final: scoring_pb2.FinalScore = update.result
                        return final
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
        return None

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


def bits(final: scoring_pb2.FinalScore) -> bytes:
    """All of a result except where and how fast it was computed, and whether it was stored."""
    copy = scoring_pb2.FinalScore()
    copy.CopyFrom(final)
    copy.ClearField("environment")
    copy.ClearField("cached")
    copy.ClearField("tokens_per_second")
    return copy.SerializeToString(deterministic=True)


def run(home: Path, kills: int, documents: int, seed: int) -> tuple[int, list[int], float]:
    """Return the identical results, the kills of each, and the seconds without interruption."""
    service = CorpusProcess(home)
    began = time.monotonic()
    whole = service.score(documents, "whole")
    seconds = time.monotonic() - began
    if whole is None:
        raise RuntimeError(f"the scoring in one piece failed; see {home / 'log'}")
    rng = random.Random(seed)
    identical = killed = 0
    behind: list[int] = []  # kills of each scoring that finished
    pending = 0  # kills of the scoring that runs
    while killed < kills or pending:
        timer = threading.Timer(rng.uniform(0, seconds), service.kill)
        if killed < kills:
            timer.start()
        final = service.score(documents, f"pieces-{len(behind)}")
        timer.cancel()
        if final is not None:
            same = bits(final) == bits(whole)
            identical += same
            behind.append(pending)
            word = "identical" if same else "DIFFERENT"
            print(f"result {len(behind)}, after {pending} kills: {word}", flush=True)
            pending = 0
        elif service.process.poll() is not None:
            killed += 1
            pending += 1
            print(f"killed {killed} of {kills}", flush=True)
            service = CorpusProcess(home)
    service.kill()
    return identical, behind, seconds


def main() -> int:
    """Run and write the result; 1 when a single bit differed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-result", action="store_true", help="write no result file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        identical, behind, seconds = run(
            Path(home), arguments.kills, arguments.documents, arguments.seed
        )
    if not arguments.no_result:
        what = f"results bit-identical after kill -9 of scoring {arguments.documents} documents"
        peer = "the same scoring, never killed"
        report.write(
            "bpb/kill",
            [report.row(what, peer, identical, len(behind), "results", target=1.0)],
            packages=("numpy", "onnxruntime", "grpcio"),
            kills_behind_each_result=behind,
            seconds_in_one_piece=round(seconds, 1),
        )
    return 0 if identical == len(behind) else 1


if __name__ == "__main__":
    sys.exit(main())
