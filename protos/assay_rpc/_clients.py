"""What the clients share: a channel, calls that raise AssayError, pages, streams of progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from assay_rpc._patience import Patience
from assay_rpc.channel import connect, connect_async
from assay_rpc.connection import Connection
from assay_rpc.errors import AssayError, DeadlineExceeded, InternalError

Progress = Callable[[Any], object]
"""Takes each message of progress."""
_Method = Callable[..., Any]
PATIENCE_SECONDS = 60.0
"""How long a call that continues where it was waits for a server that is away."""
_LOOK_SECONDS = 0.5
"""How long it takes at most to see that a channel has no connection."""


class Client:
    """A channel to one service. Use it as a context manager, or close it.

    `target` is "host:port", a Connection, or a channel, which stays open. `timeout` is a time limit
    in seconds for each call; None means those of the service config.
    """

    def __init__(
        self, target: str | Connection | grpc.Channel, *, timeout: float | None = None
    ) -> None:
        self._owned = isinstance(target, (str, Connection))
        self._channel = connect(target) if isinstance(target, (str, Connection)) else target
        self._named = _named(target)
        self._timeout = timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel, if this object made it."""
        if self._owned:
            self._channel.close()

    def _call(self, method: _Method, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            failed = AssayError.of(error)
            if failed.code is grpc.StatusCode.DEADLINE_EXCEEDED and not self._connected():
                raise _unanswered(self._named) from error
            raise failed from error

    def _connected(self) -> bool:
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(_LOOK_SECONDS)
        except grpc.FutureTimeoutError:
            return False
        finally:
            ready.cancel()
        return True

    def _pages(self, method: _Method, request: Any, field: str) -> Iterator[Any]:
        """Yield the items of every page."""
        while True:
            reply = self._call(method, request)
            yield from getattr(reply, field)
            if not reply.next_page_token:
                return
            request.page_token = reply.next_page_token

    def _result(self, method: _Method, request: Any, progress: Progress | None) -> Any:
        """Follow a stream to its result. It may be made again: it continues where it was."""
        patience = Patience(PATIENCE_SECONDS)
        while True:
            call = method(request, timeout=self._timeout)
            try:
                for message in call:
                    patience.progress()
                    if message.WhichOneof("update") == "result":
                        return message.result
                    _passed_on(message, progress)
            except grpc.RpcError as error:
                time.sleep(patience.wait(AssayError.of(error)))
            else:
                raise _without_result()
            finally:
                call.cancel()


class AsyncClient:
    """As Client, for programs with asyncio."""

    def __init__(
        self, target: str | Connection | grpc.aio.Channel, *, timeout: float | None = None
    ) -> None:
        self._owned = isinstance(target, (str, Connection))
        self._channel = connect_async(target) if isinstance(target, (str, Connection)) else target
        self._named = _named(target)
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel, if this object made it."""
        if self._owned:
            await self._channel.close()

    async def _call(self, method: _Method, request: Any) -> Any:
        try:
            return await method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            failed = AssayError.of(error)
            connected = self._channel.get_state() is grpc.ChannelConnectivity.READY
            if failed.code is grpc.StatusCode.DEADLINE_EXCEEDED and not connected:
                raise _unanswered(self._named) from error
            raise failed from error

    async def _pages(self, method: _Method, request: Any, field: str) -> AsyncIterator[Any]:
        while True:
            reply = await self._call(method, request)
            for item in getattr(reply, field):
                yield item
            if not reply.next_page_token:
                return
            request.page_token = reply.next_page_token

    async def _result(self, method: _Method, request: Any, progress: Progress | None) -> Any:
        patience = Patience(PATIENCE_SECONDS)
        while True:
            call = method(request, timeout=self._timeout)
            try:
                async for message in call:
                    patience.progress()
                    if message.WhichOneof("update") == "result":
                        return message.result
                    _passed_on(message, progress)
            except grpc.RpcError as error:
                await asyncio.sleep(patience.wait(AssayError.of(error)))
            else:
                raise _without_result()
            finally:
                call.cancel()


def _passed_on(message: Any, progress: Progress | None) -> None:
    """Pass progress on. What else a later server may send between is not for this client."""
    if progress is not None and message.WhichOneof("update") == "progress":
        progress(message.progress)


def _named(target: str | Connection | grpc.Channel | grpc.aio.Channel) -> str:
    return Connection.of(target).target if isinstance(target, (str, Connection)) else "the channel"


def _unanswered(named: str) -> AssayError:
    """What a time limit means if there was no connection: gRPC's own text names no address."""
    return DeadlineExceeded(
        f"no connection to {named} within the time limit: is the service running there, and is "
        "the address right?",
        code=grpc.StatusCode.DEADLINE_EXCEEDED,
    )


def _without_result() -> AssayError:
    return InternalError("the stream ended without a result", code=grpc.StatusCode.INTERNAL)
