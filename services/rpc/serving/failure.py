"""How a running service reports that only a new process can serve again."""

from __future__ import annotations

import asyncio


class Failure:
    """A failure, reported at most once, in the event loop; the server then drains and ends."""

    def __init__(self) -> None:
        self._reported = asyncio.Event()
        self.reason = ""
        """The reason, once reported."""

    def report(self, reason: str) -> None:
        """Report the failure; further reports change nothing."""
        if not self._reported.is_set():
            self.reason = reason
            self._reported.set()

    async def wait(self) -> str:
        """Return the reason, once a failure is reported."""
        await self._reported.wait()
        return self.reason
