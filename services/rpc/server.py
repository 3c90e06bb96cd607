"""One way to serve: `build_server` for tests and tools, `run` for a service's `__main__`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.registry import Collector

from services.errors import AssayError
from services.rpc import logs
from services.rpc.access.access import Access
from services.rpc.access.roles import ADMIN_SUFFIX
from services.rpc.decoding import ProbeInterceptor
from services.rpc.exits import Exit
from services.rpc.failure import Failure
from services.rpc.health import Health
from services.rpc.http import HttpPort, HttpService
from services.rpc.interceptor import CallInterceptor
from services.rpc.memory import return_freed_memory
from services.rpc.metrics import CallMetrics, MetricsPage, add_process_metrics
from services.rpc.settings import ServerSettings
from services.rpc.tls import ServerTls
from services.rpc.worker import end_with_parent

_HEALTH_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
# A client that pings more often loses its connection; assay.channel pings every 15 s.
_MIN_PING_INTERVAL_MS = 7_500
# A health check names a service, and the port asks for no certificate.
_MAX_PROBE_BYTES = 1 << 16
_log = structlog.get_logger(__name__)


class StartError(Exception):
    """The server cannot listen; the message names the port or file and the variable to change."""


@dataclass(frozen=True)
class Service:
    """What a service gives to its server."""

    name: str
    """Short name, "segment"."""
    register: Callable[[grpc.aio.Server], None]
    """Adds the service's servicers to the server."""
    full_names: tuple[str, ...]
    """Full names of the gRPC services that `register` adds."""
    warm: Callable[[], Awaitable[None]]
    """Loads what the service needs; health is NOT_SERVING until it returns."""
    close: Callable[[], Awaitable[None]]
    """Frees what `warm` opened; called once no call is left, also when `warm` failed."""
    drain: Callable[[], None] = field(default=lambda: None)
    """Called when the server begins to stop: calls that would last for long should come to an end.
    May be called more than once."""
    collectors: tuple[Collector, ...] = field(default=())
    """Prometheus metrics of its own, made with `registry=None`."""
    max_held_bytes: int = 0
    """Bytes of the requests that its calls hold at once; 0 where requests are small."""
    failure: Failure = field(default_factory=Failure)
    """Where the service reports that it can't serve any more: the server turns to NOT_SERVING,
    drains, and ends with Exit.FAILED."""
    probes: frozenset[str] = frozenset()
    """Methods, "/package.Service/Method", that are asked whether it is ready: they answer before it
    is, and are logged as health checks are."""
    http: HttpService | None = None
    """Its HTTP port; None: it has none."""


class _Split:
    """Takes a service's registrations, and gives those of the admin services to another server."""

    def __init__(self, main: grpc.aio.Server, admin: grpc.aio.Server) -> None:
        self._main = main
        self._admin = admin

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """As a server's own."""
        for handler in handlers:
            self._of(
                str(cast("grpc.ServiceRpcHandler", handler).service_name())
            ).add_generic_rpc_handlers((handler,))

    def add_registered_method_handlers(self, service_name: str, handlers: Any) -> None:
        """As a server's own."""
        self._of(service_name).add_registered_method_handlers(service_name, handlers)

    def _of(self, service_name: str) -> grpc.aio.Server:
        return self._admin if service_name.endswith(ADMIN_SUFFIX) else self._main


