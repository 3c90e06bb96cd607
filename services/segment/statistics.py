"""Counts of a model's work, defined as in Triton. May be called from any thread. Pure."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

PARTS = ("queue", "compute_input", "compute_infer", "compute_output")


@dataclass(frozen=True)
class Duration:
    """Number of times something happened, and total nanoseconds."""

    count: int = 0
    ns: int = 0

    def plus(self, ns: int) -> Duration:
        """Return the duration with one more event of that many seconds."""
        return Duration(self.count + 1, self.ns + ns)


@dataclass(frozen=True)
class Spent:
    """Seconds of one request: in total and for each part; the rest is waiting."""

    total: float
    compute_input: float
    compute_infer: float
    compute_output: float


@dataclass(frozen=True)
class Counts:
    """The counts so far; `parts` are those of answered requests."""

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
        """Count an answered request of `pictures` pictures."""
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
        """Count a request that failed after that many seconds."""
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
        """The counts so far."""
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
