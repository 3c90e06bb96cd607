"""Fixtures of the plumbing's tests: an echo service, in this process or in one of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from assay_rpc.channel import connect_async

from services.rpc.serving.server import Server, build_server
from services.rpc.settings import ServerSettings
from tests.rpc.echo_server import ECHO, Echo, echo_service, method


@dataclass(frozen=True)
class EchoClient:
    """A server in this process and a channel to it."""

    echo: Echo
    server: Server
    channel: grpc.aio.Channel

    async def unary(self, request: bytes, name: str = "UnaryUnary", **options: Any) -> Any:
        """Calls a unary method."""
        return await method(self.channel, name)(request, **options)

    async def counted(self, name: str) -> None:
        """Returns once no call of a method is in flight: a caller may know of its end before."""
        labels = {"grpc_service": ECHO, "grpc_method": name}
        value = self.server.registry.get_sample_value
        async with asyncio.timeout(30):
            while value("grpc_server_in_flight", labels) != 0:  # noqa: ASYNC110  (another task's)
                await asyncio.sleep(0)


@pytest.fixture
async def client() -> AsyncIterator[EchoClient]:
    """The echo service, serving in this process."""
    echo = Echo()
    server = build_server(ServerSettings(), echo_service(echo))
    await server.start()
    async with connect_async(f"127.0.0.1:{server.port}") as channel:
        yield EchoClient(echo, server, channel)
    await server.stop(0)


@pytest.fixture(scope="session")
def start_echo(start_service: Any) -> Callable[..., Any]:
    """Starts the echo service in a process of its own."""

    def start(variables: Mapping[str, str] | None = None) -> Any:
        root = Path(__file__).parents[2]
        script = str(root / "tests" / "rpc" / "echo_server.py")
        paths = {"PYTHONPATH": str(root)}
        return start_service("echo", {**paths, **(variables or {})}, [sys.executable, script])

    return start
