"""Deadlines: which comes next, and whether all of them can still be met. Needs only numpy.

By Jackson's rule, if any order of work meets all deadlines, the order of the deadlines does:
nothing is late as long as, up to each deadline, there is no more work than time. `Commitments` says
whether that leaves room. It checks all deadlines at once, in numpy: a fraction of a millisecond for
10,000 of them. `DeadlineQueue` finds the first of many deadlines.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import math
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=Hashable)

# Share of a batch by which work may exceed whole batches: sums of floats are not exact.
_ROUNDING = 1e-6
# Entries of removed items are deleted once they outnumber the others by this many.
_MAX_STALE_ENTRIES = 16


class Commitments(Generic[T]):
    """Items with deadlines and the seconds of one engine's time that each takes."""

    def __init__(self) -> None:
        self._order = itertools.count()
        self._keys: dict[T, tuple[float, int]] = {}
        # By deadline; only the first elements of the arrays count, as many as there are keys.
        self._sorted: list[tuple[float, int]] = []
        self._deadlines = np.zeros(16)
        self._seconds = np.zeros(16)

    def __len__(self) -> int:
        """Number of items committed to."""
        return len(self._sorted)

    def add(self, item: T, deadline: float, seconds: float) -> None:
        """Commit to a new item; without a deadline (inf) it is never late."""
        if deadline == math.inf:
            return
        count = len(self._sorted)
        if count == len(self._seconds):
            self._deadlines = np.concatenate([self._deadlines, np.zeros(count)])
            self._seconds = np.concatenate([self._seconds, np.zeros(count)])
        key = self._keys[item] = deadline, next(self._order)
        index = bisect.bisect(self._sorted, key)
        self._sorted.insert(index, key)
        for array, value in ((self._deadlines, deadline), (self._seconds, seconds)):
            array[index + 1 : count + 1] = array[index:count]
            array[index] = value

    def remove(self, item: T) -> None:
        """Drop the commitment to an item; does nothing if there is none."""
        key = self._keys.pop(item, None)
        if key is None:
            return
        index, count = bisect.bisect_left(self._sorted, key), len(self._sorted)
        del self._sorted[index]
        for array in (self._deadlines, self._seconds):
            array[index : count - 1] = array[index + 1 : count]

    def allow(self, start: float, deadline: float, seconds: float, batch: float) -> bool:
        """Whether an engine that is free at `start` can meet one more deadline and all others.

        `batch` is the seconds of a full batch; work before a deadline is rounded up to whole
        batches.
        """
        count = len(self)
        index = bisect.bisect(self._sorted, (deadline, math.inf))
        work = np.cumsum(self._seconds[:count])
        mine = (work[index - 1] if index else 0.0) + seconds
        done = start + _whole(np.append(work[index:] + seconds, mine), batch)
        return bool((done <= np.append(self._deadlines[index:count], deadline)).all())

    def keep(self, end: float, first: Iterable[T], batch: float) -> bool:
        """Whether all other deadlines can be met if the items of `first` are done by `end`.

        `batch` is as in `allow`.
        """
        count = len(self)
        seconds, left = self._seconds[:count].copy(), np.ones(count, dtype=bool)
        for item in first:
            key = self._keys.get(item)
            if key is not None:
                index = bisect.bisect_left(self._sorted, key)
                seconds[index], left[index] = 0.0, False
        done = end + _whole(np.cumsum(seconds), batch)
        return bool((done <= self._deadlines[:count])[left].all())


class DeadlineQueue(Generic[T]):
    """Items by deadline: a heap from which any item may be removed. Each step is O(log items)."""

    def __init__(self) -> None:
        self._times: dict[T, float] = {}
        self._heap: list[tuple[float, int, T]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        """Items with a deadline."""
        return len(self._times)

    def add(self, item: T, time: float) -> None:
        """Add a new item; an infinite deadline is left out."""
        if time < math.inf:
            self._times[item] = time
            heapq.heappush(self._heap, (time, next(self._order), item))

    def remove(self, item: T) -> None:
        """Remove an item; does nothing if it is absent."""
        self._times.pop(item, None)
        if len(self._heap) > 2 * len(self._times) + _MAX_STALE_ENTRIES:
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapq.heapify(self._heap)

    @property
    def first(self) -> float:
        """The first deadline; infinite if there is none."""
        heap = self._heap
        while heap and not self._is_current(heap[0]):
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def pop(self) -> T:
        """Remove and return the first item. There must be one."""
        assert self.first < math.inf  # noqa: S101  # and nothing that is gone is at the top
        item = self._heap[0][2]
        self.remove(item)
        return item

    def pop_due(self, now: float, lead: float = 0.0) -> list[T]:
        """Remove and return items with `lead` seconds or less until their deadline."""
        due = []
        while self.first - lead <= now:
            due.append(self.pop())
        return due

    def _is_current(self, entry: tuple[float, int, T]) -> bool:
        return self._times.get(entry[2]) == entry[0]


def _whole(seconds: NDArray[np.float64], batch: float) -> NDArray[np.float64]:
    """Round up to multiples of `batch`, if that is positive; ignores a tiny excess."""
    return np.ceil(seconds / batch - _ROUNDING) * batch if batch > 0 else seconds
