"""Rate limits: a token bucket for each identity and grant."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from services.errors import QuotaExceeded
from services.rpc.access.policy import Rate

_MAX_CALLERS = 10_000


@dataclass
class _Bucket:
    calls: float
    """Calls that the bucket allows now."""
    at: float


class Rates:
    """Counts calls by caller and grant; past 10,000 buckets, forgets the least recently used.

    One bucket for all grants would let calls under a grant with a high rate refill one with a low
    rate.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` returns seconds of a monotonic clock."""
        self._now = now
        self._buckets: OrderedDict[tuple[str, int], _Bucket] = OrderedDict()

    def take(self, caller: str, rate: Rate) -> None:
        """Count one call. Raises QuotaExceeded, which says when the next call is allowed."""
        now, key = self._now(), (caller, rate.grant)
        bucket = self._buckets.pop(key, None) or _Bucket(rate.burst, now)
        bucket.calls = min(rate.burst, bucket.calls + (now - bucket.at) * rate.per_second)
        bucket.at = now
        self._buckets[key] = bucket
        if len(self._buckets) > _MAX_CALLERS:
            self._buckets.popitem(last=False)
        if bucket.calls < 1:
            raise QuotaExceeded(
                f"over {rate.per_second:g} calls a second", (1 - bucket.calls) / rate.per_second
            )
        bucket.calls -= 1
