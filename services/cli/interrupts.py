"""Ends a command on Ctrl-C at once, even while it computes without awaiting."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

R = TypeVar("R")


async def interruptible(command: Coroutine[Any, Any, R]) -> R:
    """Await a command. Raises KeyboardInterrupt on Ctrl-C, once its blocks are left.

    asyncio only cancels the task, which a computing command notices at its next await: for an
    export, minutes later.
    """
    if threading.current_thread() is not threading.main_thread():
        return await command
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101  a coroutine that runs has one
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        if asyncio.current_task(loop) is task:
            raise KeyboardInterrupt
        task.cancel()
        loop.call_soon_threadsafe(lambda: None)  # wakes a loop that waits for nothing else

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        return await command
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def leave_at_once(interrupted: threading.Event, status: int) -> None:
    """End the process with `status` if the command was interrupted; an exit handler.

    Registered before the command's imports, it runs after their handlers, and only the freeing of
    modules is left out: after torch that takes seconds.
    """
    if interrupted.is_set():
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # the reader of a pipe may be gone
                stream.flush()
        os._exit(status)
