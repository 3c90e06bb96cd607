"""Prometheus metrics of the ranker, besides those of every server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from services.ranker.cache.cache import CacheStatus

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class RankerMetrics:
    """What the ranker counts; made before what it counts is there."""

    def __init__(self, database: Path | None, *, peer_certificate: bool = False) -> None:
        """`database` is the file that the evidence is in, if it is in one.

        `peer_certificate` is whether segment and corpus are shown one.
        """
        self.computed = Counter(
            "assay_ranker_comparisons_computed",
            "Comparisons that were computed, not read from the cache.",
            registry=None,
        )
        self._cache = Histogram(
            "assay_ranker_cache_seconds",
            "From asking the cache for a comparison to its answer, by what the cache did: BYPASS "
            "means that the store does not answer or refuses.",
            ("status",),
            registry=None,
            buckets=_BUCKETS,
        )
        for status in CacheStatus:
            self._cache.labels(status)
        self._jobs = Gauge(
            "assay_ranker_jobs", "Verifications that wait or run.", ("state",), registry=None
        )
        self.peer_certificate = Gauge(
            "assay_ranker_peer_certificate_expiry_timestamp_seconds",
            "When the certificate shown to segment and corpus expires, as read at the start.",
            registry=None,
        )
        self._peers = (self.peer_certificate,) if peer_certificate else ()
        self._disk = () if database is None else _disk(database)

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """All of them, to be registered."""
        return self.computed, self._cache, self._jobs, *self._disk, *self._peers

    def observe_cache(self, status: CacheStatus, seconds: float) -> None:
        """Count one answer of the cache."""
        self._cache.labels(status).observe(seconds)

    def watch_jobs(self, states: Iterable[str], count: Callable[[str], int]) -> None:
        """Show how many jobs are in each of `states`, whenever the metrics are read."""
        for state in states:
            self._jobs.labels(state).set_function(partial(count, state))


def _disk(database: Path) -> tuple[Gauge, Gauge]:
    size = Gauge("assay_ranker_database_bytes", "Size of the evidence database.", registry=None)
    size.set_function(lambda: _size(database))
    free = Gauge(
        "assay_ranker_database_disk_free_bytes",
        "Room left on the disk of the evidence database.",
        registry=None,
    )
    free.set_function(lambda: _free(database))
    return size, free


def _size(database: Path) -> float:
    files = (database, database.with_name(f"{database.name}-wal"))
    return float(sum(file.stat().st_size for file in files if file.exists()))


def _free(database: Path) -> float:
    try:
        return float(shutil.disk_usage(database.parent).free)
    except OSError:  # its folder is not there yet
        return float("nan")
