"""What calls to segment and to corpus have in common: limits, failures, streams with a result."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from assay_rpc import errors as rpc_errors

from services.errors import (
    AssayError,
    DeadlineExceeded,
    InternalError,
    LicenseNotAccepted,
    Overloaded,
    Unavailable,
    Unsupported,
)

LOOK_UP_SECONDS = 10.0
"""Limit of a call that only reads."""

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


async def last(call: Any, field: str, ended: str) -> Any:
    """Follow a stream of updates to its end; return the result that `field` of the last has.

    The call is cancelled if this is. Raises `InternalError`, which begins with `ended`, when the
    stream has no result.
    """
    result = None
    try:
        async for update in call:
            if update.WhichOneof("update") == field:
                result = getattr(update, field)
    finally:
        call.cancel()
    if result is None:
        raise InternalError(f"{ended} without a result")
    return result


def _error(peer: str, limit: float, error: grpc.aio.AioRpcError) -> AssayError:
    code, details = error.code(), error.details() or "it gave no reason"
    # CANCELLED: it stopped before it looked at the call, see `assay_rpc.channel`.
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return Unavailable(f"{peer} cannot be reached")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{peer} did not answer within {limit:.3g} s")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Overloaded(f"{peer} is busy: {details}", _RETRY_SECONDS)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Unsupported(details)
    if isinstance(rpc_errors.AssayError.of(error), rpc_errors.LicenseNotAccepted):
        return LicenseNotAccepted(details)
    return InternalError(f"{peer} refused with {code.name}: {details}")
