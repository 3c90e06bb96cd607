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
    """How the reading of some files stands."""

    current: bool
    """Whether they are in use as they are now; else an earlier state of theirs is."""
    failures: int
    """Changes that could not be read."""
    succeeded: float
    """When they were last read with success: Unix seconds."""


class Reloaded(Generic[T]):
    """What `read` made of some files, read again once one of them has changed.

    A change that cannot be read is logged once, and the value before it is kept. Thread-safe.
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
        """How it stands; looks at the files as `get` does."""
        self.get()
        return self._state

    def get(self) -> T:
        """The value; looks at the files at most once a second."""
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
        """Kubernetes replaces a mounted Secret by a link to another file: the inode tells."""
        found: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                state = file.stat()
            except OSError:
                found.append(None)
            else:
                found.append((state.st_ino, state.st_mtime_ns, state.st_size))
        return tuple(found)
