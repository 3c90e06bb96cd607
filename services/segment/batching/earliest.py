"""Items by the time at which something happens to them; the first is always at hand. Pure."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

# Entries of items that are gone are swept out once they outnumber the others by this many.
_SLACK = 16


class Earliest(Generic[T]):
    """A heap from which items may be taken out of the middle. Each step is O(log items)."""

    def __init__(self) -> None:
        self._times: dict[T, float] = {}
        self._heap: list[tuple[float, int, T]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        """Items with a time."""
        return len(self._times)

    def add(self, item: T, time: float) -> None:
        """Add an item, that is not there, with its time; one at infinity never happens."""
        if time < math.inf:
            self._times[item] = time
            heapq.heappush(self._heap, (time, next(self._order), item))

    def remove(self, item: T) -> None:
        """Take an item out; does nothing if it isn't there."""
        self._times.pop(item, None)
        if len(self._heap) > 2 * len(self._times) + _SLACK:
            self._heap = [entry for entry in self._heap if self._stands(entry)]
            heapq.heapify(self._heap)

    @property
    def time(self) -> float:
        """The first time; infinite when there is none."""
        heap = self._heap
        while heap and not self._stands(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def pop(self) -> T:
        """Take the first item out. There must be one."""
        assert self.time < math.inf  # noqa: S101  # and nothing that is gone is at the top
        item = self._heap[0][2]
        self.remove(item)
        return item

    def _stands(self, entry: tuple[float, int, T]) -> bool:
        return self._times.get(entry[2]) == entry[0]
