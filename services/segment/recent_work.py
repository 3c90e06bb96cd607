"""Recent speed of the engines, and how much work they have. Thread-safe. Pure.

A client of several replicas sends each a share of the calls in proportion to `rate / utilization`.
If that were the replica's speed, all would be equally busy, with queues of equal length, but a
queue at a slow replica takes longer and makes the slowest replies. So the utilization is multiplied
by the seconds that a picture takes, which makes the share the square of the speed.

Waiting work counts too: a replica that has fallen behind gets less until it has caught up, so a
fast replica is not given more than it can do.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

# Work computed longer ago than this many seconds counts for a third of present work.
_SECONDS = 5.0
# Waiting work counts as if it had to be done in this many seconds.
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
        """Count pictures that took one engine that many seconds."""
        with self._lock:
            self._age()
            self._pictures += pictures
            self._busy += seconds

    def load(self, waiting: float) -> tuple[float, float]:
        """Return pictures a second, and the utilization to report.

        `waiting` is engine seconds still to do. Both are 0 if nothing was computed recently.
        """
        with self._lock:
            self._age()
            rate, busy = self._pictures / _SECONDS, self._busy / _SECONDS
        if not rate:
            return 0.0, 0.0
        utilization = (busy + waiting / _CATCH_UP_SECONDS) / self._engines
        return rate, utilization * busy / rate / self._engines

    def _age(self) -> None:
        now = self._clock()
        left = math.exp((self._at - now) / _SECONDS)
        self._at = now
        self._pictures *= left
        self._busy *= left
