"""Exit codes of a server process."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of a server."""

    DRAINED = 0
    """The server was asked to stop, and stopped."""
    CANNOT_START = 1
    """A port, a file or the service itself prevented the start; the last line says which."""
    BAD_SETTINGS = 2
    """An environment variable is wrong; the last line names it."""
    FAILED = 3
    """Something that the server depends on broke, and only a new process can serve again; the log
    says what."""
