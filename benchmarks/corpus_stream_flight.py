"""Compares streaming a shard over loopback, to documents, with Arrow Flight.

    python -m benchmarks.corpus_stream_flight [--rounds N] [--megabytes N]

Needs the real documents (ASSAY_TEST_DATA). Our service reads its frames from the disk; Flight holds
the texts in memory ("none", "lz4", "zstd") or decodes the same shard at every request ("live").
Every client makes a bytes object of each text. Rounds alternate; figures are medians of wall time.

Writes benchmarks/results/corpus-stream-flight.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from assay.channel import connect_blocking
from assay.corpus import CorpusStream

from benchmarks.corpus_local_read import HERE, make_shard
from services.rpc.environment import environment

TARGETS = {"zstd": 1.8, "lz4": 1.4, "none": 0.7, "live": 1.0}


def start_ours(root: Path, home: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start the corpus service on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "ASSAY_HOME": home,
        "ASSAY_CORPUS_CORPORA": json.dumps({"c": {"path": str(root), "kind": "sample"}}),
        "ASSAY_CORPUS_PORT": address.rpartition(":")[2],
        "ASSAY_CORPUS_HEALTH_PORT": "0",
        "ASSAY_CORPUS_METRICS_PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.corpus"],
        env={**os.environ, **settings},
        stderr=subprocess.DEVNULL,
    )
    with connect_blocking(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=60)
    return process, address


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_ours(address: str, limit_bytes: int) -> tuple[float, int]:
    """Stream the texts once; return seconds and bytes."""
    begun, size = time.perf_counter(), 0
    with CorpusStream(address, "c") as stream:
        for texts in stream.texts():
            size += sum(map(len, texts))
            if size >= limit_bytes:
                break
    return time.perf_counter() - begun, size


def main() -> None:
    """Run the rounds and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--venvs", type=Path, default=HERE.parent / ".venv-peers")
    options = parser.parse_args()
    source, index = make_shard(options.venvs / "bench", options.megabytes)
    whole = int(index.text_bytes.sum(dtype="int64"))
    python = options.venvs / "corpus" / "bin" / "python"  # corpus_local_read.py makes it
    peer = HERE / "peers" / "corpus_flight.py"
    rows: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as home:
        root = source.with_name(f"{options.megabytes}-indexed")
        server, address = start_ours(root, home)
        read_ours(address, whole)
        per_cpu: list[float] = []
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
                before = processor_seconds(server.pid)
                seconds, size = read_ours(address, whole)
                ours.append(size / seconds / 1e6)
                per_cpu.append(size / max(processor_seconds(server.pid) - before, 0.01) / 1e6)
            flight.kill()
            flight.wait()
            mine, other = statistics.median(ours), statistics.median(theirs)
            rows.append(
                {
                    "what": "a shard over loopback to a bytes object a text, live from disk",
                    "peer": f"Arrow Flight, {mode}",
                    "ours": round(mine, 1),
                    "theirs": round(other, 1),
                    "unit": "MB of text per second",
                    "ratio": round(mine / other, 3),
                    "target": target,
                }
            )
            print(f"{mode}: {mine:,.0f} against {other:,.0f} MB/s, {mine / other:.2f} times")
        server.terminate()
        server.wait()
    found = statistics.median(per_cpu)
    rows.append(
        {
            "what": "frames passed through, text per second of the server's processor time",
            "peer": "the target itself",
            "ours": round(found, 1),
            "theirs": 4000.0,
            "unit": "MB per processor second",
            "ratio": round(found / 4000, 3),
            "target": 1.0,
        }
    )
    print(f"server: {found:,.0f} MB a processor second")
    machine = environment("grpcio", "protobuf", "zstandard")
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": f"{machine.cpu}, {machine.cpu_count} processors, load {machine.load:.2f} each",
        "versions": {"ours": dict(machine.versions), "peer": versions},
        "command": f"python -m benchmarks.corpus_stream_flight {shlex.join(sys.argv[1:])}".strip(),
        "rows": rows,
    }
    file = HERE / "results" / "corpus-stream-flight.json"
    file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"written to {file}")


if __name__ == "__main__":
    main()
