"""A service's HTTP port beside its gRPC one: the same limits, identities and policy.

What is served is the service's own ASGI application; this is what happens around each request, as
`interceptor` is for a call. uvicorn is imported when a port is opened: it is of an extra.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from services.common.identity import ANONYMOUS, Identity
from services.errors import AssayError, InternalError, TooLarge, Unavailable
from services.rpc import status
from services.rpc.access.access import Access
from services.rpc.serving.health import Health
from services.rpc.serving.tls import ServerTls
from services.rpc.settings import ServerSettings
from services.rpc.tracing.tracing import Tracing

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HTTP_CODES = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""The HTTP status of each status code, as the Connect protocol has them."""

_TOO_LARGE = 413
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_IDLE_SECONDS = 15
_MAX_HEADER_BYTES = 64 << 10
_log = structlog.get_logger(__name__)


class WebApp(Protocol):
    """The application that a service serves over HTTP."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""

    def method_of(self, path: str) -> str | None:
        """The rpc, "/package.Service/Method", whose role a path requires; None: anyone may."""

    def refused(self, path: str, error: AssayError, request_id: str) -> tuple[str, bytes]:
        """Content type and body of what a caller gets instead of an answer."""

    def drain(self) -> None:
        """End what would last for long: the server stops."""


@dataclass(frozen=True)
class HttpService:
    """What a service gives to its server to have an HTTP port."""

    port: int
    """0 takes any free one."""
    field: str
    """Name of the setting that the port is from."""
    make: Callable[[], WebApp]
    """Called once the service's own parts are made. Raises AssayError where it cannot be."""


class HttpPort:
    """An HTTP server of one application on the running loop."""

    def __init__(
        self,
        listener: socket.socket,
        app: WebApp,
        settings: ServerSettings,
        *,
        access: Access,
        health: Health,
        tls: ServerTls | None,
        registry: CollectorRegistry,
        tracing: Tracing,
    ) -> None:
        """`listener` is bound. Raises ModuleNotFoundError where uvicorn is not installed."""
        import uvicorn  # noqa: PLC0415  see above

        class Server(uvicorn.Server):  # type: ignore[misc, unused-ignore]  # no types without it
            @contextmanager
            def capture_signals(self) -> Any:
                """Leave signals to the process."""
                yield

        self._app = app
        self._listener = listener
        gate = _Gate(
            *(app, settings.request_limit, access, health),
            metrics=_Metrics(registry),
            tracing=tracing,
        )
        self._server = Server(
            uvicorn.Config(
                gate,  # type: ignore[arg-type, unused-ignore]
                loop="none",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=settings.max_streams,
                timeout_keep_alive=_IDLE_SECONDS,
                h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
                ssl_context_factory=None if tls is None else lambda *_: tls.web_context(),
            )
        )
        self._running: asyncio.Task[None] | None = None
        self.port = int(listener.getsockname()[1])
        """The port that it listens on."""

    def start(self) -> None:
        """Begins to answer."""
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
        metrics: _Metrics,
        tracing: Tracing,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._access = access
        self._health = health
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        request = _Request(scope, receive, send, self._max_bytes)
        method = self._app.method_of(scope["path"])
        began = time.perf_counter()
        caller = ANONYMOUS
        problem: str | None = None
        structlog.contextvars.bind_contextvars(request_id=request.id)
        span = self._tracing.serve(
            f"{scope['method']} {method or ''}".rstrip(),  # a path may be of a caller's making
            request.text_headers(),
            {
                "http.request.method": scope["method"],
                "url.path": scope["path"],
                "url.scheme": scope["scheme"],
                "client.address": request.host,
                "assay.request_id": request.id,
            },
        )
        try:
            caller = self._admit(request, method)
            await request.answer(self._app, scope)
        except AssayError as error:
            problem = str(error)
            await request.refuse(self._app, error)
        except Exception as error:  # noqa: BLE001  a request must not end the server
            _log.exception("unexpected error", path=scope["path"], exc_info=error)
            problem = f"internal error; the server's log has it under request id {request.id}"
            await request.refuse(self._app, InternalError(problem))
        finally:
            seconds = time.perf_counter() - began
            self._metrics.requests.labels(method or "", request.status).inc()
            self._metrics.seconds.labels(method or "").observe(seconds)
            fields = {"caller": caller.name} if caller.verified else {}
            _log.info(
                "request",
                path=scope["path"],
                status=request.status,
                seconds=round(seconds, 6),
                peer=request.host,
                **fields,
                **({"error": problem} if problem else {}),
            )
            failed = request.status >= HTTP_CODES["INTERNAL"]
            span.end({"http.response.status_code": request.status}, problem if failed else None)

    def _admit(self, request: _Request, method: str | None) -> Identity:
        if not self._health.serving:
            raise Unavailable("the service is starting or stopping; try again")
        request.check_length()
        if method is None:
            return ANONYMOUS
        caller = self._access.identify_by(request.headers(b"authorization"), None)
        self._access.admit_as(method, caller, request.host)
        return caller


class _Request:
    """One request: how much of it was read, and whether its answer has begun."""

    def __init__(self, scope: Message, receive: Receive, send: Send, max_bytes: int) -> None:
        self._headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        self._path: str = scope["path"]
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._read = 0
        self._refusing = False
        self.status = 0
        self.excess: TooLarge | None = None
        """Set once more was sent than is taken, whatever the application makes of that."""
        self.host = str((scope.get("client") or ("unknown",))[0])
        given = self.header(b"x-request-id") or ""
        self.id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

    def headers(self, name: bytes) -> list[str]:
        """The headers of that name."""
        return [value.decode("latin-1") for key, value in self._headers if key == name]

    def header(self, name: bytes) -> str | None:
        """The first header of that name."""
        return next(iter(self.headers(name)), None)

    def text_headers(self) -> Iterable[tuple[str, str]]:
        """Every header, as text."""
        return ((key.decode("latin-1"), value.decode("latin-1")) for key, value in self._headers)

    def check_length(self) -> None:
        """Raises TooLarge where the request says that it is."""
        length = self.header(b"content-length") or "0"
        if length.isascii() and length.isdigit() and int(length) > self._max_bytes:
            raise self._too_large()

    async def answer(self, app: WebApp, scope: Message) -> None:
        """Let the application answer. Raises TooLarge where it was sent more than is taken."""
        await app(scope, self.receive, self.send)
        if self.excess is not None:
            raise self.excess

    async def receive(self) -> Message:
        """The next part of the body. Raises TooLarge past the limit."""
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self._max_bytes:
            self.excess = self._too_large()
            raise self.excess
        return message

    async def send(self, message: Message) -> None:
        """Answers, with the headers that every answer has."""
        if self.excess is not None and not self._refusing:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                *_HEADERS,
                (b"x-request-id", self.id.encode()),
            ]
        await self._send(message)

    async def refuse(self, app: WebApp, error: AssayError) -> None:
        """Answers with an error, unless the answer has begun: then it breaks off."""
        if self.status:
            return
        self._refusing = True
        code = status.entry_of(error).code.name
        found = _TOO_LARGE if isinstance(error, TooLarge) else HTTP_CODES.get(code, 500)
        kind, body = app.refused(self._path, error, self.id)
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if found == HTTP_CODES["UNAUTHENTICATED"]:
            headers.append((b"www-authenticate", b"Bearer"))
        retry = status.retry_seconds(error)
        if retry is not None:
            headers.append((b"retry-after", str(retry).encode()))
        await self.send({"type": "http.response.start", "status": found, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _too_large(self) -> TooLarge:
        return TooLarge(f"the request has more than the {self._max_bytes:,} bytes that are taken")
