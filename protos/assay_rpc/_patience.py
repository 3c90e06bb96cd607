"""How long a client goes on when its server is away."""

from __future__ import annotations

import time

import grpc

from assay_rpc.errors import AssayError

# CANCELLED: it stopped before it looked at the call, see `assay_rpc.channel`.
_SERVER_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
# What grpc.aio says of a message that it could not send, for the connection had just gone.
_NOT_SENT = "Internal error from Core"
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0


class Patience:
    """Says how long to wait before a call is made again, for at most `seconds` without progress."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.progress()

    def progress(self) -> None:
        """Something came: the time begins again."""
        self._wait = _FIRST_WAIT_SECONDS
        self._deadline = time.monotonic() + self._seconds

    def wait(self, error: AssayError) -> float:
        """Seconds to wait. Raises `error` when it will not pass, or when the time is over."""
        gone = error.code in _SERVER_GONE or error.message == _NOT_SENT
        if not gone or time.monotonic() + self._wait > self._deadline:
            raise error
        wait, self._wait = self._wait, min(2 * self._wait, _LONGEST_WAIT_SECONDS)
        return wait
