"""Who a call comes from, as far as taking turns is concerned. It proves nothing."""

from __future__ import annotations

from typing import Any

import grpc

CLIENT_ID_KEY = "assay-client-id"


def caller(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The client's name for itself, or else its connection. Ask before the call is answered."""
    for key, value in context.invocation_metadata() or ():
        if key == CLIENT_ID_KEY and value:
            return f"id {value!s}"  # so that no name is another's connection
    return f"peer {context.peer()}"
