"""Limits open streams by memory: each holds memory, whether or not its client reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.errors import Overloaded

# A stream stands still with one message in the transport and one ready, and what the next is being
# made of: its lines and the block that they come from (measured: 2.4 chunks at 2 MiB, 3.5 at
# 512 KiB).
_CHUNKS = 4
# A shard without an index is decoded in one piece, with a window: up to 8 MiB at zstd's level 19.
_WINDOW_BYTES = 8 << 20
_RETRY_SECONDS = 1.0


def held_bytes(chunk_bytes: int, *, indexed: bool, window_bytes: int = 0) -> int:
    """Return the most that a stream of such chunks holds.

    `window_bytes` is the largest zstd window that its shards may have, where that was allowed.
    """
    window = 0 if indexed else max(_WINDOW_BYTES, window_bytes)
    return _CHUNKS * chunk_bytes + window


class StreamBudget:
    """Lets streams begin while what all of them may hold is within `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held = 0
        self._streams = 0

    @contextmanager
    def stream(self, size: int) -> Iterator[None]:
        """Count a stream while it is open. Raises Overloaded if there is no room for it.

        One stream may always be open, however large.
        """
        if self._streams and self._held + size > self._max_bytes:
            raise Overloaded(
                f"{self._streams} streams are open, and one more of {size >> 20} MiB might take "
                f"the memory that streams may hold beyond {self._max_bytes >> 20} MiB; end "
                "streams, set a smaller chunk_bytes, index the corpus, or use more replicas",
                _RETRY_SECONDS,
            )
        self._held += size
        self._streams += 1
        try:
            yield
        finally:
            self._held -= size
            self._streams -= 1
