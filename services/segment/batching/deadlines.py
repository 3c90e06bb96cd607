"""Whether everything that was promised by a deadline can still be done by it. Needs numpy alone.

By Jackson's rule work meets its deadlines in some order if it does in the order of the deadlines:
nothing is late as long as, up to each deadline, no more is promised than there is time for.
`Promises` answers what that leaves. It looks at all promises at once, in numpy: a fraction of a
millisecond for 10,000 of them.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=Hashable)

# Of a batch: sums of floats are not exact.
_LITTLE = 1e-6


class Promises(Generic[T]):
    """Items with deadlines and the seconds of one engine's time that each takes."""

    def __init__(self) -> None:
        self._order = itertools.count()
        self._keys: dict[T, tuple[float, int]] = {}
        # By deadline; of the arrays as many elements count as there are keys.
        self._sorted: list[tuple[float, int]] = []
        self._deadlines = np.zeros(16)
        self._seconds = np.zeros(16)

    def __len__(self) -> int:
        """Promises that stand."""
        return len(self._sorted)

    def add(self, item: T, deadline: float, seconds: float) -> None:
        """Promise an item, which is not there; one without a deadline (inf) is no promise."""
        if deadline == math.inf:
            return
        count = len(self._sorted)
        if count == len(self._seconds):
            self._deadlines = np.concatenate([self._deadlines, np.zeros(count)])
            self._seconds = np.concatenate([self._seconds, np.zeros(count)])
        key = self._keys[item] = deadline, next(self._order)
        place = bisect.bisect(self._sorted, key)
        self._sorted.insert(place, key)
        for array, value in ((self._deadlines, deadline), (self._seconds, seconds)):
            array[place + 1 : count + 1] = array[place:count]
            array[place] = value

    def remove(self, item: T) -> None:
        """Promise an item no longer; does nothing if it isn't there."""
        key = self._keys.pop(item, None)
        if key is None:
            return
        place, count = bisect.bisect_left(self._sorted, key), len(self._sorted)
        del self._sorted[place]
        for array in (self._deadlines, self._seconds):
            array[place : count - 1] = array[place + 1 : count]

    def allow(self, start: float, deadline: float, seconds: float, batch: float) -> bool:
        """Whether one more can be promised, to an engine that is free at `start`.

        `batch` is how long a full batch takes; what comes before a deadline is rounded up to whole
        batches.
        """
        count = len(self)
        place = bisect.bisect(self._sorted, (deadline, math.inf))
        work = np.cumsum(self._seconds[:count])
        mine = (work[place - 1] if place else 0.0) + seconds
        done = start + _whole(np.append(work[place:] + seconds, mine), batch)
        return bool((done <= np.append(self._deadlines[place:count], deadline)).all())

    def keep(self, end: float, first: Iterable[T], batch: float) -> bool:
        """Whether all others can be kept if the items of `first` are done, which lasts till `end`.

        `batch` is as for `allow`.
        """
        count = len(self)
        seconds, left = self._seconds[:count].copy(), np.ones(count, dtype=bool)
        for item in first:
            key = self._keys.get(item)
            if key is not None:
                place = bisect.bisect_left(self._sorted, key)
                seconds[place], left[place] = 0.0, False
        done = end + _whole(np.cumsum(seconds), batch)
        return bool((done <= self._deadlines[:count])[left].all())


def _whole(seconds: NDArray[np.float64], batch: float) -> NDArray[np.float64]:
    """Round up to multiples of `batch`, if that is positive; a little more is none."""
    return np.ceil(seconds / batch - _LITTLE) * batch if batch > 0 else seconds
