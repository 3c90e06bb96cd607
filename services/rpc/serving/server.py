"""A complete gRPC server: health, reflection, metrics, HTTP and graceful shutdown."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, cast

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import CollectorRegistry, Gauge

from services.errors import AssayError
from services.rpc.access.access import Access
from services.rpc.access.roles import ADMIN_SUFFIX
from services.rpc.serving.decoding import ProbeInterceptor
from services.rpc.serving.health import Health
from services.rpc.serving.http import HttpPort, HttpService
from services.rpc.serving.http_hosts import Hosts
from services.rpc.serving.interceptor import CallInterceptor
from services.rpc.serving.listening import (
    StartError,
    bind,
    cannot_listen,
    is_loopback,
    server_options,
)
from services.rpc.serving.memory import return_freed_memory
from services.rpc.serving.metrics import (
    CallMetrics,
    MetricsPage,
    ReloadMetrics,
    add_process_metrics,
)
from services.rpc.serving.service import Service
from services.rpc.serving.tls import ServerTls
from services.rpc.settings import ServerSettings

_HEALTH_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
# A health check names a service, and the port requires no certificate.
_MAX_PROBE_BYTES = 1 << 16
# gRPC ends a call that arrives during shutdown as CANCELLED, which no client retries. Until clients
# have learned of NOT_SERVING, the server still takes calls for this long, and refuses them as
# UNAVAILABLE.
_LAME_DUCK_SECONDS = 0.5
_log = structlog.get_logger(__name__)


class _Split:
    """Takes a service's registrations, and passes those of admin services to another server."""

    def __init__(self, main: grpc.aio.Server, admin: grpc.aio.Server) -> None:
        self._main = main
        self._admin = admin

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Like the server's own method."""
        for handler in handlers:
            self._of(
                str(cast("grpc.ServiceRpcHandler", handler).service_name())
            ).add_generic_rpc_handlers((handler,))

    def add_registered_method_handlers(self, service_name: str, handlers: Any) -> None:
        """Like the server's own method."""
        self._of(service_name).add_registered_method_handlers(service_name, handlers)

    def _of(self, service_name: str) -> grpc.aio.Server:
        return self._admin if service_name.endswith(ADMIN_SUFFIX) else self._main


class Server:
    """A gRPC server with health, reflection, metrics and graceful shutdown."""

    def __init__(self, settings: ServerSettings, service: Service) -> None:
        self._settings = settings
        self._service = service
        self._health = Health(service.full_names)
        self.registry = CollectorRegistry()
        """This server's and its service's metrics."""
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
        """Port of the admin services, once started; 0 if they share the gRPC server's."""
        self.health_port = 0
        """Port of the plaintext health service, once started."""

    @property
    def metrics_port(self) -> int:
        """Port of the Prometheus page, once started; else 0."""
        return self._page.port if self._page else 0

    @property
    def http_port(self) -> int:
        """Port of the HTTP server, once started; 0 if there is none."""
        return self._http.port if self._http else 0

    async def start(self) -> None:
        """Listens, warms the service up and turns to SERVING.

        Raises StartError if a port or a TLS file is bad, and whatever `warm` raises; whatever was
        opened before is closed again.
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
        """Turns to NOT_SERVING, lets calls in flight finish for `grace` seconds, closes everything.

        `grace` defaults to the settings' `drain_seconds`. A second call with a shorter grace
        shortens the first; every call returns once everything is closed.
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
            raise cannot_listen(settings, "metrics_port") from error
        self._probe = grpc.aio.server(
            interceptors=(ProbeInterceptor(),),
            options=server_options(settings, _MAX_PROBE_BYTES),
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probe)
        self.health_port = bind(self._probe, settings, "health_port", None)
        try:
            access = Access(settings)
            server_tls = ServerTls(settings) if settings.tls_cert is not None else None
        except AssayError as error:
            raise StartError(str(error)) from error
        if access.open and not is_loopback(settings.host):
            _log.warning(
                "everyone who reaches the port may call every method",
                remedy=f"set {settings.variable('policy_file')}",
            )
        reloaded = dict(access.reloaded)
        if server_tls is not None:
            reloaded["certificate"] = server_tls.reloaded
            Gauge(
                "assay_tls_certificate_expiry_timestamp_seconds",
                "When the served certificate, or one of its chain, expires.",
                registry=self.registry,
            ).set_function(lambda: server_tls.expires)
        self.registry.register(ReloadMetrics(reloaded))
        self.port = bind(self._add_servers(access), settings, "port", server_tls)
        if self._admin is not None:
            self.admin_port = bind(self._admin, settings, "admin_port", server_tls)
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
            raise cannot_listen(settings, http.field) from error
        return HttpPort(
            listener,
            app,
            settings,
            hosts=Hosts(settings.host, http.hosts, settings.variable(http.hosts_field)),
            access=access,
            health=self._health,
            tls=server_tls,
            registry=self.registry,
            tracing=self._service.tracing,
        )

    def _add_servers(self, access: Access) -> grpc.aio.Server:
        """Makes the gRPC server, which is returned, and the admin server if it has its own port."""
        settings = self._settings
        limit = min(settings.request_limit, self._service.largest_request or 2**31 - 1)
        interceptor = CallInterceptor(
            CallMetrics(self.registry),
            self._health,
            access,
            max_request_bytes=limit,
            probes=self._service.probes,
            max_held_bytes=self._service.max_held_bytes,
            tracing=self._service.tracing,
        )
        # The interceptor refuses a request between its limit and this one, with details; the
        # transport's refusal has none. A method that reads a stream checks each message itself.
        largest = min(2 * limit, 2**31 - 1)
        self._ended_calls = lambda: interceptor.ended + (self._http.ended if self._http else 0)

        def made() -> grpc.aio.Server:
            return grpc.aio.server(
                interceptors=(interceptor,), options=server_options(settings, largest)
            )

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
        await asyncio.sleep(min(grace, _LAME_DUCK_SECONDS))
        await self._stop_servers(grace)
        # Probes see NOT_SERVING until the last call has ended.
        if self._probe is not None:
            await self._probe.stop(0)
        await self._service.close()
        await self._service.tracing.close()
        if self._page is not None:
            await asyncio.to_thread(self._page.close)


def build_server(settings: ServerSettings, service: Service) -> Server:
    """A server that `start()` opens; port 0 in the settings takes any free one."""
    return Server(settings, service)
