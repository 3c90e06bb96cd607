"""Ctrl-C while a command computes, while it waits, and while `assay up` starts."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from services.cli.exits import Exit
from services.cli.interrupts import interruptible


def _ctrl_c_after(seconds: float) -> None:
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()


@pytest.mark.parametrize("waits", [True, False])
def test_the_command_ends_at_once_and_its_blocks_are_left(waits: bool) -> None:
    left = []

    async def command() -> None:
        try:
            until = time.monotonic() + 30
            while time.monotonic() < until:
                if waits:
                    await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            left.append(True)

    _ctrl_c_after(0.2)
    started = time.monotonic()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(interruptible(command()))
    assert time.monotonic() - started < 10
    assert left == [True]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_command_that_cancels_itself_was_not_interrupted() -> None:
    async def command() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interruptible(command()))


def test_up_ends_while_a_service_starts(tmp_path: Path) -> None:
    ports = {
        f"ASSAY_{service}_{kind}": "0"
        for service in ("SEGMENT", "CORPUS", "RANKER")
        for kind in ("PORT", "HEALTH_PORT", "METRICS_PORT", "HTTP_PORT")
    }
    with subprocess.Popen(
        [sys.executable, "-m", "services.cli", "up"],
        env={**os.environ, **ports, "ASSAY_HOME": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        assert "starting the segment service" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == Exit.INTERRUPTED
        assert "starting the corpus service" not in running.stderr.read()


_SLOW_TO_FREE = """
import atexit, sys, time
from services.cli import __main__ as command

class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(60)

def interrupted(_):
    atexit.register(lambda: print("handlers ran"))
    raise KeyboardInterrupt

slow, command._run = Slow(), interrupted
sys.argv = ["assay", "doctor"]
sys.exit(command.main())
"""


def test_an_interrupted_command_does_not_wait_for_modules_to_be_freed() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _SLOW_TO_FREE],
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (Exit.INTERRUPTED, "handlers ran\n", "")
