"""What calls have freed goes back to the system, also where it refers to itself."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref

import pytest

from services.rpc.serving import memory


class Message:
    """Refers to itself, as a cancelled call does by the traceback of its error."""

    def __init__(self) -> None:
        self.own = self


async def test_messages_of_cancelled_calls_are_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_SECONDS", 0.0)
    gc.disable()
    try:
        message = weakref.ref(Message())
        assert message() is not None
        ended = itertools.count()
        returning = asyncio.create_task(memory.return_freed_memory(lambda: next(ended)))
        async with asyncio.timeout(30):
            while message() is not None:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.01)
        returning.cancel()
        await asyncio.gather(returning, return_exceptions=True)
    finally:
        gc.enable()
