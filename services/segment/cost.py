"""What a batch costs, learned from the batches that were run. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

# Weight of the newest observation. A change of speed is half learned after three batches.
_WEIGHT = 0.2
# Deviations above the mean that an estimate allows for, when being wrong makes an answer late.
_MARGIN = 2.0


@dataclass
class _Estimate:
    mean: float
    deviation: float  # mean absolute


@dataclass
class Cost:
    """Seconds by batch size: moving mean and mean absolute deviation."""

    _seen: dict[int, _Estimate] = field(default_factory=dict)

    def observe(self, size: int, seconds: float) -> None:
        """Learn that a batch of `size` items took `seconds`."""
        known = self._seen.get(size)
        if known is None:
            self._seen[size] = _Estimate(seconds, 0.0)
            return
        error = seconds - known.mean
        known.mean += _WEIGHT * error
        known.deviation += _WEIGHT * (abs(error) - known.deviation)

    def typical(self, size: int) -> float:
        """Return the expected seconds of a batch; 0 before anything was observed."""
        return self._scaled(size, 0.0)

    def upper(self, size: int) -> float:
        """Return seconds that a batch seldom exceeds; 0 before anything was observed."""
        return self._scaled(size, _MARGIN)

    def _scaled(self, size: int, margin: float) -> float:
        """Use the size itself, else the next smaller one in proportion, else the next larger."""
        if not self._seen:
            return 0.0
        smaller = [seen for seen in self._seen if seen <= size]
        nearest = max(smaller) if smaller else min(self._seen)
        estimate = self._seen[nearest]
        seconds = estimate.mean + margin * estimate.deviation
        return seconds * (size / nearest) if nearest < size else seconds
