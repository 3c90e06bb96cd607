"""Measures the server's memory under 200 clients, 100 of which never read the replies.

    python -m benchmarks.corpus.crowd [--seconds N] [--clients N]

A control group gives the server the memory of its manifest (deploy/base/corpus.yaml), if this user
may make one. Otherwise the server gets the budget that it would have there, and the result says so.
Every second client opens a stream and never takes a message. The others read frames or documents,
and start again at the end. Needs the real documents (ASSAY_TEST_DATA).

Writes benchmarks/results/corpus/crowd.json.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from ctypes import Array, c_long
from pathlib import Path

import grpc
import yaml
from assay_rpc.channel import connect
from assay_rpc.corpus.v1 import corpus_pb2_grpc, selection_pb2, stream_pb2

from benchmarks import report
from benchmarks.corpus.local_read import make_shard
from benchmarks.serving import CorpusServer

_MANIFEST = report.HERE.parent / "deploy" / "base" / "corpus.yaml"
_PROCESSES = 4
_GROUPS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)
_AGAIN_SECONDS = 0.5

Counts = Array[c_long]


def manifest_bytes() -> int:
    """Return the limit of the service's memory in its manifest."""
    for document in yaml.safe_load_all(_MANIFEST.read_text("utf-8")):
        if document["kind"] in {"Deployment", "StatefulSet"}:
            (container,) = document["spec"]["template"]["spec"]["containers"]
            limit = str(container["resources"]["limits"]["memory"])
            return int(limit[:-2]) << {"Mi": 20, "Gi": 30}[limit[-2:]]
    raise SystemExit(f"{_MANIFEST} has no Deployment")


@contextlib.contextmanager
def group_of(limit: int) -> Iterator[Path | None]:
    """Make a control group with that much memory; None if this user may make none."""
    for root, name in _GROUPS:
        folder = root / f"assay-crowd-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / name).write_text(str(limit), "ascii")
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
            continue
        try:
            yield folder
        finally:
            folder.rmdir()
        return
    yield None


class LimitedServer(CorpusServer):
    """A server in a control group."""

    def __init__(self, root: Path, home: str, group: Path | None, limit: int) -> None:
        self._group = group
        if group is None:
            os.environ["ASSAY_CORPUS_STREAM_BYTES"] = str(limit // 2)
        super().__init__(root, home)

    def _launch(self) -> None:
        command = self._command
        if self._group is not None:
            enter = 'echo $$ > "$0" && exec "$@"'
            command = ["sh", "-c", enter, str(self._group / "cgroup.procs"), *command]
        self.process = subprocess.Popen(
            command, env=self._environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )


def be_one(address: str, number: int, taken: Counts, refused: Counts, ended: Counts) -> None:
    """Be one client until killed: a client with an even number never reads."""
    delivery = (stream_pb2.DELIVERY_FRAMES, stream_pb2.DELIVERY_DOCUMENTS)[number // 2 % 2]
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name="c"),
        selection=selection_pb2.Selection(seed=number),
        delivery=delivery,
    )
    channel = connect(address)  # its own channel, like a client on another machine
    while True:
        call = corpus_pb2_grpc.CorpusServiceStub(channel).StreamCorpus(request)
        try:
            if number % 2 == 0:
                call.code()  # waits until the stream ends, and takes nothing
            for message in call:
                taken[number] += message.ByteSize()
        except grpc.RpcError:
            pass
        code = call.code()
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            refused[number] += 1
        elif code is not grpc.StatusCode.OK:
            ended[number] += 1
        time.sleep(_AGAIN_SECONDS)


def be_some(address: str, numbers: range, taken: Counts, refused: Counts, ended: Counts) -> None:
    """Be the clients of these numbers."""
    for number in numbers:
        threading.Thread(target=be_one, args=(address, number, taken, refused, ended)).start()


def main() -> int:
    """Watch the server for a while, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    options = parser.parse_args()
    source, _ = make_shard(options.venvs / "bench", options.megabytes)
    limit = manifest_bytes()
    spawn = multiprocessing.get_context("spawn")
    counts = [spawn.Array("l", options.clients, lock=False) for _ in range(3)]
    taken, refused, ended = counts
    with tempfile.TemporaryDirectory() as home, group_of(limit) as group:
        root = source.with_name(f"{options.megabytes}-indexed")
        server = LimitedServer(root, home, group, limit)
        alone = server.memory()["now"]
        crowd = [
            spawn.Process(
                target=be_some,
                args=(server.address, range(first, options.clients, _PROCESSES), *counts),
            )
            for first in range(_PROCESSES)
        ]
        for process in crowd:
            process.start()
        begun = time.monotonic()
        before: list[int] = []
        samples: list[float] = []
        while time.monotonic() - begun < options.seconds and server.process.poll() is None:
            time.sleep(0.2)
            samples.append(server.memory()["now"])
            if not before and time.monotonic() - begun > options.seconds * 2 / 3:
                before = list(taken)
        lives = server.process.poll() is None
        peak = server.memory()["peak"] if lives else limit / 1e6 + 1
        third = len(samples) // 3
        thirds = [statistics.median(samples[n * third : (n + 1) * third]) for n in range(3)]
        reading = [now > then for now, then in zip(taken, before, strict=True)][1::2]
        for process in crowd:
            process.kill()
            process.join()
        if lives:
            server.stop()
    what = f"{options.clients} clients of which {options.clients // 2} never read"
    rows = [
        report.row(
            f"largest resident memory of the server, {what}",
            "the limit of its manifest",
            peak,
            limit / 1e6,
            "MB",
            target=1.0,
            less_is_better=True,
        ),
        report.row(
            "clients that read and got something in the last third of the time",
            "all of those that read",
            sum(reading),
            len(reading),
            "clients",
            target=1.0,
        ),
    ]
    report.write(
        "corpus/crowd",
        rows,
        packages=("grpcio", "protobuf"),
        limited_by="a control group" if group else "its setting of a budget",
        server_lives=lives,
        megabytes_idle=round(alone, 1),
        megabytes_in_each_third=[round(one, 1) for one in thirds],
        megabytes_taken=round(sum(taken) / 1e6),
        refused_as_overloaded=sum(refused),
        ended_otherwise=sum(ended),
    )
    return 0 if lives else 1


if __name__ == "__main__":
    sys.exit(main())
