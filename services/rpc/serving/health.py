"""The standard gRPC health service, for a server that also starts and drains."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from importlib import metadata
from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.errors import NotFound

Status = health_pb2.HealthCheckResponse
_VERSION = metadata.version("assay-services")


class Health(health_pb2_grpc.HealthServicer):
    """One state for all services of a server: NOT_SERVING until `serve`, and after `drain`.

    grpc_health's own servicer starts at SERVING, and its Watch streams never end: each would
    prolong a drain for the whole grace period.
    """

    def __init__(self, full_names: Iterable[str]) -> None:
        """`full_names` are the services that can be checked, besides "", the whole server."""
        self._names = {"", *full_names}
        self.serving = False
        """Whether the server takes calls."""
        self._draining = False
        self._changed = asyncio.Condition()

    async def serve(self) -> None:
        """Turns to SERVING, unless draining has begun."""
        await self._set(serving=not self._draining)

    async def drain(self) -> None:
        """Turns to NOT_SERVING for good, and ends every Watch once its caller has received that."""
        self._draining = True
        await self._set(serving=False)

    async def _set(self, *, serving: bool) -> None:
        async with self._changed:
            self.serving = serving
            self._changed.notify_all()

    def _status(self, name: str, unknown: int) -> int:
        if name not in self._names:
            return unknown
        return Status.SERVING if self.serving else Status.NOT_SERVING

    async def Check(  # noqa: N802 - the method's name in the contract
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> health_pb2.HealthCheckResponse:
        """Returns the present state; NOT_FOUND for a service that the server does not have.

        The initial metadata contain the server's version and clock, for `assay doctor`.
        """
        if request.service not in self._names:
            raise NotFound("service", request.service, sorted(self._names - {""}))
        now = str(time.time_ns() // 1_000_000)
        await context.send_initial_metadata((("assay-version", _VERSION), ("assay-time-ms", now)))
        return Status(status=self._status(request.service, Status.SERVICE_UNKNOWN))

    async def List(  # noqa: N802 - the method's name in the contract
        self,
        request: Any,  # noqa: ARG002 - gRPC passes it
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002
    ) -> Any:
        """Returns the states of all services. Older stubs lack the method and its messages."""
        status = Status(status=self._status("", Status.SERVICE_UNKNOWN))
        reply: Any = cast("Any", health_pb2).HealthListResponse()
        for name in self._names:
            reply.statuses[name].CopyFrom(status)
        return reply

    async def Watch(  # noqa: N802 - the method's name in the contract
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Yields the state now and on every change, until the server drains."""
        sent: int | None = None
        while True:
            status = self._status(request.service, Status.SERVICE_UNKNOWN)
            if status != sent:
                await context.write(Status(status=status))
                sent = status
            async with self._changed:
                # The state may have changed while the message was being written.
                if self._status(request.service, Status.SERVICE_UNKNOWN) != sent:
                    continue
                if self._draining:
                    return
                await self._changed.wait()
