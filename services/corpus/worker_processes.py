"""Processes that work for this one and end with it, however it ends."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from typing import Any


@contextmanager
def worker_processes(
    count: int, begin: Callable[..., None], arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Start up to `count` processes, in each of which `begin(*arguments)` is called first.

    They are spawned, so that no lock or thread of this process is inherited. Submit within
    `without_interrupts`: a terminal sends Ctrl-C to all processes, and this one ends the others.
    An error in the block ends them at once, as if they were killed, and so does this process's end.
    """
    spawn = multiprocessing.get_context("spawn")
    watched, alive = spawn.Pipe(duplex=False)
    with (
        closing(watched),
        closing(alive),
        ProcessPoolExecutor(count, spawn, _begin, (watched, begin, arguments)) as pool,
    ):
        try:
            yield pool
        except BaseException:
            alive.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Keep SIGINT from the processes that this thread starts, from their beginning to their end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(watched: Connection, begin: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Prepare a process: it ends when the process with the other end of the pipe does."""

    def watch() -> None:
        watched.poll(None)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    # Taking an interpreter with compiled kernels apart takes a third of a second, for nothing: what
    # a task wrote is closed when its result is returned.
    atexit.register(os._exit, 0)
    begin(*arguments)
