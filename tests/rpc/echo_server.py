"""A small service on the real plumbing: echoes in all four shapes, and fails as it is told to.

`python tests/rpc/echo_server.py` serves it; tests of the plumbing also build it in their process.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
from assay_rpc.ranker.v1 import artifact_pb2, ranker_pb2, ranker_pb2_grpc
from grpc_health.v1 import health_pb2_grpc
from pydantic_settings import SettingsConfigDict

from services import errors
from services.rpc.call import encoded_size
from services.rpc.serving.process import run
from services.rpc.serving.service import Service
from services.rpc.settings import ServerSettings, load_settings

ECHO = "assay.test.v1.EchoService"
RANKER = ranker_pb2.DESCRIPTOR.services_by_name["RankerService"].full_name

ERRORS: dict[str, errors.AssayError] = {
    type(error).__name__: error
    for error in (
        errors.InvalidArgument("field", "is bad"),
        errors.BadImage("image.encoded", "is not an image"),
        errors.ImageTooLarge("image.encoded", "has too many pixels"),
        errors.NotFound("model", "nope", ["b", "a"]),
        errors.DigestMismatch("another digest"),
        errors.CursorMismatch("another corpus"),
        errors.IndexRequired("no index"),
        errors.SourceChanged("files changed"),
        errors.CheckpointMismatch("in use"),
        errors.EngineUnavailable("not installed"),
        errors.RequestIdReused("used before"),
        errors.RevisionMismatch("another revision"),
        errors.VersionConflict("other content"),
        errors.ModelUnusable("not causal"),
        errors.Unsupported("not here"),
        errors.Unauthenticated("no token"),
        errors.Forbidden("no role"),
        errors.QuotaExceeded("used up", 2.5),
        errors.StorageFull("disk full"),
        errors.LicenseNotAccepted("accept the licence first"),
        errors.DataLoss("train/00.jsonl.zst", 77, "truncated"),
        errors.Overloaded("queue full", 1.25),
        errors.TooLarge("too large"),
        errors.Unavailable("redis is down"),
        errors.DeadlineExceeded("too late"),
        errors.InternalError("the model gave NaN"),
    )
}

Context = grpc.aio.ServicerContext[Any, Any]


class EchoSettings(ServerSettings):
    model_config = SettingsConfigDict(env_prefix="ASSAY_ECHO_")


class Echo:
    """Echoes bytes. `crash` and a class's name raise; `hang` waits to be cancelled."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.calls = 0

    async def reply(self, request: bytes) -> bytes:
        self.calls += 1
        command = request.decode("utf-8", "replace")
        if command in ERRORS:
            raise ERRORS[command]
        if command == "crash":
            raise ZeroDivisionError("secret of the server")
        if command == "left":  # as gRPC does when a message's caller has gone
            raise grpc.aio.InternalError('Failed "execute_batch"')
        if command == "flaky" and self.calls == 1:
            raise errors.Overloaded("first call", 0.001)
        if command == "hang":
            self.entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        return request

    async def unary_unary(self, request: bytes, context: Context) -> bytes:
        context.set_trailing_metadata((("x-own", "kept"),))
        return await self.reply(request)

    async def unary_stream(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        yield b"first"
        yield await self.reply(request)

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        return b"".join([await self.reply(request) async for request in requests])

    async def stream_stream(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncIterator[bytes]:
        async for request in requests:
            if request.startswith(b"how large"):
                # Bytes are no message: their size can only be what the server has noted.
                message: Any = request
                yield b"%d" % encoded_size(requests, message)
            else:
                yield await self.reply(request)

    async def writes(self, request: bytes, context: Context) -> None:
        await context.write(b"first")
        await context.write(await self.reply(request))

    async def aborts(self, request: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "chosen by the servicer")

    def register(self, server: grpc.aio.Server) -> None:
        handlers: dict[str, Any] = {
            "UnaryUnary": grpc.unary_unary_rpc_method_handler(self.unary_unary),
            "UnaryStream": grpc.unary_stream_rpc_method_handler(self.unary_stream),
            "StreamUnary": grpc.stream_unary_rpc_method_handler(self.stream_unary),
            "StreamStream": grpc.stream_stream_rpc_method_handler(self.stream_stream, bytes),
            "Writes": grpc.unary_stream_rpc_method_handler(self.writes),
            "Aborts": grpc.unary_unary_rpc_method_handler(self.aborts),
        }
        generic = grpc.method_handlers_generic_handler(ECHO, handlers)
        server.add_generic_rpc_handlers((generic,))
        ranker_pb2_grpc.add_RankerServiceServicer_to_server(EchoRanker(), server)  # type: ignore[abstract]


class EchoRanker(ranker_pb2_grpc.RankerServiceServicer):
    """One method of a real contract, for reflection and for clients that only know the stubs."""

    async def ListArtifacts(  # noqa: N802
        self, request: artifact_pb2.ListArtifactsRequest, context: Context
    ) -> artifact_pb2.ListArtifactsResponse:
        return artifact_pb2.ListArtifactsResponse(next_page_token=request.page_token)


def method(channel: grpc.aio.Channel, name: str) -> Any:
    """The echo service's method `name`, to be called with bytes."""
    path = f"/{ECHO}/{name}"
    shapes: dict[str, Any] = {
        "UnaryStream": channel.unary_stream,
        "Writes": channel.unary_stream,
        "StreamUnary": channel.stream_unary,
        "StreamStream": channel.stream_stream,
    }
    return shapes.get(name, channel.unary_unary)(path)


def health_stub(channel: grpc.aio.Channel) -> Any:
    """grpc_health's stub, whose published types say nothing of its methods."""
    return health_pb2_grpc.HealthStub(channel)


async def nothing() -> None:
    """Neither warms nor closes anything."""


def echo_service(echo: Echo) -> Service:
    return Service("echo", echo.register, (RANKER,), warm=nothing, close=nothing)


if __name__ == "__main__":
    sys.exit(run(load_settings(EchoSettings), echo_service(Echo())))
