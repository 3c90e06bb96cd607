"""How fast the engines answer and how busy they are, of late. May be called from any thread. Pure.

A client that knows several replicas sends each a share of the calls in proportion to
`rate / utilization`. Where nothing waits that is the speed of a replica: pictures that it computes
in a second of its engine's. What waits counts as work too, so a replica that has fallen behind gets
less until it has caught up.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

# What was computed longer ago than this counts for a third of what is computed now.
_SECONDS = 5.0
# Work that waits counts as if it were to be done in so many seconds.
_CATCH_UP_SECONDS = 1.0


class RecentWork:
    """Pictures and the engines' seconds, weighed by how long ago they were computed."""

    def __init__(self, engines: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._engines = engines
        self._clock = clock
        self._lock = threading.Lock()
        self._at = clock()
        self._pictures = self._busy = 0.0

    def computed(self, pictures: int, seconds: float) -> None:
        """Count a batch that took one engine so long."""
        with self._lock:
            self._age()
            self._pictures += pictures
            self._busy += seconds

    def load(self, waiting: float) -> tuple[float, float]:
        """Return pictures a second, and utilization with `waiting` engine seconds still to do."""
        with self._lock:
            self._age()
            rate, busy = self._pictures / _SECONDS, self._busy / _SECONDS
        return rate, (busy + waiting / _CATCH_UP_SECONDS) / self._engines

    def _age(self) -> None:
        now = self._clock()
        left = math.exp((self._at - now) / _SECONDS)
        self._at = now
        self._pictures *= left
        self._busy *= left
