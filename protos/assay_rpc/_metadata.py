"""Interceptors that add a connection's metadata to every call of a channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio

Pairs = tuple[tuple[str, str], ...]


class _Details(grpc.ClientCallDetails):
    """The details of a call, with more metadata. gRPC gives no class that can be made."""

    def __init__(self, details: grpc.ClientCallDetails, added: Pairs) -> None:
        self.method = details.method
        self.timeout = details.timeout
        self.metadata = (*(details.metadata or ()), *added)
        self.credentials = details.credentials
        self.wait_for_ready = details.wait_for_ready
        self.compression = details.compression


class _Blocking(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self, added: Pairs) -> None:
        self._added = added

    def _call(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(_Details(details, self._added), request)

    intercept_unary_unary: Any = _call
    intercept_unary_stream: Any = _call
    intercept_stream_unary: Any = _call
    intercept_stream_stream: Any = _call


class _Async:
    def __init__(self, added: Pairs) -> None:
        self._added = added

    async def _call(
        self, continuation: Callable[..., Any], details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        sent = grpc.aio.Metadata(*(details.metadata or ()), *self._added)
        return await continuation(
            grpc.aio.ClientCallDetails(
                details.method, details.timeout, sent, details.credentials, details.wait_for_ready
            ),
            request,
        )


class _AsyncUnaryUnary(_Async, grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary: Any = _Async._call


class _AsyncUnaryStream(_Async, grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream: Any = _Async._call


class _AsyncStreamUnary(_Async, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary: Any = _Async._call


class _AsyncStreamStream(_Async, grpc.aio.StreamStreamClientInterceptor):
    intercept_stream_stream: Any = _Async._call


def adding(channel: grpc.Channel, added: Pairs) -> grpc.Channel:
    """The channel, whose calls send `added` too."""
    return grpc.intercept_channel(channel, _Blocking(added)) if added else channel


def async_interceptors(added: Pairs) -> Sequence[grpc.aio.ClientInterceptor]:
    """Interceptors of a channel whose calls send `added` too."""
    kinds = (_AsyncUnaryUnary, _AsyncUnaryStream, _AsyncStreamUnary, _AsyncStreamStream)
    return [kind(added) for kind in kinds] if added else []
