"""RankerService with a Compare that answers with bytes.

A cached comparison is kept as the bytes that are sent. Reading them into a message for gRPC to
write out again would cost more than all the rest of the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import grpc
from assay.ranker.v1 import ranker_pb2, ranker_pb2_grpc

_NAME = ranker_pb2.DESCRIPTOR.services_by_name["RankerService"].full_name


def add(servicer: ranker_pb2_grpc.RankerServiceServicer, server: grpc.aio.Server) -> None:
    """Add the service to a server; its `Compare` returns a serialised CompareResponse."""
    recorder = _Recorder()
    ranker_pb2_grpc.add_RankerServiceServicer_to_server(servicer, cast("grpc.aio.Server", recorder))
    handlers = dict(recorder.handlers)
    handlers["Compare"] = grpc.unary_unary_rpc_method_handler(
        servicer.Compare,
        request_deserializer=ranker_pb2.CompareRequest.FromString,
        response_serializer=bytes,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_NAME, handlers),))


class _Recorder:
    """Stands where a server is expected and keeps the handlers that the stubs make."""

    def __init__(self) -> None:
        self.handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[object]) -> None:
        """The same handlers in another form."""

    def add_registered_method_handlers(
        self,
        name: str,  # noqa: ARG002  # the stubs pass it
        handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]],
    ) -> None:
        """Keep the handlers."""
        self.handlers = handlers
