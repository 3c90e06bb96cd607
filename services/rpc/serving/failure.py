"""How a running service says that only a new process can serve again."""

from __future__ import annotations

import asyncio


class Failure:
    """Reported at most once, in the event loop; the server then drains and ends."""

    def __init__(self) -> None:
        self._reported = asyncio.Event()
        self.reason = ""
        """Why, once it is reported."""

    def report(self, reason: str) -> None:
        """Report the failure; further reports change nothing."""
        if not self._reported.is_set():
            self.reason = reason
            self._reported.set()

    async def wait(self) -> str:
        """Return the reason, once there is one."""
        await self._reported.wait()
        return self.reason
