"""Progress while a user waits: a line that changes on a terminal, notes elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.status import Status

from services.cli.output.console import note, progress_console

LINE_SECONDS = 30.0
"""Seconds between two notes, if no terminal shows a line that changes."""


class Working:
    """Reports the progress of a piece of work."""

    def __init__(self, status: Status | None, clock: Callable[[], float]) -> None:
        self._status = status
        self._clock = clock
        self._said = clock()

    def update(self, text: str) -> None:
        """Show progress; without a terminal, only if the last note is 30 seconds old."""
        if self._status is not None:
            self._status.update(text)
        elif self._clock() - self._said >= LINE_SECONDS:
            self._said = self._clock()
            note(text)


@contextlib.contextmanager
def working(
    text: str, *, noted: bool = True, clock: Callable[[], float] = time.monotonic
) -> Iterator[Working]:
    """Report the start of work, and let the block report progress. Silent with `--quiet`.

    Without `noted` only a terminal shows `text`: an earlier note has said enough.
    """
    console = progress_console()
    if console.is_terminal:
        with console.status(text) as status:
            yield Working(status, clock)
        return
    if noted:
        note(text)
    yield Working(None, clock)
