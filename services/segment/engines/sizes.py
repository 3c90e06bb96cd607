"""Which compiled graph computes a picture of another size than the model's own.

Compiling takes half a second or more, while every other caller waits behind the engine's thread: a
client that sends a new size each time would block all others. So one graph of free shape computes
any size, somewhat slower, and a separate thread compiles a graph for each size that recurs.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import structlog

Shape = tuple[int, ...]
KEPT = 3
"""How many sizes stay compiled: each holds a copy of the weights."""
OFTEN = 8
"""Number of pictures of a size after which a graph is compiled for that size."""
# Seconds between two compilations: they take processor time from the pictures.
_PAUSE_SECONDS = 10.0
# How many sizes have their pictures counted.
_COUNTED = 64
_log = structlog.get_logger(__name__)


class OtherSizes:
    """Compiled graphs by the shape of a picture. One thread at a time may call `find`."""

    def __init__(self, compile_fixed: Callable[[Shape], Any], compile_free: Callable[[], Any]):
        self._compile_fixed = compile_fixed
        self._compile_free = compile_free
        self._free: Any = None
        self._compiling_free = threading.Lock()
        self._fixed: OrderedDict[Shape, Any] = OrderedDict()
        self._counts: OrderedDict[Shape, int] = OrderedDict()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        self._compiled_at = -_PAUSE_SECONDS

    def find(self, shape: Shape) -> Any:
        """Return the graph for pictures of that shape. Raises as compiling a free shape does."""
        with self._lock:
            found = self._fixed.get(shape)
            if found is not None:
                self._fixed.move_to_end(shape)
                return found
        free = self.free()
        self._count(shape)
        return free

    def free(self) -> Any:
        """Return the graph of free shape, compiled on first use. May be called from any thread.

        Raises what the compilation raises.
        """
        with self._compiling_free:
            if self._free is None:
                self._free = self._compile_free()
            return self._free

    def wait(self) -> None:
        """Wait until nothing is being compiled."""
        worker = self._worker
        if worker is not None:
            worker.join()

    def _count(self, shape: Shape) -> None:
        self._counts[shape] = self._counts.get(shape, 0) + 1
        self._counts.move_to_end(shape)
        if len(self._counts) > _COUNTED:
            self._counts.popitem(last=False)
        idle = self._worker is None or not self._worker.is_alive()
        rested = time.monotonic() - self._compiled_at >= _PAUSE_SECONDS
        if self._counts[shape] >= OFTEN and idle and rested:
            del self._counts[shape]
            self._compiled_at = time.monotonic()
            self._worker = threading.Thread(
                target=self._compile, args=(shape,), name="compile", daemon=True
            )
            self._worker.start()

    def _compile(self, shape: Shape) -> None:
        try:
            compiled = self._compile_fixed(shape)
        except Exception as error:  # noqa: BLE001  # the graph of free shape goes on computing it
            _log.warning("cannot compile a graph for a size", shape=shape, error=repr(error))
            return
        with self._lock:
            self._fixed[shape] = compiled
            while len(self._fixed) > KEPT:
                self._fixed.popitem(last=False)
