"""One connection of the HTTP port, which ends where its client keeps the server waiting.

uvicorn waits as long as a client likes for a request and for its body to arrive, and for an answer
to be read: a thousand clients that do neither would be all that it serves. Needs the extra `page`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_SECONDS = {"head": 10.0, "body": 60.0, "reader": 60.0}
"""For a request's head to be there, then for its body, and for a full buffer to be read."""


class Connection(H11Protocol):
    """As uvicorn's own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for a request."""
        super().connection_made(transport)
        self._note()

    def data_received(self, data: bytes) -> None:
        """Takes a part of a request, and waits for what is left of it."""
        super().data_received(data)
        self._note()

    def pause_writing(self) -> None:
        """The client reads slower than it is answered."""
        super().pause_writing()
        self._wait("reader", begin=True)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        self._wait("reader", begin=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits for nothing any more."""
        super().connection_lost(exc)
        for name in list(self._waiting):
            self._wait(name, begin=False)

    def _note(self) -> None:
        """Wait for what the request lacks."""
        idle = self.cycle is None or self.cycle.response_complete
        self._wait("head", begin=idle)
        self._wait("body", begin=not idle and self.cycle.more_body)

    def _wait(self, name: str, *, begin: bool) -> None:
        if not begin:
            timer = self._waiting.pop(name, None)
            if timer is not None:
                timer.cancel()
        elif name not in self._waiting:
            # Not close(): that waits for the client to read what was written.
            self._waiting[name] = self.loop.call_later(_SECONDS[name], self.transport.abort)
