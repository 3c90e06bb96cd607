"""What ends a service before it can serve. Imports little, so that a signal finds it early."""

from __future__ import annotations

import os
import signal
from types import FrameType

from services.rpc.exits import Exit


def end_when_told() -> None:
    """SIGTERM and SIGINT end this process at once, until `process.run` drains instead.

    The kernel gives the first process of a container no default for a signal: one without a handler
    is lost, and the container goes on until it is killed.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    os._exit(Exit.DRAINED)
