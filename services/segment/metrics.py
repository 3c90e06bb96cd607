"""Prometheus metrics of the models' queues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

from services.errors import DeadlineExceeded, Overloaded
from services.segment.recent_work import RecentWork
from services.segment.statistics import PARTS, Counts, ModelStatistics

_MODEL = ("model", "version")
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Depth:
    """Contents of a queue: requests, how many of them wait for a batch, and their bytes."""

    requests: int = 0
    waiting: int = 0
    held_bytes: int = 0

    def __add__(self, other: Depth) -> Depth:
        return Depth(
            self.requests + other.requests,
            self.waiting + other.waiting,
            self.held_bytes + other.held_bytes,
        )


class QueueMetrics:
    """Metrics of all models, for `Service.collectors`; and `recent`, the work of `engines`."""

    def __init__(self, engines: int = 1) -> None:
        self.recent = RecentWork(engines)
        self._requests = Gauge(
            "assay_segment_requests",
            "Requests that were accepted and are not answered yet.",
            _MODEL,
            registry=None,
        )
        self._waiting = Gauge(
            "assay_segment_waiting", "Requests that wait for a batch.", _MODEL, registry=None
        )
        self._bytes = Gauge(
            "assay_segment_held_bytes",
            "Bytes that the accepted requests are counted as, their inputs included.",
            _MODEL,
            registry=None,
        )
        self._batch_size = Histogram(
            "assay_segment_batch_size",
            "Images of the batches that were computed.",
            _MODEL,
            registry=None,
            buckets=_SIZES,
        )
        self._refused = Counter(
            "assay_segment_refused",
            "Requests that were refused: by OVERLOADED, or dropped by DEADLINE_EXCEEDED.",
            (*_MODEL, "reason"),
            registry=None,
        )

        self._statistics: dict[tuple[str, str], ModelStatistics] = {}
        self._depths: dict[tuple[str, str], Callable[[], Depth]] = {}

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """The collectors to register."""
        own = self._requests, self._waiting, self._bytes, self._batch_size, self._refused
        return (*own, TritonNames(self._statistics, self._depths))

    def of(self, model: str, version: str) -> ModelMetrics:
        """Return the metrics of one model."""
        return ModelMetrics(self, model, version)

    def forget(self, model: str, version: str) -> None:
        """Show no queue for a model that is no longer served; its counts stay."""
        self._depths.pop((model, version), None)
        for gauge in (self._requests, self._waiting, self._bytes):
            with suppress(KeyError):
                gauge.remove(model, version)


class ModelMetrics:
    """Metrics of one model. Its methods may be called from any thread."""

    def __init__(self, every: QueueMetrics, model: str, version: str) -> None:
        self._every = every
        self._model = model, version
        self._batch_size = every._batch_size.labels(*self._model)
        self._overloaded = every._refused.labels(*self._model, "OVERLOADED")
        self._late = every._refused.labels(*self._model, "DEADLINE_EXCEEDED")
        self.statistics = every._statistics.setdefault(self._model, ModelStatistics())
        """What the model has computed, summed over all its loads."""

    def watch(self, depth: Callable[[], Depth]) -> None:
        """Read the gauges from `depth` on each scrape."""
        every = self._every
        every._depths[self._model] = depth
        every._requests.labels(*self._model).set_function(lambda: depth().requests)
        every._waiting.labels(*self._model).set_function(lambda: depth().waiting)
        every._bytes.labels(*self._model).set_function(lambda: depth().held_bytes)

    def computed(self, size: int, seconds: float) -> None:
        """Count a batch of `size` pictures."""
        self._batch_size.observe(size)
        self.statistics.computed(size, seconds)

    def worked(self, pictures: int, seconds: float) -> None:
        """Count pictures, and the engine's seconds of work on them."""
        self._every.recent.computed(pictures, seconds)

    def failed(self, error: Exception) -> None:
        """Count the request if `error` is a refusal by the queue."""
        if isinstance(error, Overloaded):
            self._overloaded.inc()
        elif isinstance(error, DeadlineExceeded):
            self._late.inc()


# Triton's names for its statistics; durations are in microseconds.
_TRITON: dict[str, tuple[str, Callable[[Counts], float]]] = {
    "nv_inference_request_success": ("Requests that were answered.", lambda x: x.success.count),
    "nv_inference_request_failure": ("Requests that failed.", lambda x: x.fail.count),
    "nv_inference_count": ("Pictures that were answered.", lambda x: x.pictures),
    "nv_inference_exec_count": ("Batches that were computed.", lambda x: x.executions),
    "nv_inference_request_duration_us": (
        "Time of answered requests.",
        lambda x: x.success.ns / 1e3,
    ),
}


def _microseconds(part: str) -> Callable[[Counts], float]:
    return lambda counts: counts.parts[part].ns / 1e3


_TRITON |= {
    f"nv_inference_{part}_duration_us": (
        f"Time of answered requests: {part.replace('_', ' ')}.",
        _microseconds(part),
    )
    for part in PARTS
}


def _metric(name: str, words: str, kind: str = "unknown") -> Metric:
    make: Any = Metric  # it publishes no types
    metric: Metric = make(name, words, kind)
    return metric


class TritonNames(Collector):
    """The same counts under the names that Triton's dashboards use.

    Their suffixes are not those of Prometheus counters, so their type is left open.
    """

    def __init__(
        self,
        statistics: Mapping[tuple[str, str], ModelStatistics],
        depths: Mapping[tuple[str, str], Callable[[], Depth]],
    ) -> None:
        self._statistics = statistics
        self._depths = depths

    def describe(self) -> Iterable[Metric]:
        """Yield the names without values, so that registering needs none."""
        return [_metric(name, words) for name, (words, _) in _TRITON.items()]

    def collect(self) -> Iterable[Metric]:
        """Yield every count of every model."""
        counts = {key: one.counts for key, one in list(self._statistics.items())}
        for name, (words, value) in _TRITON.items():
            metric = _metric(name, words)
            for (model, version), one in counts.items():
                metric.add_sample(name, {"model": model, "version": version}, value(one))
            yield metric
        name = "nv_inference_pending_request_count"
        metric = _metric(name, "Requests that wait for a batch.", "gauge")
        for (model, version), depth in list(self._depths.items()):
            labels = {"model": model, "version": version}
            metric.add_sample(name, labels, depth().waiting)
        yield metric
