"""One client's connection to a server under load: bytes sent and received, by gRPC or HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import grpc
import grpc.aio

_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


@dataclass(frozen=True)
class Target:
    """The target of calls: `path` is a gRPC method, /package.Service/Method, or an HTTP path."""

    kind: Literal["grpc", "http"]
    address: str
    path: str


Answer: TypeAlias = tuple[str, bytes]


class Connection(Protocol):
    """One client's connection to the server."""

    async def call(self, request: bytes, timeout: float) -> Answer:  # noqa: ASYNC109  # sent
        """Send a request; return the status, "OK" for success, and the answer."""

    async def close(self) -> None:
        """End the connection."""


class GrpcConnection:
    """A channel that sends and receives bytes."""

    def __init__(self, target: Target) -> None:
        self._channel = grpc.aio.insecure_channel(target.address, options=_OPTIONS)
        self._method: Any = self._channel.unary_unary(target.path)

    async def call(self, request: bytes, timeout: float) -> Answer:  # noqa: ASYNC109  # sent
        """As `Connection.call`."""
        try:
            return "OK", await self._method(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return error.code().name, b""

    async def close(self) -> None:
        """As `Connection.close`."""
        await self._channel.close()


class HttpConnection:
    """HTTP/1.1 with keep-alive; a request is everything after the line with the path.

    Calls made at the same time each have their own socket.
    """

    def __init__(self, target: Target) -> None:
        host, _, port = target.address.rpartition(":")
        self._host, self._port = host, int(port)
        self._head = f"POST {target.path} HTTP/1.1\r\nHost: {target.address}\r\n".encode()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, request: bytes, timeout: float) -> Answer:  # noqa: ASYNC109  # as the others
        """As `Connection.call`; the server does not learn the timeout: its socket is closed."""
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(timeout):
                if self._idle:
                    reader, writer = self._idle.pop()
                else:
                    reader, writer = await asyncio.open_connection(self._host, self._port)
                writer.write(self._head)
                writer.write(request)
                await writer.drain()
                code = (await reader.readuntil(b"\r\n")).split()[1]
                size = 0
                while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        size = int(value)
                body = await reader.readexactly(size)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            if writer is not None:
                writer.close()
            late = isinstance(error, TimeoutError)
            return "DEADLINE_EXCEEDED" if late else "UNAVAILABLE", b""
        self._idle.append((reader, writer))
        return "OK" if code == b"200" else f"HTTP {code.decode()}", body

    async def close(self) -> None:
        """As `Connection.close`."""
        for _, writer in self._idle:
            writer.close()


def connect(target: Target) -> Connection:
    """Return a connection; it is made with the first call."""
    return GrpcConnection(target) if target.kind == "grpc" else HttpConnection(target)
