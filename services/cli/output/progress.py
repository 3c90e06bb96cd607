"""What a command does while a user waits: a line that changes on a terminal, notes elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.status import Status

from services.cli.output.console import note, progress_console

LINE_SECONDS = 30.0
"""Between two notes where no terminal shows a line that changes."""


class Working:
    """Says how far something is."""

    def __init__(self, status: Status | None, clock: Callable[[], float]) -> None:
        self._status = status
        self._clock = clock
        self._said = clock()

    def update(self, text: str) -> None:
        """Show it; without a terminal only where the last note is 30 seconds old."""
        if self._status is not None:
            self._status.update(text)
        elif self._clock() - self._said >= LINE_SECONDS:
            self._said = self._clock()
            note(text)


@contextlib.contextmanager
def working(
    text: str, *, noted: bool = True, clock: Callable[[], float] = time.monotonic
) -> Iterator[Working]:
    """Say what begins, and let the block say how far it is. Nothing is printed with `--quiet`.

    Without `noted` only a terminal shows `text`: a note before it has said enough.
    """
    console = progress_console()
    if console.is_terminal:
        with console.status(text) as status:
            yield Working(status, clock)
        return
    if noted:
        note(text)
    yield Working(None, clock)
