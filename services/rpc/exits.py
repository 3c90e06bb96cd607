"""Exit codes of a server process."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the exit code of a server says."""

    DRAINED = 0
    """Asked to stop, and stopped."""
    CANNOT_START = 1
    """A port, a file or the service itself kept it from serving; the last line says which."""
    BAD_SETTINGS = 2
    """An environment variable is wrong; the last line names it."""
    FAILED = 3
    """What it serves with broke while it ran, and only a new process can serve again; the log says
    what."""
