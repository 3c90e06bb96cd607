"""One HTTP request: limits on reading and holding its body, and how it is answered or refused."""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol

from services.errors import AssayError, Overloaded, TooLarge
from services.rpc import status

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
HELD_BODIES = 8
"""How many bodies of the largest size may be held at once."""
# This many bytes of each body are not counted.
_SMALL_BYTES = 64 << 10
_RETRY_SECONDS = 1.0


class WebApp(Protocol):
    """The application that a service serves over HTTP."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI."""

    def method_of(self, path: str) -> str | None:
        """The rpc, "/package.Service/Method", whose role a path requires; None: anyone may."""

    def refused(self, path: str, error: AssayError, request_id: str) -> tuple[str, bytes]:
        """Content type and body of a refusal."""

    def drain(self) -> None:
        """End long-lasting requests: the server is stopping."""


class Bodies:
    """Counts the memory of all request bodies being served; a small body is always read."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.held_bytes = 0

    def take(self, size: int) -> bool:
        """Hold `size` more bytes if they fit; return whether they do."""
        if self.held_bytes and self.held_bytes + size > self._max_bytes:
            return False
        self.held_bytes += size
        return True


class Request:
    """One request: how much of its body was read, and whether its answer has begun."""

    def __init__(
        self, scope: Message, receive: Receive, send: Send, max_bytes: int, bodies: Bodies
    ) -> None:
        self._bodies = bodies
        self._held = 0
        self._headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        self._path: str = scope["path"]
        self._receive = receive
        self._send = send
        self._max_bytes = max_bytes
        self._read = 0
        self._refusing = False
        self.status = 0
        self.excess: AssayError | None = None
        """Set once the client sent more than the limit, even if the application ignores that."""
        self.left = False
        """Whether the client left before the answer."""
        self.host = str((scope.get("client") or ("unknown",))[0])
        given = self.header(b"x-request-id") or ""
        self.id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

    def headers(self, name: bytes) -> list[str]:
        """All headers of that name."""
        return [value.decode("latin-1") for key, value in self._headers if key == name]

    def header(self, name: bytes) -> str | None:
        """The first header of that name."""
        return next(iter(self.headers(name)), None)

    def text_headers(self) -> Iterable[tuple[str, str]]:
        """Every header, as text."""
        return ((key.decode("latin-1"), value.decode("latin-1")) for key, value in self._headers)

    def check_length(self) -> None:
        """Raises TooLarge if the request's stated length is over the limit."""
        length = self.header(b"content-length") or "0"
        if length.isascii() and length.isdigit() and int(length) > self._max_bytes:
            raise self._too_large()

    async def answer(self, app: WebApp, scope: Message) -> None:
        """Let the application answer. Raises what `receive` raised, even if already caught."""
        await app(scope, self.receive, self.send)
        if self.excess is not None:
            raise self.excess

    async def receive(self) -> Message:
        """The next part of the body. Raises TooLarge past the limit, or Overloaded."""
        message = await self._receive()
        self.left = self.left or message["type"] == "http.disconnect"
        self._read += len(message.get("body", b""))
        if self._read > self._max_bytes:
            self.excess = self._too_large()
            raise self.excess
        more = self._read - _SMALL_BYTES - self._held
        if more > 0:
            if not self._bodies.take(more):
                self.excess = Overloaded(
                    f"the server holds {self._bodies.held_bytes:,} bytes of requests",
                    _RETRY_SECONDS,
                )
                raise self.excess
            self._held += more
        return message

    def close(self) -> None:
        """Ends the request and releases its body."""
        self._bodies.held_bytes -= self._held
        self._held = 0

    async def send(self, message: Message) -> None:
        """Sends a message, with the headers that every answer has."""
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
        """Answers with an error; if the answer has already begun, breaks off."""
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
