"""Frames that were fetched, kept on the disk within a limit; the least recently used go first.

On the disk they outlive a restart, are shared by the processes of a machine, and take memory only
as page cache. A file holds one frame, and may be damaged: the caller checks the frame's digest and
calls `drop` when it is wrong.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "lock"
_SIZE = "size"
_SCRATCH = ".new"
# Room is made for this share of the limit at once: finding the oldest looks at every file.
_ROOM = 0.1


class FrameCache:
    """Frames by key below `root`, together of at most `limit` bytes; 0 keeps nothing.

    For any number of threads and processes with the same `root` and limit. The bound holds at
    every moment: a frame is counted, under a lock that all of them share, before it is written.
    After an error of the disk the frame is missing.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self._root, self._limit = root, limit

    def get(self, key: str) -> bytes | None:
        """Return what was put under `key`, None when it is not there."""
        try:
            with self._file(key).open("rb", buffering=0) as file:
                os.utime(file.fileno())
                return file.read()
        except OSError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """Keep a frame, unless it is larger than the limit."""
        if len(data) > self._limit:
            return
        try:
            with self._locked():
                self._make_room(len(data))
                scratch = self._root / _SCRATCH
                scratch.write_bytes(data)
                scratch.replace(self._file(key))
        except OSError:
            return

    def drop(self, key: str) -> None:
        """Forget a frame that turned out to be damaged."""
        # Its bytes stay counted until room is made again: too early, never too late.
        try:
            self._file(key).unlink(missing_ok=True)
        except OSError:
            return

    def _make_room(self, size: int) -> None:
        counted = self._counted()
        if counted is None or counted + size > self._limit:
            counted = self._evict(min(self._limit - size, int(self._limit * (1 - _ROOM))))
        (self._root / _SIZE).write_text(str(counted + size), "ascii")

    def _counted(self) -> int | None:
        try:
            return int((self._root / _SIZE).read_text("ascii"))
        except (OSError, ValueError):
            return None

    def _evict(self, most: int) -> int:
        """Remove the frames not used for longest until at most `most` bytes are left; return them.

        What a process that died left behind goes as well.
        """
        (self._root / _SCRATCH).unlink(missing_ok=True)
        files: list[tuple[int, int, str]] = []
        for folder in os.scandir(self._root):
            if folder.is_dir():
                for entry in os.scandir(folder):
                    status = entry.stat()
                    files.append((status.st_mtime_ns, status.st_size, entry.path))
        left = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if left <= most:
                break
            Path(path).unlink(missing_ok=True)
            left -= size
        return left

    def _file(self, key: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()
        return self._root / name[:2] / name

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not (self._root / "ff").is_dir():
            for number in range(256):
                (self._root / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        handle = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # A lock of this handle, so that it excludes other threads too.
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
