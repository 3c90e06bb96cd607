"""Runs a service and, between two signals, notes which of its files calls enter, in order.

    python -m benchmarks.walk_tracer NAME OUT

SIGUSR1 begins a walk, SIGUSR2 ends it and writes OUT: for each thread, the files under services/
whose Python functions were called. Only calls count; returning to a file is not a move.
"""

from __future__ import annotations

import json
import runpy
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

_ROOT = str(Path(__file__).resolve().parents[1] / "services") + "/"


class Tracer:
    """The files entered since the walk began. Each thread records its own part."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._walking = False
        self._entered: dict[int, list[str]] = {}

    def note(self, frame: FrameType, event: str, _argument: object) -> None:
        """Profile function: called on every call and return of Python code."""
        if self._walking and event == "call":
            file = frame.f_code.co_filename
            if file.startswith(_ROOT):
                entered = self._entered.setdefault(threading.get_ident(), [])
                entered.append(file.removeprefix(_ROOT))

    def begin(self, *_: Any) -> None:
        """Begin a walk."""
        self._entered = {}
        self._walking = True

    def end(self, *_: Any) -> None:
        """End the walk and write it; the file appears complete."""
        self._walking = False
        part = self._out.with_suffix(".part")
        part.write_text(json.dumps(list(self._entered.values())), "utf-8")
        part.rename(self._out)


def main() -> None:
    """Serve until SIGTERM, like the service's own module."""
    name, out = sys.argv[1:]
    tracer = Tracer(Path(out))
    signal.signal(signal.SIGUSR1, tracer.begin)
    signal.signal(signal.SIGUSR2, tracer.end)
    threading.setprofile(tracer.note)
    sys.setprofile(tracer.note)
    sys.argv = [name]
    runpy.run_module(f"services.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
