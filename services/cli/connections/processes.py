"""Services as child processes of the command: started, waited for until ready, drained."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import BinaryIO

from services.cli.extras import incomplete, install, missing_library
from services.cli.output.console import note
from services.common.missing_library import MissingLibrary
from services.errors import AssayError

SERVICES = ("segment", "corpus", "ranker")
_POLL_SECONDS = 0.05
_DRAIN_SECONDS = 30.0
_FIRST_SECONDS = 20


class DidNotStart(AssayError):
    """A service did not start with its settings."""


class LacksLibrary(DidNotStart, MissingLibrary):
    """A service did not start because a library is not installed."""


@dataclass
class ServiceProcess:
    """A running service."""

    name: str
    address: str
    process: asyncio.subprocess.Process
    log: Path
    http_port: int = 0
    """Port of its pages; 0 if it has none."""

    async def stop(self) -> None:
        """Asks the process to drain, waits, and kills it if it does not end."""
        if self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), _DRAIN_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


async def start(
    name: str, variables: Mapping[str, str], logs: Path, *, ports_from_environment: bool = False
) -> ServiceProcess:
    """Starts `python -m services.NAME` and waits until it is ready.

    It takes free ports unless `ports_from_environment`. Its log goes to `logs`/NAME.log, or to
    NAME-2.log and so on while services of other commands write to the earlier files. Raises
    `DidNotStart` with the last line of the log if the process ends before it is ready;
    `LacksLibrary` if that line names a missing library.
    """
    note(f"starting the {name} service{_first_time(name)}")
    prefix = f"ASSAY_{name.upper()}_"
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        ready = Path(scratch) / "ready.json"
        environment = {
            **os.environ,
            **variables,
            f"{prefix}READY_FILE": str(ready),
            # So that no service survives, even if the command is killed.
            f"{prefix}END_WITH_PARENT": "true",
        }
        if not ports_from_environment:
            environment |= {
                f"{prefix}{kind}": "0" for kind in ("PORT", "HEALTH_PORT", "METRICS_PORT")
            }
            environment[f"{prefix}HOST"] = "127.0.0.1"
        with _own_log(logs, name) as stderr:
            log = Path(stderr.name)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"services.{name}",
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                # The command handles Ctrl-C: it drains the services in order.
                start_new_session=True,
            )
        service = ServiceProcess(name, "", process, log)
        try:
            await _until(ready, process)
        except BaseException:
            await service.stop()
            raise
        if not ready.exists():
            raise _why(log, name)
        ports = json.loads(ready.read_text("utf-8"))
        service.address = f"127.0.0.1:{ports['port']}"
        service.http_port = ports.get("http_port", 0)
    return service


def _own_log(logs: Path, name: str) -> BinaryIO:
    """Opens an empty log that no running service writes to.

    The child inherits the lock with the file, and holds it until it ends.
    """
    for number in count(1):
        log = (logs / (f"{name}.log" if number == 1 else f"{name}-{number}.log")).open("ab")
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.close()
            continue
        log.truncate(0)
        return log
    raise AssertionError("there are names without end")


def _first_time(name: str) -> str:
    """Why a first start is slow; empty if compiled code is cached, or nothing compiles."""
    compiled = (Path(__file__).parents[2] / name).rglob("*.nbi")
    if name != "segment" or "NUMBA_CACHE_DIR" in os.environ or any(compiled):
        return ""
    if find_spec("numba") is None:  # the service will say what it lacks
        return ""
    return f"; its first start compiles code, for about {_FIRST_SECONDS} s"


async def _until(ready: Path, process: asyncio.subprocess.Process) -> None:
    """Waits until the file exists or the process has ended."""
    while not ready.exists() and process.returncode is None:  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(_POLL_SECONDS)


def _why(log: Path, service: str) -> DidNotStart:
    said = _last_log_line(log)
    what = f"the {service} service did not start: "
    missing = re.match(r"ModuleNotFoundError: No module named '([^']+)'", said)
    if missing:
        return LacksLibrary(what + missing_library(missing[1], service))
    return DidNotStart(what + said)


def all_lacking(error: LacksLibrary) -> LacksLibrary:
    """The error, with one command for all services if more than one lacks libraries."""
    lacking = incomplete(*SERVICES)
    if len(lacking) < 2:  # the error names the library
        return error
    return LacksLibrary(
        f"{error}. {', '.join(lacking)} lack libraries; for all of them: {install(*lacking)}"
    )


def _last_log_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    if not lines:
        return f"it wrote no message (log: {log})"
    with contextlib.suppress(ValueError, AttributeError):
        entry = json.loads(lines[-1])
        return str(entry.get("error") or entry.get("event") or lines[-1])
    return lines[-1]
