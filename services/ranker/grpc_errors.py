"""Failures of outgoing calls as the ranker's own errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from services.errors import AssayError, DeadlineExceeded, InternalError, Overloaded, Unavailable

_RETRY_SECONDS = 5.0


@asynccontextmanager
async def translated(peer: str, limit: float) -> AsyncIterator[None]:
    """Turn a failed call to `peer` into an `AssayError` that says so.

    `limit` is the call's own time limit in seconds, for the message. A cancelled call stays a
    cancellation.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise _error(peer, limit, error) from error


def _error(peer: str, limit: float, error: grpc.aio.AioRpcError) -> AssayError:
    code, details = error.code(), error.details() or "it gave no reason"
    if code is grpc.StatusCode.CANCELLED:
        raise asyncio.CancelledError
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unavailable(f"{peer} cannot be reached")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{peer} did not answer within {limit:.3g} s")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded(f"{peer} is busy: {details}", _RETRY_SECONDS)
    return InternalError(f"{peer} refused with {code.name}: {details}")
