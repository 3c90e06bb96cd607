"""Which steps of a stream may wait for a disk, and so need a thread."""

from __future__ import annotations

_FIRST_UNITS = 16
_MOST_UNITS = 1024


class Waiting:
    """Shared by the reader of a stream's units and the code that lets it step.

    A stream begins with steps in a thread. Once units of its frames are read, the next are first
    looked for in the machine's memory, without waiting; there a step in the event loop costs less
    than handing it to a thread and its result back. After a look that failed, units are read in a
    thread for a while, and longer each time, because a thread also reads ahead of the client.
    """

    def __init__(self) -> None:
        self.allowed = True
        self._left, self._pause = 1, _FIRST_UNITS

    def read(self) -> None:
        """A unit was read."""
        if self.allowed:
            self._left -= 1
            self.allowed = self._left > 0
        else:
            self._pause = _FIRST_UNITS

    def failed(self) -> None:
        """The next unit is not in memory."""
        self.allowed, self._left = True, self._pause
        self._pause = min(2 * self._pause, _MOST_UNITS)
