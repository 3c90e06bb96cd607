"""A connection of the HTTP port that ends if its client keeps the server waiting.

uvicorn waits without limit for a request, for its body, and for the client to read a reply: a
thousand stalled clients would block all others. uvicorn also accepts chunks of one byte, each of
which costs as much as one of 64 KiB. Needs the extra `page`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_SECONDS = {"head": 10.0, "body": 60.0, "reader": 60.0}
"""Time limits for receiving a request's head and body, and for draining a full write buffer."""
_FREE_CHUNKS, _MEAN_CHUNK_BYTES = 1024, 128
"""After the free chunks, a body's chunks must hold this many bytes on average."""


class _Parser(h11.Connection):
    """Refuses a body that is split into too many chunks for its size."""

    _chunks = 0
    _body_bytes = 0

    def next_event(self) -> Any:
        """Raises RemoteProtocolError if chunks are too small; the client gets 400."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._body_bytes = 0
        elif isinstance(event, h11.Data):
            self._chunks += 1
            self._body_bytes += len(event.data)
            if self._chunks > _FREE_CHUNKS + self._body_bytes // _MEAN_CHUNK_BYTES:
                raise h11.RemoteProtocolError("the chunks of the body are too small")
        return event


class Connection(H11Protocol):
    """uvicorn's connection, with time limits."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        limit = self.config.h11_max_incomplete_event_size
        self.conn = _Parser(h11.SERVER, limit) if limit else _Parser(h11.SERVER)
        self._waiting: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for a request."""
        super().connection_made(transport)
        self._note()

    def data_received(self, data: bytes) -> None:
        """Takes a part of a request, and waits for the rest."""
        super().data_received(data)
        self._note()

    def send_400_response(self, msg: str) -> None:
        """Answers 400, or ends the connection if an answer to the request has begun."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def pause_writing(self) -> None:
        """Starts to wait for a client that reads too slowly."""
        super().pause_writing()
        self._wait("reader", begin=True)

    def resume_writing(self) -> None:
        """Stops waiting: the client has read."""
        super().resume_writing()
        self._wait("reader", begin=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops all waiting."""
        super().connection_lost(exc)
        for name in list(self._waiting):
            self._wait(name, begin=False)

    def _note(self) -> None:
        """Wait for the part of the request that is still missing."""
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
