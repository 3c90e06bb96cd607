"""What an outgoing call inherits from the call being served: the request id and the time left."""

from __future__ import annotations

from typing import TypedDict

import structlog

from services.errors import DeadlineExceeded
from services.rpc.call import left_of_call
from services.rpc.serving.interceptor import REQUEST_ID_KEY


class CallOptions(TypedDict):
    """Keyword arguments of a stub's method."""

    timeout: float
    metadata: tuple[tuple[str, str], ...]


def outgoing(limit: float) -> CallOptions:
    """Arguments for an outgoing call of at most `limit` seconds: `stub.GetModel(r, **outgoing(5))`.

    The deadline is the sooner of `limit` and what is left of the call that this task serves. Raises
    DeadlineExceeded if no time is left. The channel must come from `assay_rpc.channel.connect`.
    """
    left = left_of_call()
    timeout = limit if left is None else min(limit, left)
    if timeout <= 0:
        raise DeadlineExceeded("the deadline passed before a call to another service was made")
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    metadata = ((REQUEST_ID_KEY, str(request_id)),) if request_id else ()
    return CallOptions(timeout=timeout, metadata=metadata)
