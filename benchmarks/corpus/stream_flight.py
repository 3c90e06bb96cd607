"""Compares streaming a shard over loopback with Arrow Flight.

    python -m benchmarks.corpus.stream_flight [--rounds N] [--megabytes N]

Needs the real documents (ASSAY_TEST_DATA). Our service reads its frames from the disk; Flight holds
the texts in memory ("none", "lz4", "zstd") or decodes the same shard at every request ("live").
Every client makes a bytes object of each text. Rounds alternate; figures are medians of wall time.

Writes benchmarks/results/corpus/stream_flight.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from assay_rpc.channel import connect
from assay_rpc.corpus import CorpusStream
from assay_rpc.corpus.v1 import corpus_pb2_grpc, selection_pb2, stream_pb2

from benchmarks import report
from benchmarks.corpus.local_read import make_shard
from benchmarks.serving import CorpusServer, processor_seconds

TARGETS = {"zstd": 1.8, "lz4": 1.4, "none": 0.7, "live": 1.0}


def read_ours(address: str, limit_bytes: int) -> tuple[float, int]:
    """Stream the texts once; return seconds and bytes."""
    begun, size = time.perf_counter(), 0
    with CorpusStream(address, "c") as stream:
        for texts in stream.texts_bytes():
            size += sum(map(len, texts))
            if size >= limit_bytes:
                break
    return time.perf_counter() - begun, size


def pass_through(address: str, rounds: int) -> tuple[int, int, int]:
    """Take frames without decoding them; return messages, their bytes and the texts' bytes."""
    request = stream_pb2.StreamCorpusRequest(
        corpus=selection_pb2.CorpusRef(name="c"),
        delivery=stream_pb2.DELIVERY_FRAMES,
        chunk_bytes=1 << 20,
    )
    messages = size = text = 0
    with connect(address) as channel:
        for _ in range(rounds):
            for chunk in corpus_pb2_grpc.CorpusServiceStub(channel).StreamCorpus(request):
                messages += 1
                size += chunk.ByteSize()
                text += sum(frame.content_bytes for frame in chunk.frames.frames)
    return messages, size, text


def bare_seconds(messages: int, size: int) -> float:
    """Processor seconds of a bare handler that sends as many messages of the same size."""
    command = [sys.executable, "-m", "benchmarks.bare_stream", str(size // messages), str(messages)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    port = int(server.stdout.readline()) if server.stdout else 0
    with connect(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_stream("/Bare/Stream")
        before = processor_seconds(server.pid)
        for _ in method(b""):
            pass
        seconds = processor_seconds(server.pid) - before
    server.kill()
    server.wait()
    return seconds


def main() -> None:
    """Run the rounds and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--venvs", type=Path, default=report.HERE.parent / ".venv-peers")
    options = parser.parse_args()
    source, index = make_shard(options.venvs / "bench", options.megabytes)
    whole = int(index.text_bytes.sum(dtype="int64"))
    python = options.venvs / "corpus" / "bin" / "python"  # corpus/local_read.py makes it
    peer = report.HERE / "peers" / "corpus_flight.py"
    rows: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as home:
        root = source.with_name(f"{options.megabytes}-indexed")
        server = CorpusServer(root, home)
        read_ours(server.address, whole)
        for mode, target in TARGETS.items():
            flight = subprocess.Popen(
                [python, peer, "serve", source, mode, str(whole)], stdout=subprocess.PIPE
            )
            started = json.loads(flight.stdout.readline() if flight.stdout else b"")
            versions["pyarrow"] = started["pyarrow"]
            ours: list[float] = []
            theirs: list[float] = []
            for _ in range(options.rounds):
                done = subprocess.run(
                    [python, peer, "read", str(started["port"]), "2"],
                    check=True,
                    capture_output=True,
                )
                answer = json.loads(done.stdout.splitlines()[-1])
                theirs.append(whole / answer["wall_seconds"] / 1e6)
                seconds, size = read_ours(server.address, whole)
                ours.append(size / seconds / 1e6)
            flight.kill()
            flight.wait()
            rows.append(
                report.row(
                    "a shard over loopback to a bytes object a text, live from disk",
                    f"Arrow Flight, {mode}",
                    statistics.median(ours),
                    statistics.median(theirs),
                    "MB of text per second",
                    target=target,
                )
            )
        before = server.processor_seconds()
        messages, size, text = pass_through(server.address, 4 * options.rounds)
        ours_seconds = server.processor_seconds() - before
        server.stop()
    rows += [
        report.row(
            "frames passed through, text per second of the server's processor time",
            "the target itself",
            text / ours_seconds / 1e6,
            4000,
            "MB per processor second",
            target=1.0,
        ),
        report.row(
            "frames passed through, bytes on the wire per second of the server's processor time",
            "a bare grpc.aio handler that sends as many bytes from memory (the limit)",
            size / ours_seconds / 1e6,
            size / bare_seconds(messages, size) / 1e6,
            "MB per processor second",
            target=None,
        ),
    ]
    packages = ("grpcio", "protobuf", "zstandard")
    report.write("corpus/stream_flight", rows, packages=packages, peer_versions=versions)


if __name__ == "__main__":
    main()
