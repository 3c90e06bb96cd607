"""Services in processes of their own, for benchmarks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import grpc
from assay_rpc.channel import connect
from assay_rpc.common.v1 import common_pb2
from assay_rpc.segment.v1 import segment_pb2, segment_pb2_grpc

from services.segment.manifest import read_manifest
from services.segment.settings import SegmentSettings


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> dict[str, float]:
    """Resident memory of a process now and at its peak, in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = dict(line.split(":", 1) for line in status.splitlines())
    kib = {name: float(found[name].split()[0]) for name in ("VmRSS", "VmHWM")}
    return {"now": kib["VmRSS"] * 1024 / 1e6, "peak": kib["VmHWM"] * 1024 / 1e6}


def free_port() -> int:
    """Return a TCP port that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class _Server:
    """`python -m MODULE` with variables, in a separate process; `log` gets its output."""

    def __init__(self, module: str, variables: Mapping[str, str], log: Path | None = None) -> None:
        self._command = [sys.executable, "-m", module]
        self._environment = {**os.environ, **variables}
        self._log = log

    def _launch(self) -> None:
        with (self._log or Path(os.devnull)).open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, stderr=log)

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask the process to end, by SIGTERM."""
        self.process.terminate()
        self.process.wait()

    def processor_seconds(self) -> float:
        """Processor time that the process has used."""
        return processor_seconds(self.process.pid)

    def memory(self) -> dict[str, float]:
        """Resident memory now and at its peak, in MB."""
        return memory(self.process.pid)


class CorpusServer(_Server):
    """Serves the folder `root` as the corpus "c", always at the same port."""

    def __init__(self, root: Path, home: str | Path) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        variables = {
            "ASSAY_HOME": str(home),
            "ASSAY_CORPUS_CORPORA": json.dumps({"c": {"path": str(root), "kind": "sample"}}),
            "ASSAY_CORPUS_PORT": str(port),
            "ASSAY_CORPUS_HEALTH_PORT": "0",
            "ASSAY_CORPUS_METRICS_PORT": "0",
        }
        super().__init__("services.corpus", variables)
        self.start()

    def start(self, *, wait: bool = True) -> None:
        """Start the process; with `wait` until it answers."""
        self._launch()
        if wait:
            with connect(self.address) as channel:
                grpc.channel_ready_future(channel).result(timeout=120)


class SegmentServer(_Server):
    """Serves one model directory; keywords are further settings of `SegmentSettings`.

    Answers calls once it is made. Exits if it cannot start, or does not run as the settings say.
    """

    def __init__(self, model: Path, home: str | Path, **settings: str | float) -> None:
        unknown = settings.keys() - SegmentSettings.model_fields.keys()
        if unknown:
            raise SystemExit(f"this version of the segment service has no setting {unknown}")
        license_id = read_manifest(model).license.id
        ready = Path(home) / f"{id(self)}.json"
        chosen: dict[str, str | float] = {
            "models": json.dumps([str(model)]),
            "accepted_licenses": json.dumps([license_id]),
            "port": 0,
            "health_port": 0,
            "metrics_port": 0,
            "log_level": "warning",
            "end_with_parent": "true",
            "ready_file": str(ready),
        }
        variables = {
            f"ASSAY_SEGMENT_{name.upper()}": str(value)
            for name, value in (chosen | settings).items()
        }
        super().__init__("services.segment", variables, ready.with_suffix(".log"))
        self._launch()
        while not ready.exists():
            if self.process.poll() is not None:
                log = ready.with_suffix(".log").read_text("utf-8")
                raise SystemExit(f"the segment service did not start:\n{log}")
            time.sleep(0.05)
        self.address = f"127.0.0.1:{json.loads(ready.read_text('utf-8'))['port']}"
        with connect(self.address) as channel:
            stub = segment_pb2_grpc.SegmentServiceStub(channel)
            found = stub.GetModel(segment_pb2.GetModelRequest(), timeout=60).model
        precision = (
            common_pb2.Precision.Name(found.engine.precision).removeprefix("PRECISION_").lower()
        )
        self.engine = f"{found.engine.id} {precision}"
        wanted = str(settings.get("precision", ""))
        if wanted not in self.engine:
            raise SystemExit(f"asked for {wanted}, the segment service runs {self.engine}")
