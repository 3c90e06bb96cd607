"""A service's HTTP port next to its gRPC port: the same limits, identities and policy.

The service brings an ASGI application; this module handles what surrounds each request, as
`interceptor` does for a call. uvicorn, which comes with an extra, is imported when a port opens.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from services.common.identity import ANONYMOUS, Identity
from services.errors import AssayError, InternalError, Unavailable
from services.rpc.access.access import Access
from services.rpc.serving.health import Health
from services.rpc.serving.http_hosts import Hosts
from services.rpc.serving.http_request import (
    HELD_BODIES,
    HTTP_CODES,
    Bodies,
    Message,
    Receive,
    Request,
    Send,
    WebApp,
)
from services.rpc.serving.tls import ServerTls
from services.rpc.settings import ServerSettings
from services.rpc.tracing.tracing import Tracing

_IDLE_SECONDS = 15
_MAX_HEADER_BYTES = 64 << 10
# Connections that one step of the event loop accepts, and that wait for the next one. uvicorn's own
# 2,048 keep all else of the process waiting: health checks took 16 seconds.
_BACKLOG = 128
_LOGGED_CHARACTERS = 500
# Any other method is the caller's invention, which OpenTelemetry's conventions call _OTHER.
_HTTP_METHODS = frozenset(
    ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE")
)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class HttpService:
    """What a service passes to its server to have an HTTP port."""

    port: int
    """The port; 0 takes any free one."""
    field: str
    """Name of the setting for the port."""
    hosts: tuple[str, ...]
    """Host names that reach the port, besides this machine's."""
    hosts_field: str
    """Name of the setting for the host names."""
    make: Callable[[], WebApp]
    """Makes the application, after the service's own parts are made. Raises AssayError if it
    fails."""


class HttpPort:
    """An HTTP server of one application on the running loop."""

    def __init__(
        self,
        listener: socket.socket,
        app: WebApp,
        settings: ServerSettings,
        *,
        hosts: Hosts,
        access: Access,
        health: Health,
        tls: ServerTls | None,
        registry: CollectorRegistry,
        tracing: Tracing,
    ) -> None:
        """`listener` is bound. Raises ModuleNotFoundError if uvicorn is not installed."""
        import uvicorn  # noqa: PLC0415  see above

        from services.rpc.serving.http_connection import Connection  # noqa: PLC0415

        class Server(uvicorn.Server):  # type: ignore[misc, unused-ignore]  # no types without it
            @contextmanager
            def capture_signals(self) -> Any:
                """Leave signals to the process."""
                yield

        self._app = app
        self._listener = listener
        self._gate = gate = _Gate(
            *(app, settings.request_limit, access, health),
            hosts=hosts,
            metrics=_Metrics(registry),
            tracing=tracing,
        )
        self._server = Server(
            uvicorn.Config(
                gate,  # type: ignore[arg-type, unused-ignore]
                loop="none",
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                limit_concurrency=settings.max_streams,
                timeout_keep_alive=_IDLE_SECONDS,
                h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
                ssl_context_factory=None if tls is None else lambda *_: tls.web_context(),
            )
        )
        self._running: asyncio.Task[None] | None = None
        self.port = int(listener.getsockname()[1])
        """The port that it listens on."""

    @property
    def ended(self) -> int:
        """Requests that have ended."""
        return self._gate.ended

    def start(self) -> None:
        """Starts to answer."""
        self._running = asyncio.create_task(self._server.serve([self._listener]))

    async def stop(self, grace: float) -> None:
        """Lets requests in flight finish for `grace` seconds, then ends them."""
        self._app.drain()
        if self._running is None:
            self._listener.close()
            return
        self._server.should_exit = True
        await asyncio.wait([self._running], timeout=grace)
        self._server.force_exit = True
        for task in list(self._server.server_state.tasks):
            task.cancel()
        await self._running


class _Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "assay_http_requests",
            "HTTP requests that ended, by the rpc whose role they require, and status.",
            ("method", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "assay_http_request_seconds",
            "From a request's arrival to the end of its answer.",
            ("method",),
            registry=registry,
        )


class _Gate:
    """Admits each request as the interceptor admits each call."""

    def __init__(
        self,
        app: WebApp,
        max_bytes: int,
        access: Access,
        health: Health,
        *,
        hosts: Hosts,
        metrics: _Metrics,
        tracing: Tracing,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._access = access
        self._health = health
        self._hosts = hosts
        self._metrics = metrics
        self._tracing = tracing
        self._bodies = Bodies(HELD_BODIES * max_bytes)
        self.ended = 0
        """Requests that have ended."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive, send, self._max_bytes, self._bodies)
        method = self._app.method_of(scope["path"])
        began = time.perf_counter()
        caller = ANONYMOUS
        problem: str | None = None
        structlog.contextvars.bind_contextvars(request_id=request.id)
        known = scope["method"] in _HTTP_METHODS
        span = self._tracing.serve(
            # Nothing that a caller can invent: neither the path nor an unknown method.
            f"{scope['method'] if known else 'HTTP'} {method or ''}".rstrip(),
            request.text_headers(),
            {
                "http.request.method": scope["method"] if known else "_OTHER",
                "url.path": scope["path"][:_LOGGED_CHARACTERS],
                "url.scheme": scope["scheme"],
                "client.address": request.host,
                "assay.request_id": request.id,
            },
        )
        try:
            caller = self._identify(request, method)
            if method is not None:
                self._access.admit_as(method, caller, request.host)
            await request.answer(self._app, scope)
        except AssayError as error:
            problem = str(error)
            await request.refuse(self._app, error)
        except Exception as error:  # noqa: BLE001  a request must not end the server
            if request.left:
                request.status = request.status or HTTP_CODES["CANCELLED"]
                return
            path = scope["path"][:_LOGGED_CHARACTERS]
            _log.exception("unexpected error", path=path, exc_info=error)
            problem = f"internal error; the server's log has it under request id {request.id}"
            await request.refuse(self._app, InternalError(problem))
        finally:
            request.close()
            self.ended += 1
            seconds = time.perf_counter() - began
            self._metrics.requests.labels(method or "", request.status).inc()
            self._metrics.seconds.labels(method or "").observe(seconds)
            fields = {"caller": caller.name} if caller.verified else {}
            _log.info(
                "request",
                path=scope["path"][:_LOGGED_CHARACTERS],
                status=request.status,
                seconds=round(seconds, 6),
                peer=request.host,
                **fields,
                **({"error": problem} if problem else {}),
            )
            failed = request.status >= HTTP_CODES["INTERNAL"]
            span.end({"http.response.status_code": request.status}, problem if failed else None)

    def _identify(self, request: Request, method: str | None) -> Identity:
        self._hosts.require(request.header(b"host") or "")
        if not self._health.serving:
            raise Unavailable("the service is starting or stopping; try again")
        request.check_length()
        if method is None:
            return ANONYMOUS
        return self._access.identify_by(request.headers(b"authorization"), None)
