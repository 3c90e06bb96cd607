"""A corpus service in a process of its own, for benchmarks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import grpc
from assay.channel import connect_blocking


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class CorpusServer:
    """Serves the folder `root` as the corpus "c", at one port for good."""

    def __init__(self, root: Path, home: str | Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._environment = {
            **os.environ,
            "ASSAY_HOME": str(home),
            "ASSAY_CORPUS_CORPORA": json.dumps({"c": {"path": str(root), "kind": "sample"}}),
            "ASSAY_CORPUS_PORT": self.address.rpartition(":")[2],
            "ASSAY_CORPUS_HEALTH_PORT": "0",
            "ASSAY_CORPUS_METRICS_PORT": "0",
        }
        self.start()

    def start(self, *, wait: bool = True) -> None:
        """Start the process; with `wait` until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.corpus"],
            env=self._environment,
            stderr=subprocess.DEVNULL,
        )
        if wait:
            with connect_blocking(self.address) as channel:
                grpc.channel_ready_future(channel).result(timeout=120)

    def kill(self) -> None:
        """End the process as the kernel would: at once."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask the process to end."""
        self.process.terminate()
        self.process.wait()

    def processor_seconds(self) -> float:
        """Processor time that the process has used."""
        return processor_seconds(self.process.pid)

    def memory(self) -> dict[str, float]:
        """Resident memory now and at its peak, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = dict(line.split(":", 1) for line in status.splitlines())
        kib = {name: float(found[name].split()[0]) for name in ("VmRSS", "VmHWM")}
        return {"now": kib["VmRSS"] * 1024 / 1e6, "peak": kib["VmHWM"] * 1024 / 1e6}
