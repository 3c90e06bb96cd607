"""Handles signals before a service can serve. Imports little, to be ready for an early signal."""

from __future__ import annotations

import os
import signal
from types import FrameType

from services.rpc.exits import Exit


def end_when_told() -> None:
    """Make SIGTERM and SIGINT end this process at once, until `process.run` drains instead.

    The kernel gives the first process of a container no default action for a signal: without a
    handler, the signal is lost and the container runs until it is killed.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    os._exit(Exit.DRAINED)