class Server:
    """A gRPC server with health, reflection, metrics and a graceful end."""

    def __init__(self, settings: ServerSettings, service: Service) -> None:
        self._settings = settings
        self._service = service
        self._health = Health(service.full_names)
        self.registry = CollectorRegistry()
        """Metrics of this server: its own and the service's."""
        add_process_metrics(self.registry, service.name)
        for collector in service.collectors:
            self.registry.register(collector)
        self._main: grpc.aio.Server | None = None
        self._admin: grpc.aio.Server | None = None
        self._probe: grpc.aio.Server | None = None
        self._page: MetricsPage | None = None
        self._http: HttpPort | None = None
        self._stopped: asyncio.Task[None] | None = None
        self._trimming: asyncio.Task[None] | None = None
        self._ended_calls: Callable[[], int] = lambda: 0
        self.port = 0
        """Port of the gRPC server, once started."""
        self.admin_port = 0
        """Port of the admin services, once started; 0 where they share the gRPC server's."""
        self.health_port = 0
        """Port of the plaintext health service, once started."""

    @property
    def metrics_port(self) -> int:
        """Port of the Prometheus page, once started; else 0."""
        return self._page.port if self._page else 0

    @property
    def http_port(self) -> int:
        """Port of the HTTP server, once started; 0 where there is none."""
        return self._http.port if self._http else 0

    async def start(self) -> None:
        """Listens, warms the service up and turns to SERVING.

        Raises StartError when a port or a TLS file is bad, and whatever `warm` raises; what was
        opened until then is closed again.
        """
        try:
            self._listen()
            assert self._main is not None  # noqa: S101 - _listen made it
            assert self._probe is not None  # noqa: S101
            await self._probe.start()
            for server in self._servers():
                await server.start()
            if self._http is not None:
                self._http.start()
            self._trimming = asyncio.create_task(return_freed_memory(self._ended_calls))
            await self._service.warm()
            await self._health.serve()
        except BaseException:
            await self.stop(grace=0)
            raise

    async def stop(self, grace: float | None = None) -> None:
        """Turns to NOT_SERVING, lets calls in flight finish for `grace` seconds, closes all.

        The default grace is the settings' `drain_seconds`. A second call with a shorter grace
        shortens it; every call returns once all is closed.
        """
        seconds = self._settings.drain_seconds if grace is None else grace
        if self._stopped is None:
            self._stopped = asyncio.create_task(self._close(seconds))
        else:
            await self._stop_servers(seconds)
        await asyncio.shield(self._stopped)

    async def wait(self) -> None:
        """Returns once the server has stopped."""
        if self._main is not None:
            await self._main.wait_for_termination()

    def _listen(self) -> None:
        settings = self._settings
        try:
            self._page = MetricsPage(settings.host, settings.metrics_port, self.registry)
        except OSError as error:
            raise _cannot_listen(settings, "metrics_port") from error
        self._probe = grpc.aio.server(
            interceptors=(ProbeInterceptor(),), options=_options(settings, _MAX_PROBE_BYTES)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probe)
        self.health_port = _bind(self._probe, settings, "health_port", None)
        try:
            access = Access(settings)
            server_tls = ServerTls(settings) if settings.tls_cert is not None else None
        except AssayError as error:
            raise StartError(str(error)) from error
        if access.open and not _is_loopback(settings.host):
            _log.warning(
                "everyone who reaches the port may call every method",
                remedy=f"set {settings.variable('policy_file')}",
            )
        if server_tls is not None:
            Gauge(
                "assay_tls_certificate_expiry_timestamp_seconds",
                "When the served certificate, or one of its chain, expires.",
                registry=self.registry,
            ).set_function(lambda: server_tls.expires)
        self.port = _bind(self._add_servers(access), settings, "port", server_tls)
        if self._admin is not None:
            self.admin_port = _bind(self._admin, settings, "admin_port", server_tls)
        if self._service.http is not None:
            self._http = self._open_http(self._service.http, access, server_tls)

    def _open_http(
        self, http: HttpService, access: Access, server_tls: ServerTls | None
    ) -> HttpPort:
        settings = self._settings
        try:
            app = http.make()
        except AssayError as error:
            raise StartError(str(error)) from error
        try:
            listener = socket.create_server(
                (settings.host, http.port),
                family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
            )
        except OSError as error:
            raise _cannot_listen(settings, http.field) from error
        return HttpPort(
            listener,
            app,
            settings,
            access=access,
            health=self._health,
            tls=server_tls,
            registry=self.registry,
        )

    def _add_servers(self, access: Access) -> grpc.aio.Server:
        """Makes the gRPC server, which is returned, and where it is wanted the admin one."""
        settings = self._settings
        interceptor = CallInterceptor(
            CallMetrics(self.registry),
            self._health,
            access,
            max_request_bytes=settings.request_limit,
            probes=self._service.probes,
            max_held_bytes=self._service.max_held_bytes,
        )
        # What is over the limit, yet under this, is refused by the interceptor, with details; the
        # transport's refusal has none. A method that reads a stream checks each itself.
        largest = min(2 * settings.request_limit, 2**31 - 1)
        self._ended_calls = lambda: interceptor.ended

        def made() -> grpc.aio.Server:
            return grpc.aio.server(interceptors=(interceptor,), options=_options(settings, largest))

        self._main = made()
        names = set(self._service.full_names)
        admin = {name for name in names if name.endswith(ADMIN_SUFFIX)}
        if settings.admin_port is None or not admin:
            self._service.register(self._main)
            self._add_infrastructure(self._main, names)
            return self._main
        self._admin = made()
        self._service.register(cast("grpc.aio.Server", _Split(self._main, self._admin)))
        self._add_infrastructure(self._main, names - admin)
        self._add_infrastructure(self._admin, admin)
        return self._main

    def _add_infrastructure(self, server: grpc.aio.Server, names: set[str]) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.reflection:
            reflection.enable_server_reflection(
                (*sorted(names), _HEALTH_NAME, reflection.SERVICE_NAME), server
            )

    def _servers(self) -> list[grpc.aio.Server]:
        return [server for server in (self._main, self._admin) if server is not None]

    async def _stop_servers(self, grace: float) -> None:
        http = [self._http.stop(grace)] if self._http is not None else []
        await asyncio.gather(*(server.stop(grace) for server in self._servers()), *http)

    async def _close(self, grace: float) -> None:
        await self._health.drain()
        self._service.drain()
        if self._trimming is not None:
            self._trimming.cancel()
        await self._stop_servers(grace)
        # Probes see NOT_SERVING until the last call has ended.
        if self._probe is not None:
            await self._probe.stop(0)
        await self._service.close()
        if self._page is not None:
            await asyncio.to_thread(self._page.close)


