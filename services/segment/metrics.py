"""Prometheus metrics of the models' queues."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import Collector

from services.errors import DeadlineExceeded, Overloaded

_MODEL = ("model", "version")
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Depth:
    """What a queue holds now: requests, those of them that wait for a batch, and their bytes."""

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
    """Metrics of all models, for `Service.collectors`."""

    def __init__(self) -> None:
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

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """What a registry takes."""
        return self._requests, self._waiting, self._bytes, self._batch_size, self._refused

    def of(self, model: str, version: str) -> ModelMetrics:
        """Return the metrics of one model."""
        return ModelMetrics(self, model, version)

    def forget(self, model: str, version: str) -> None:
        """Show no queue of a model that is no longer served; what was counted stays."""
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

    def watch(self, depth: Callable[[], Depth]) -> None:
        """Read the gauges from `depth` whenever they are asked for."""
        every = self._every
        every._requests.labels(*self._model).set_function(lambda: depth().requests)
        every._waiting.labels(*self._model).set_function(lambda: depth().waiting)
        every._bytes.labels(*self._model).set_function(lambda: depth().held_bytes)

    def computed(self, size: int) -> None:
        """Count a batch of `size` pictures."""
        self._batch_size.observe(size)

    def failed(self, error: Exception) -> None:
        """Count the request if `error` is a refusal of the queue's."""
        if isinstance(error, Overloaded):
            self._overloaded.inc()
        elif isinstance(error, DeadlineExceeded):
            self._late.inc()
