"""A signal ends the first process of a container at any moment, not after a grace period.

The kernel gives that process no default for a signal: without a handler, SIGTERM is lost.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT

SERVICES = ("segment", "corpus", "ranker")
_END_SECONDS = 5.0
_WAIT_SECONDS = 60.0
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        shutil.which("unshare") is None or os.geteuid() != 0, reason="needs unshare, as root"
    ),
]


class First:
    """The first process of a namespace of processes."""

    def __init__(self, outer: subprocess.Popen[bytes]) -> None:
        self._outer = outer
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        until(lambda: bool(children.read_text()))
        self.pid = int(children.read_text())

    def maps(self, name: str) -> bool:
        """Whether a library of that name is loaded."""
        return name in Path(f"/proc/{self.pid}/maps").read_text()

    def end(self) -> int:
        """Its exit code after SIGTERM. Raises TimeoutExpired if it goes on."""
        os.kill(self.pid, signal.SIGTERM)
        return self._outer.wait(_END_SECONDS)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


@contextmanager
def first_process(command: Sequence[str], variables: dict[str, str]) -> Iterator[First]:
    outer = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", *command],
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield First(outer)
    finally:
        outer.kill()
        outer.wait()


@pytest.mark.parametrize("service", SERVICES)
def test_a_signal_during_the_imports_ends_a_service(service: str, tmp_path: Path) -> None:
    variables = {f"ASSAY_{service.upper()}_{kind}PORT": "0" for kind in ("", "HEALTH_", "METRICS_")}
    variables["ASSAY_HOME"] = str(tmp_path)
    with first_process([sys.executable, "-m", f"services.{service}"], variables) as process:
        until(lambda: process.maps("cygrpc"))  # of its first imports
        assert process.end() == 0


def test_a_signal_before_segment_itself_starts_ends_its_script(tmp_path: Path) -> None:
    copying = tmp_path / "copying"
    for name, does in {"cp": f"touch {copying}; sleep 1", "python": "exec sleep 60"}.items():
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    variables = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
    }
    with first_process(["sh", str(ROOT / "deploy" / "segment.sh")], variables) as process:
        until(copying.exists)
        assert process.end() == 143
