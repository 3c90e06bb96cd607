"""Files that an operator replaces while the server runs: certificates, tokens, policies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")

_CHECK_SECONDS = 1.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ReloadState:
    """State of the last reading of some files."""

    current: bool
    """Whether the files' present content is in use; False: an earlier content is."""
    failures: int
    """Number of changes that could not be read."""
    succeeded: float
    """When the files were last read successfully: Unix seconds."""


class Reloaded(Generic[T]):
    """The result of `read` for some files; reads again after one of them changes.

    A change that cannot be read is logged once, and the previous value is kept. Thread-safe.
    """

    def __init__(self, files: Sequence[Path], read: Callable[[], T]) -> None:
        """Reads the files. Raises what `read` raises, an AssayError for files that are wrong."""
        self._files = tuple(files)
        self._read = read
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._value = read()
        self._state = ReloadState(current=True, failures=0, succeeded=time.time())
        self._checked = time.monotonic()

    def state(self) -> ReloadState:
        """The present state; checks the files as `get` does."""
        self.get()
        return self._state

    def get(self) -> T:
        """The value; checks the files at most once a second."""
        now = time.monotonic()
        with self._lock:
            if now - self._checked >= _CHECK_SECONDS:
                self._checked = now
                self._refresh()
            return self._value

    def _refresh(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        names = [str(file) for file in self._files]
        try:
            self._value = self._read()
        except Exception as error:  # noqa: BLE001  a file must not end the call that looks at it
            self._state = replace(self._state, current=False, failures=self._state.failures + 1)
            _log.error(
                "changed files cannot be used; the old ones stay",
                files=names,
                error=str(error) or repr(error),
            )
        else:
            self._state = replace(self._state, current=True, succeeded=time.time())
            _log.info("changed files are in use", files=names)

    def _stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        """A stamp that changes with the files; the inode shows when Kubernetes replaces a link."""
        found: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                state = file.stat()
            except OSError:
                found.append(None)
            else:
                found.append((state.st_ino, state.st_mtime_ns, state.st_size))
        return tuple(found)
