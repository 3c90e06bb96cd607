"""Iterates in a thread of its own, a little ahead of who takes the items."""

from __future__ import annotations

import atexit
import itertools
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")

# Those whose thread runs, by when they began. A daemon thread that is still at work while the
# interpreter ends prints a traceback: they are closed before.
_open: weakref.WeakValueDictionary[int, Ahead[Any]] = weakref.WeakValueDictionary()
_numbers = itertools.count()


class Ahead(Generic[T]):
    """Runs `source` in a thread, at most `depth` items ahead; raises what it raises.

    `interrupt` must make a `source` that waits end: closing calls it and waits for the thread.
    """

    def __init__(self, source: Iterator[T], depth: int, interrupt: Callable[[], object]) -> None:
        self._source, self._interrupt = source, interrupt
        # What the thread leaves: (item, None), and at the end (None, what it raised).
        self._ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="assay-corpus-ahead", daemon=True)
        self._thread.start()
        self._number = next(_numbers)
        _open[self._number] = self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        item, ended = self._ready.get()
        if ended is not None:
            self._ready.put((None, ended))  # and again for who asks once more
            raise ended
        return item  # type: ignore[return-value]  # None only where T has it

    def close(self) -> None:
        """End the thread. Nothing may be taken afterwards."""
        _open.pop(self._number, None)
        self._closed.set()
        self._interrupt()
        while self._thread.is_alive():
            try:
                self._ready.get(timeout=0.01)  # room for what it is about to leave
            except queue.Empty:
                continue

    def _run(self) -> None:
        ended: BaseException = StopIteration()
        try:
            for item in self._source:
                self._ready.put((item, None))
                if self._closed.is_set():
                    break
        except BaseException as error:  # noqa: BLE001  # raised again where the items are taken
            ended = error
        self._ready.put((None, ended))


def _close_all() -> None:
    # The newest first: it takes from those before it.
    for _, one in sorted(_open.items(), reverse=True):
        one.close()


atexit.register(_close_all)
