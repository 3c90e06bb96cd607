"""Keeps this process's other CUDA calls away while a CUDA graph is captured.

ONNX Runtime captures in CUDA's global mode: if another thread allocates or copies memory during a
capture, both fail. So CUDA calls run within `shared`, and a capture within `alone`. Memory is freed
through `release`: that happens whenever Python drops an object, in any thread, including the one
that captures, and must not wait there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Calls:
    """Many calls at once, or one alone. A call waiting to be alone goes before later calls."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._alone = False
        self._waiting = 0
        self._mine = threading.local()
        self._put_off: list[Callable[[], object]] = []

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Allow CUDA calls; a thread already within `shared` or `alone` may enter again."""
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
        """Allow CUDA calls while no other thread makes any. Must not be entered within `shared`."""
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
        """Call a function that frees memory: now, or after the present capture. Never waits."""
        with self._changed:  # a lock that its own thread may take again
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
"""The calls of this process."""
