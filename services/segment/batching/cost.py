"""Learned costs: of batches, and of an item's own work by size. Pure."""

from __future__ import annotations

import bisect
import math
from collections.abc import Hashable
from dataclasses import dataclass, field

# Weight of the newest observation: a change of speed is half learned after three batches.
_NEWEST_WEIGHT = 0.2
# A batch that takes longer than expected counts as at most this many times as long. A batch that
# took four times as long was mostly a bad moment of the machine; a slower engine is learned anyway.
_MAX_OVERRUN = 1.0
# Factor for the excess of a size's estimate over its best, each time that larger batches are
# relaxed.
_EXCESS_LEFT = 0.99
# Weight of the newest observation in a size's best cost, if the observation is worse: an engine
# that stays slower has a new best after some fifty batches.
_BEST_WEIGHT = 0.02
# Deviations above the mean for estimates whose error would make an answer late.
_UPPER_DEVIATIONS = 2.0
# After this many observations, the least of them is not from a bad moment.
_SURE = 16
# Factor for an estimate each time that it alone refuses work.
_ESTIMATE_LEFT = 0.9
# Number of buckets to remember in addition to the default one, None.
_MAX_BUCKETS = 64


@dataclass
class _Estimate:
    mean: float
    deviation: float  # mean absolute
    best: float  # the least seen recently
    count: int = 1

    def observe(self, seconds: float) -> None:
        error = min(seconds - self.mean, _MAX_OVERRUN * self.mean)
        self.mean += _NEWEST_WEIGHT * error
        self.deviation += _NEWEST_WEIGHT * (abs(error) - self.deviation)
        self.count += 1
        self.best = min(seconds, self.best + _BEST_WEIGHT * (seconds - self.best))

    def relax(self) -> None:
        self.mean = self.best + _EXCESS_LEFT * (self.mean - self.best)
        self.deviation *= _EXCESS_LEFT


@dataclass
class _Sizes:
    """Estimates of one bucket, by batch size."""

    known: list[int] = field(default_factory=list)  # ascending
    estimates: list[_Estimate] = field(default_factory=list)

    def scaled(self, size: int, margin: float) -> float:
        """Return `use` of the size itself, or an upper bound of it if the size is unknown.

        The bound is that of the next smaller size in proportion, and no more than the next larger
        size's.
        """
        index = bisect.bisect_left(self.known, size)
        larger = math.inf
        if index < len(self.known):
            larger = self._seconds(index, margin)
            if index == 0 or self.known[index] == size:
                return larger
        return min(larger, self._seconds(index - 1, margin) * (size / self.known[index - 1]))

    def _seconds(self, index: int, margin: float) -> float:
        estimate = self.estimates[index]
        return estimate.mean + margin * estimate.deviation


class Cost:
    """Seconds by bucket and batch size: moving mean and mean absolute deviation.

    An unknown bucket is assumed to cost as much as the dearest known one, so never less than the
    default bucket, None: callers choose their sizes, and assuming that a new size is cheap would
    admit work that makes other work late. Its first batch shows its true cost; if the estimate
    alone keeps it out, an idle engine takes it as a trial.

    The default bucket and the 64 others observed last are remembered.
    """

    def __init__(self) -> None:
        self._buckets: dict[Hashable, _Sizes] = {}

    def observe(self, size: int, seconds: float, bucket: Hashable = None) -> None:
        """Learn that a batch of `size` items of a bucket took `seconds`."""
        sizes = self._buckets[bucket] = self._buckets.pop(bucket, _Sizes())  # moved to the end
        self._forget()
        index = bisect.bisect_left(sizes.known, size)
        if index == len(sizes.known) or sizes.known[index] != size:
            sizes.known.insert(index, size)
            sizes.estimates.insert(index, _Estimate(seconds, 0.0, seconds))
        else:
            sizes.estimates[index].observe(seconds)

    def relax_larger(self, size: int, bucket: Hashable = None) -> None:
        """Move the estimates of batches larger than `size`, which was observed, to their best.

        Work was refused while no larger batch was computed. If a few bad moments made larger
        batches too dear, nothing else would ever correct their estimates.
        """
        sizes = self._buckets[bucket]
        index = bisect.bisect_left(sizes.known, size)
        for larger in sizes.estimates[index + 1 :]:
            larger.relax()

    def typical(self, size: int, bucket: Hashable = None) -> float:
        """Return the expected seconds of a batch; 0 before anything was observed."""
        return self._scaled(size, bucket, 0.0)

    def upper(self, size: int, bucket: Hashable = None) -> float:
        """Return seconds that a batch rarely exceeds; 0 before anything was observed."""
        return self._scaled(size, bucket, _UPPER_DEVIATIONS)

    def least(self, bucket: Hashable = None) -> float:
        """Return the least recent seconds of one item alone; 0 if too few were observed."""
        sizes = self._buckets.get(bucket)
        if sizes is None or sizes.known[0] != 1 or sizes.estimates[0].count < _SURE:
            return 0.0
        return sizes.estimates[0].best

    def turns(self, bucket: Hashable) -> float:
        """Return an item's cost as a multiple of that of the default bucket, at least 1."""
        own = self.typical(1)
        return max(1.0, self.typical(1, bucket) / own) if own else 1.0

    def _scaled(self, size: int, bucket: Hashable, margin: float) -> float:
        sizes = self._buckets.get(bucket)
        if sizes is not None:
            return sizes.scaled(size, margin)
        return max((other.scaled(size, margin) for other in self._buckets.values()), default=0.0)

    def _forget(self) -> None:
        """Drop the bucket that was observed longest ago if there are too many."""
        others = [bucket for bucket in self._buckets if bucket is not None]
        if len(others) > _MAX_BUCKETS:
            del self._buckets[others[0]]


@dataclass
class SizedCost:
    """Seconds of work that grows with its size, such as pixels: a moving mean by power of two.

    Sizes within a power of two share an estimate of seconds a unit, so large work does not affect
    the estimate of small work.
    """

    _rates: dict[int, float] = field(default_factory=dict)

    def observe(self, size: int, seconds: float) -> None:
        """Learn that work of `size` units, at least 1, took `seconds`."""
        rate, key = seconds / size, size.bit_length()
        known = self._rates.get(key, rate)
        self._rates[key] = known + _NEWEST_WEIGHT * (rate - known)

    def typical(self, size: int) -> float:
        """Return the expected seconds; 0 before anything was observed.

        An unknown size takes the estimate of the next larger one, else of the next smaller one.
        """
        key = self._key(size)
        return 0.0 if key is None else self._rates[key] * size

    def relax(self, size: int) -> None:
        """Lower the estimate: work was refused for it, so nothing new can be learned."""
        key = self._key(size)
        if key is not None:
            self._rates[size.bit_length()] = self._rates[key] * _ESTIMATE_LEFT

    def _key(self, size: int) -> int | None:
        wanted = size.bit_length()
        if not self._rates:
            return None
        larger = [key for key in self._rates if key >= wanted]
        return min(larger) if larger else max(self._rates)
