"""Keeps this process's other calls of CUDA out of the moments in which a CUDA graph is captured.

ONNX Runtime captures in CUDA's global mode: memory that any other thread allocates or copies
meanwhile fails, there and in the capture. So what calls CUDA does it within `shared`, and a capture
within `alone`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Calls:
    """Many at once, or one alone. Who waits to be alone goes before those who come later."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._alone = False
        self._waiting = 0
        self._mine = threading.local()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Call CUDA; may be entered again by the thread that is within it, or alone."""
        if getattr(self._mine, "inside", False):
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: not (self._alone or self._waiting))
            self._running += 1
        self._mine.inside = True
        try:
            yield
        finally:
            self._mine.inside = False
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Call CUDA while no other thread does. Not to be entered within `shared`."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not (self._alone or self._running))
            self._waiting -= 1
            self._alone = self._mine.inside = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = self._mine.inside = False
                self._changed.notify_all()


CALLS = Calls()
"""Those of this process."""
