"""Refuses messages that are too large or not of the method's type, with details, and counts them.

gRPC ends a call whose message cannot be decoded as UNKNOWN, with a traceback in the log, before any
interceptor runs. So the decoder returns a mark for such a message, and the interceptor refuses it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from services.errors import AssayError, InvalidArgument
from services.rpc import status
from services.rpc.call import require_size

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any] | None


class _Refused:
    """The mark of a refused message, with its error."""

    def __init__(self, error: AssayError) -> None:
        self.error = error


class Sizes:
    """Size of the last message that a stream has read."""

    def __init__(self) -> None:
        self.last: int | None = None
        """Bytes; None before the first message."""


def marking(
    deserialize: Callable[[bytes], Any] | None,
    max_bytes: int | None = None,
    sizes: Sizes | None = None,
) -> Callable[[bytes], Any] | None:
    """Return a decoder that returns a mark for a message that cannot be decoded.

    A message of more than `max_bytes` gets a mark without being decoded. `sizes` gets each
    message's size here: later, its size could be found only by encoding it again.
    """
    if deserialize is None:
        return None

    def read(message: bytes) -> Any:
        if sizes is not None:
            sizes.last = len(message)
        try:
            if max_bytes is not None:
                require_size("the request", len(message), max_bytes)
            return deserialize(message)
        except AssayError as error:
            return _Refused(error)
        except DecodeError as error:
            problem = f"is not a message of the method's type: {error}"
            return _Refused(InvalidArgument("request", problem))

    return read


def decoded(request: Any) -> Any:
    """Return the request. Raises TooLarge or InvalidArgument if it is a mark."""
    if isinstance(request, _Refused):
        raise request.error
    return request


class Requests(AsyncIterator[Any]):
    """The requests of a stream; raises TooLarge or InvalidArgument on reaching a mark."""

    def __init__(self, requests: AsyncIterator[Any], sizes: Sizes) -> None:
        self._requests = requests
        self._sizes = sizes

    @property
    def last_bytes(self) -> int | None:
        """Bytes on the wire of the last message returned, for `rpc.call.encoded_size`."""
        return self._sizes.last

    async def __anext__(self) -> Any:
        return decoded(await anext(self._requests))


class ProbeInterceptor(grpc.aio.ServerInterceptor):
    """Refuses marked messages at the health port, whose methods are coroutines; counts nothing."""

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