def build_server(settings: ServerSettings, service: Service) -> Server:
    """A server that `start()` opens; port 0 in the settings takes any free one."""
    return Server(settings, service)


def run(settings: ServerSettings, service: Service) -> int:
    """Serves until SIGTERM or SIGINT; returns the process's exit code (`services.rpc.exits`).

    A second signal ends the drain at once.
    """
    logs.configure(settings.log_level)
    if settings.end_with_parent:
        end_with_parent()
    try:
        return asyncio.run(_serve(settings, service))
    except (StartError, AssayError) as error:
        print(f"{service.name}: cannot start: {error}", file=sys.stderr)
    except Exception as error:  # noqa: BLE001 - the last line of a process that ends
        _log.exception("service failed", service=service.name, error=repr(error))
    return Exit.CANNOT_START


async def _serve(settings: ServerSettings, service: Service) -> int:
    server = build_server(settings, service)
    signalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled.set)
    asked = asyncio.create_task(signalled.wait())
    starting = asyncio.create_task(server.start())
    await asyncio.wait({asked, starting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return Exit.DRAINED
    await starting
    # What was made to start is there to stay. A collector that goes through all of it again, now
    # and then, stops every call for tens of milliseconds.
    gc.collect()
    gc.freeze()
    ports = {
        "port": server.port,
        "health_port": server.health_port,
        "metrics_port": server.metrics_port,
    }
    if server.admin_port:
        ports["admin_port"] = server.admin_port
    if server.http_port:
        ports["http_port"] = server.http_port
    try:
        _write_ready_file(settings, ports)
    except StartError:
        await server.stop(grace=0)
        raise
    _log.info("serving", service=service.name, host=settings.host, **ports)
    failed = asyncio.create_task(service.failure.wait())
    await asyncio.wait({asked, failed}, return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        _log.error("the service has failed", service=service.name, error=failed.result())
    failed.cancel()
    _log.info("draining", service=service.name, seconds=settings.drain_seconds)
    if settings.ready_file is not None:
        settings.ready_file.unlink(missing_ok=True)
    signalled.clear()
    stopping = asyncio.create_task(server.stop())
    again = asyncio.create_task(signalled.wait())
    await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        await server.stop(grace=0)
    again.cancel()
    await stopping
    asked.cancel()
    _log.info("stopped", service=service.name)
    return Exit.FAILED if service.failure.reason else Exit.DRAINED


def _write_ready_file(settings: ServerSettings, ports: dict[str, int]) -> None:
    if settings.ready_file is None:
        return
    partial = settings.ready_file.with_name(f"{settings.ready_file.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(ports), "utf-8")
        partial.replace(settings.ready_file)
    except OSError as error:
        raise StartError(
            f"{settings.variable('ready_file')}: cannot write {settings.ready_file}: "
            f"{error.strerror}"
        ) from error


def _bind(
    server: grpc.aio.Server,
    settings: ServerSettings,
    name: str,
    server_tls: ServerTls | None,
) -> int:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{getattr(settings, name)}"
    try:
        if server_tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, server_tls.credentials())
    except RuntimeError as error:
        raise _cannot_listen(settings, name) from error


def _cannot_listen(settings: ServerSettings, name: str) -> StartError:
    port = getattr(settings, name)
    return StartError(
        f"cannot listen on {settings.host} port {port}: "
        f"{_why_not(settings.host, port) or 'the port was taken a moment ago'}; change "
        f"{settings.variable(name)} (0 takes any free port) or {settings.variable('host')}"
    )


def _why_not(host: str, port: int) -> str | None:
    """What the operating system says of a port that gRPC could not take; None: nothing is wrong."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
            probe.listen()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _options(settings: ServerSettings, max_receive_bytes: int) -> list[tuple[str, int]]:
    return [
        # Decompression stops there too: a megabyte of gzip can become a gigabyte.
        ("grpc.max_receive_message_length", max_receive_bytes),
        # Each stream takes memory before its request is read, and a client can open any number.
        ("grpc.max_concurrent_streams", settings.max_streams),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Two servers on one port would each get a share of the connections, silently.
        ("grpc.so_reuseport", 0),
        # A client that never says goodbye is found by pings; its own are welcome, also between
        # calls.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
        # No grace after that age: a stream of hours may finish on its old connection.
        ("grpc.max_connection_age_ms", round(settings.max_connection_seconds * 1000)),
    ]
