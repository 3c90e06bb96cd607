"""The script `assay` ends quietly if it is interrupted before its command runs."""

from __future__ import annotations

import signal
import subprocess
import sys

# Interrupts itself when the command is about to be imported.
INTERRUPTED = """
import os, signal, sys
from services.cli.start import main

class Interrupting:
    def find_spec(self, name, *_):
        if name == "services.cli.__main__":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv[1:] = ["--version"]
main()
"""


def _run(prefix: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", prefix + INTERRUPTED], capture_output=True, text=True, check=False
    )


def test_an_interrupt_during_the_imports_ends_it_without_a_traceback() -> None:
    done = _run()
    assert done.returncode == -signal.SIGINT
    assert not done.stderr


def test_a_command_in_the_background_goes_on() -> None:
    done = _run("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n")
    assert done.returncode == 0
    assert "assay" in done.stdout
