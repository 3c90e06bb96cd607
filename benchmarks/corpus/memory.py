"""Measures the server's memory under many clients, one of which stops reading.

    python -m benchmarks.corpus.memory [--seconds N] [--clients N]

Needs the real documents (ASSAY_TEST_DATA). Every second client takes frames, the others documents,
which the server decodes; each begins again when it has read everything.

Writes benchmarks/results/corpus/memory.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import threading
import time
from pathlib import Path

import grpc
from assay_rpc.channel import connect
from assay_rpc.corpus.v1 import corpus_pb2_grpc, selection_pb2, stream_pb2

from benchmarks import report
from benchmarks.corpus.local_read import make_shard
from benchmarks.serving import CorpusServer


def read(address: str, number: int, *, stalled: bool) -> None:
    """Be one client until killed."""
    delivery = (stream_pb2.DELIVERY_FRAMES, stream_pb2.DELIVERY_DOCUMENTS)[number % 2]
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name="c"),
        selection=selection_pb2.Selection(seed=number),
        delivery=delivery,
    )
    # Its own channel, like a client on another machine.
    channel = connect(address)
    while True:
        try:
            for _ in corpus_pb2_grpc.CorpusServiceStub(channel).StreamCorpus(request):
                if stalled:
                    time.sleep(1e6)
        except grpc.RpcError:
            return


def read_all(address: str, clients: int) -> None:
    """Be all clients; the first one stalls."""
    threads = [
        threading.Thread(target=read, args=(address, number), kwargs={"stalled": number == 0})
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()


def main() -> None:
    """Watch the server for a while and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    options = parser.parse_args()
    source, _ = make_shard(options.venvs / "bench", options.megabytes)
    with tempfile.TemporaryDirectory() as home:
        server = CorpusServer(source.with_name(f"{options.megabytes}-indexed"), home)
        alone = server.memory()["now"]
        clients = multiprocessing.get_context("spawn").Process(
            target=read_all, args=(server.address, options.clients)
        )
        clients.start()
        samples: list[float] = []
        begun = time.monotonic()
        while time.monotonic() - begun < options.seconds:
            time.sleep(0.2)
            samples.append(server.memory()["now"])
        peak = server.memory()["peak"]
        clients.kill()
        clients.join()
        server.stop()
    third = len(samples) // 3
    middle, last = (
        statistics.median(samples[third : 2 * third]),
        statistics.median(samples[-third:]),
    )
    what = f"resident memory of the server, {options.clients} clients, one of them stalled"
    rows = [
        report.row(
            f"{what}, at its peak",
            "the target itself",
            peak,
            500,
            "MB",
            target=1.0,
            less_is_better=True,
        ),
        report.row(
            f"{what}: median of the last third of {options.seconds:.0f} s, against the second",
            "flat",
            last,
            middle,
            "MB",
            target=0.95,
            less_is_better=True,
        ),
    ]
    report.write(
        "corpus/memory", rows, packages=("grpcio", "protobuf"), megabytes_idle=round(alone, 1)
    )


if __name__ == "__main__":
    main()
