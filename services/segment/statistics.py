"""What a model has computed, counted as Triton counts it. May be called from any thread. Pure."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

PARTS = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class Duration:
    """How often something happened, and nanoseconds in all."""

    count: int = 0
    ns: int = 0

    def plus(self, ns: int) -> Duration:
        """Return it with one more that took so long."""
        return Duration(self.count + 1, self.ns + ns)


@dataclass(frozen=True)
class Spent:
    """Seconds of one request: in all, and of its parts but for the waiting, which is the rest."""

    total: float
    compute_input: float
    compute_infer: float
    compute_output: float


@dataclass(frozen=True)
class Counts:
    """What was counted until now; `parts` are those of the requests that were answered."""

    last_ms: int = 0
    pictures: int = 0
    executions: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    parts: Mapping[str, Duration] = field(
        default_factory=lambda: MappingProxyType(dict.fromkeys(PARTS, Duration()))
    )
    batches: Mapping[int, Duration] = field(default_factory=lambda: MappingProxyType({}))


class ModelStatistics:
    """Counts of one model since the server started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = self._pictures = self._executions = 0
        self._success = self._fail = Duration()
        self._parts = dict.fromkeys(PARTS, Duration())
        self._batches: dict[int, Duration] = {}

    def answered(self, pictures: int, spent: Spent) -> None:
        """Count a request of so many pictures that was answered."""
        total = round(spent.total * 1e9)
        parts = {name: round(getattr(spent, name) * 1e9) for name in PARTS[1:]}
        parts["queue"] = max(0, total - sum(parts.values()))
        with self._lock:
            self._last_ms = _now_ms()
            self._pictures += pictures
            self._success = self._success.plus(total)
            for name, ns in parts.items():
                self._parts[name] = self._parts[name].plus(ns)

    def failed(self, seconds: float) -> None:
        """Count a request that failed after so long."""
        with self._lock:
            self._last_ms = _now_ms()
            self._fail = self._fail.plus(round(seconds * 1e9))

    def computed(self, size: int, seconds: float) -> None:
        """Count a batch."""
        with self._lock:
            self._executions += 1
            batch = self._batches.get(size, Duration())
            self._batches[size] = batch.plus(round(seconds * 1e9))

    @property
    def counts(self) -> Counts:
        """What was counted until now."""
        with self._lock:
            return Counts(
                self._last_ms,
                self._pictures,
                self._executions,
                self._success,
                self._fail,
                MappingProxyType(dict(self._parts)),
                MappingProxyType(dict(sorted(self._batches.items()))),
            )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
