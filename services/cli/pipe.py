"""Output with a position: how much a departed reader has taken, and where to continue.

A pipe contains up to 64 KiB that its reader has not read yet. When the reader closes it, those
bytes are lost, so the last position before them is kept.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import termios
from collections import deque
from pathlib import Path

PIPE_CHUNK_BYTES = 4096
"""Size of chunks, and so the step of positions, for a reader that may leave."""

_HELD_BYTES = 1 << 20  # the most that Linux lets an ordinary process's pipe hold


class PositionedOutput:
    """Writes to a file descriptor, and keeps a position in a file."""

    def __init__(self, descriptor: int, kept: Path | None) -> None:
        """`kept` is where positions go; None keeps none."""
        self._descriptor, self._kept = descriptor, kept
        self.is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        self._written = 0
        self._positions: deque[tuple[int, bytes]] = deque()
        self._first = kept.read_bytes() if kept and kept.exists() else None

    def write(self, data: bytes) -> None:
        """Write all of the data. Raises BrokenPipeError, once the right position is kept."""
        left = memoryview(data)
        try:
            while left:
                count = os.write(self._descriptor, left)
                self._written += count
                left = left[count:]
        except BrokenPipeError:
            self._go_back()
            raise

    def keep(self, position: bytes) -> None:
        """Keep the position after everything that was written."""
        if self._kept is None:
            return
        self._positions.append((self._written, position))
        # Of the positions further back than the pipe's size, one is enough.
        while len(self._positions) > 1 and self._positions[1][0] <= self._written - _HELD_BYTES:
            self._positions.popleft()
        _replace(self._kept, position)

    def _go_back(self) -> None:
        """Keep the last position whose bytes the reader has taken."""
        if self._kept is None or not self.is_pipe:
            return
        unread = struct.unpack("i", fcntl.ioctl(self._descriptor, termios.FIONREAD, b"\0" * 4))[0]
        taken = [one for end, one in self._positions if end <= self._written - unread]
        if taken:
            _replace(self._kept, taken[-1])
        elif self._first is not None:
            _replace(self._kept, self._first)
        else:
            self._kept.unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:  # only the write reports a full disk, without the file's name
        raise OSError(error.errno, error.strerror, str(path)) from error
