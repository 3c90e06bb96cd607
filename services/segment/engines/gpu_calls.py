"""Keeps this process's other CUDA calls out of the moments when a CUDA graph is captured.

ONNX Runtime captures in CUDA's global mode: if another thread allocates or copies memory during a
capture, both fail. So CUDA calls run within `shared`, and a capture within `alone`. Freeing memory
goes through `release`: it happens whenever Python drops an object, in any thread, including the one
that captures, and must not wait there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Calls:
    """Many at once, or one alone. Who waits to be alone goes before those who come later."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._alone = False
        self._waiting = 0
        self._mine = threading.local()
        self._put_off: list[Callable[[], object]] = []

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
                put_off, self._put_off = self._put_off, []
                self._changed.notify_all()
            for action in put_off:
                self.release(action)

    def release(self, action: Callable[[], object]) -> None:
        """Call what frees memory: now, or after the capture that is under way. Never waits."""
        with self._changed:  # of a lock that its own thread may take again
            if self._alone:
                self._put_off.append(action)
                return
            self._running += 1
        try:
            action()
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()


CALLS = Calls()
"""Those of this process."""
