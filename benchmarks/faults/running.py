"""Services as processes, under the limits of their manifests if the system supports them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.serving import memory

_START_SECONDS = 600.0
_STOP_SECONDS = 60.0
_CGROUPS = Path("/sys/fs/cgroup")


class MemoryLimit:
    """A control group limited to `limit` bytes; no limit if this process may make none."""

    def __init__(self, limit: int, name: str) -> None:
        self.folder: Path | None = None
        own = f"assay-faults-{os.getpid()}-{name}"
        for place, file in (
            (_CGROUPS / "memory" / own, "memory.limit_in_bytes"),
            (_CGROUPS / own, "memory.max"),
        ):
            if not place.parent.joinpath("cgroup.procs").exists():
                continue
            with contextlib.suppress(OSError):
                place.mkdir(exist_ok=True)
                (place / file).write_text(str(limit))
                self.folder = place
                return

    def kills(self) -> int:
        """The number of processes that the limit has ended."""
        if self.folder is None:
            return 0
        for file in ("memory.oom_control", "memory.events"):
            path = self.folder / file
            if path.exists():
                words = dict(line.split() for line in path.read_text("ascii").splitlines())
                return int(words.get("oom_kill", 0))
        return 0

    def close(self) -> None:
        """Remove it, once its processes have ended."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                self.folder.rmdir()


class Running:
    """One service in a separate process, which can be started again at the same address."""

    def __init__(
        self,
        name: str,
        folder: Path,
        variables: Mapping[str, str],
        *,
        limit: MemoryLimit | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """Start `python -m services.NAME`, and return once it is ready.

        `prefix` holds the words of a command that starts it, such as `prlimit`.
        """
        self.name, self.folder, self.limit = name, folder, limit
        self._variables, self._prefix = dict(variables), list(prefix)
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        self._ready = folder / "ready.json"
        self.port = 0
        self.start()

    def start(self) -> float:
        """Start it at its address; return the seconds until it was ready."""
        variable = f"ASSAY_{self.name.upper()}_"
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("ASSAY_") and key != "REDIS_URL"
        }
        environment |= {
            f"{variable}HOST": "127.0.0.1",
            f"{variable}PORT": str(self.port),
            f"{variable}HEALTH_PORT": "0",
            f"{variable}METRICS_PORT": "0",
            f"{variable}END_WITH_PARENT": "true",
            f"{variable}LOG_LEVEL": "warning",
            f"{variable}READY_FILE": str(self._ready),
            **self._variables,
        }
        self._ready.unlink(missing_ok=True)
        begun = time.monotonic()
        words = [*self._prefix, sys.executable, "-m", f"services.{self.name}"]
        if self.limit is not None and self.limit.folder is not None:
            join = 'echo $$ > "$0" && exec "$@"'
            words = ["sh", "-c", join, str(self.limit.folder / "cgroup.procs"), *words]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while not self._ready.exists():
            if self.process.poll() is not None or time.monotonic() > begun + _START_SECONDS:
                self.kill()
                raise RuntimeError(f"{self.name} did not start: {self.said()[-2000:]}")
            time.sleep(0.01)
        seconds = time.monotonic() - begun
        ports = json.loads(self._ready.read_text("utf-8"))
        self.port = int(ports["port"])
        self.health_port, self.metrics_port = int(ports["health_port"]), int(ports["metrics_port"])
        self.http_port = int(ports.get("http_port", 0))
        return seconds

    @property
    def address(self) -> str:
        """The address that it listens on, host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether its process has not ended."""
        return self.process.poll() is None

    @property
    def megabytes(self) -> float:
        """Resident memory now."""
        return memory(self.process.pid)["now"]

    @property
    def peak_megabytes(self) -> float:
        """The largest resident memory that it had."""
        return memory(self.process.pid)["peak"]

    @property
    def descriptors(self) -> int:
        """File descriptors that it holds."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208

    def said(self) -> str:
        """Return its log."""
        return self.log.read_text("utf-8", "replace")

    def sample(self, name: str, **labels: str) -> float:
        """Sum a metric of its metrics page over the samples that have these labels."""
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as page:
            families = list(text_string_to_metric_families(page.read().decode()))
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """Send SIGTERM, so that it drains; return its exit code."""
        if self.alive:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self.limit is not None:
            self.limit.close()
