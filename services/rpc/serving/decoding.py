"""Messages that are not of their method's type: refused as INVALID_ARGUMENT, and counted.

gRPC ends a call whose message cannot be decoded as UNKNOWN, with a traceback in the log, before
any interceptor hears of it. So such a message becomes a mark that the interceptor sees.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from services.errors import AssayError, InvalidArgument
from services.rpc import status

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any] | None


class _Undecodable:
    """Stands for a message; says what is wrong with it."""

    def __init__(self, problem: str) -> None:
        self.problem = problem


def marking(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Return what decodes messages, and gives a mark for one that cannot be decoded."""
    if deserialize is None:
        return None

    def read(message: bytes) -> Any:
        try:
            return deserialize(message)
        except DecodeError as error:
            return _Undecodable(str(error))

    return read


def decoded(request: Any) -> Any:
    """Return the request, each of a stream's when its turn comes.

    Raises InvalidArgument for a mark.
    """
    if isinstance(request, AsyncIterator):
        return _each(request)
    if isinstance(request, _Undecodable):
        raise InvalidArgument("request", f"is no message of the method's type: {request.problem}")
    return request


async def _each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for one in requests:
        yield decoded(one)


class ProbeInterceptor(grpc.aio.ServerInterceptor):
    """Refuses with details at the health port, whose methods are coroutines; nothing is counted."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wraps the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        behavior: Any = handler.unary_unary or handler.unary_stream

        async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                return await behavior(decoded(request), context)
            except AssayError as error:
                reply = status.status_of(error, "")
                code, trailers = status.entry_of(error).code, status.trailers_of(error, reply)
                await context.abort(code, reply.message, tuple(trailers))

        wrap: Any = (
            grpc.unary_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        wrapped: Handler = wrap(
            call, marking(handler.request_deserializer), handler.response_serializer
        )
        return wrapped
