"""Prometheus metrics of one server, with the names that gRPC's own middlewares use."""

from __future__ import annotations

import platform
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import grpc
import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Metric,
    ProcessCollector,
    make_wsgi_app,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from services.errors import InvalidArgument
from services.rpc.reloading import Reloaded
from services.rpc.serving.http_hosts import Hosts

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
_POLL_SECONDS: Final = 0.1
_MAX_SCRAPERS: Final = 16
# Seconds of silence allowed on one connection.
_SCRAPE_SECONDS: Final = 10
_CALL: Final = ("grpc_service", "grpc_method")
_log = structlog.get_logger(__name__)


class CallMetrics:
    """Counts calls: started, handled by code, in flight, and their durations."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.started = Counter(
            "grpc_server_started", "Calls that arrived.", _CALL, registry=registry
        )
        self.handled = Counter(
            "grpc_server_handled",
            "Calls that ended, by code.",
            (*_CALL, "grpc_code"),
            registry=registry,
        )
        self.seconds = Histogram(
            "grpc_server_handling_seconds",
            "From a call's arrival to its end, by code.",
            (*_CALL, "grpc_code"),
            registry=registry,
            buckets=_BUCKETS,
        )
        self.in_flight = Gauge(
            "grpc_server_in_flight", "Calls that are being served.", _CALL, registry=registry
        )


def add_process_metrics(registry: CollectorRegistry, service: str) -> None:
    """The process's CPU time, memory and file descriptors, and the versions in use."""
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    build = Gauge(
        "assay_build_info",
        "1; its labels say what runs.",
        ("service", "version", "python", "grpc"),
        registry=registry,
    )
    build.labels(
        service, metadata.version("assay-services"), platform.python_version(), grpc.__version__
    ).set(1)


class ReloadMetrics(Collector):
    """Metrics of files that are read again when they change, by what the files hold.

    Each scrape checks the files, so a change is found even when no calls come.
    """

    def __init__(self, reloaded: Mapping[str, Reloaded[Any]]) -> None:
        self._reloaded = reloaded

    def collect(self) -> Iterable[Metric]:
        """Yields the three metrics, for any number of files."""
        current = GaugeMetricFamily(
            "assay_reload_current",
            "1 while the files are in use as they are; 0 while a change cannot be used.",
            labels=("what",),
        )
        failures = CounterMetricFamily(
            "assay_reload_failures", "Changes that could not be used.", labels=("what",)
        )
        succeeded = GaugeMetricFamily(
            "assay_reload_last_success_timestamp_seconds",
            "When the files were last read with success.",
            labels=("what",),
        )
        for what, reloaded in self._reloaded.items():
            state = reloaded.state()
            current.add_metric((what,), state.current)
            failures.add_metric((what,), state.failures)
            succeeded.add_metric((what,), state.succeeded)
        return current, failures, succeeded


class MetricsPage:
    """The HTTP page that Prometheus scrapes, served by its own threads."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        """Starts to serve. Port 0 takes any free one. Raises OSError if it cannot listen."""
        kind = _ThreadingServer6 if ":" in host else _ThreadingServer
        self._server = make_server(host, port, _named(registry, Hosts(host)), kind, _QuietHandler)
        # prometheus_client's own start_http_server takes half a second to stop.
        self._thread = Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="metrics", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Stops and frees the port. Blocks for up to a tenth of a second."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _named(registry: CollectorRegistry, hosts: Hosts) -> Callable[..., Iterable[bytes]]:
    """Return the page, for requests whose `Host` is one of this server's names."""
    page: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            hosts.require(environ.get("HTTP_HOST", "localhost"))
        except InvalidArgument as error:
            start_response("400 Bad Request", [("Content-Type", "text/plain; charset=utf-8")])
            return [f"{error}\n".encode()]
        return page(environ, start_response)

    return app


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    """Serves each scraper on its own thread, up to a limit: a slow one does not delay others."""

    daemon_threads = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._free = BoundedSemaphore(_MAX_SCRAPERS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves the request on its own thread, or closes it if too many are being served."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves the request on that thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs nothing about a client that is silent or gone: it could fill the log."""
        del request
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _log.error("unexpected error", peer=str(client_address[0]), exc_info=error)


class _ThreadingServer6(_ThreadingServer):
    """The same on an IPv6 address."""

    address_family = socket.AF_INET6


class _QuietHandler(WSGIRequestHandler):
    """Logs no scrapes, and limits how long each takes."""

    timeout = _SCRAPE_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Drops the line."""
