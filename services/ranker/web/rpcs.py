"""The ranker's reads as JSON: the contract over Connect and gRPC-Web.

The methods that change nothing are served, and no others: a page of another site can make a browser
send a request here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog
from assay_rpc.ranker.v1 import compare_pb2, ranker_pb2, verification_pb2
from connectrpc.code import Code
from connectrpc.compat import google_protobuf_codecs
from connectrpc.errors import ConnectError, ErrorDetail
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf import descriptor_pb2
from google.protobuf.message_factory import GetMessageClass
from protobuf.wkt import Any as WireAny
from starlette.routing import BaseRoute, Route

from services.errors import AssayError, InternalError
from services.rpc import status
from services.rpc.call import require_fits

PREFIX = "/assay."
"""How the paths of methods begin."""

_log = structlog.get_logger(__name__)
_SERVICES = (
    ranker_pb2.DESCRIPTOR.services_by_name["RankerService"],
    verification_pb2.DESCRIPTOR.services_by_name["VerificationService"],
)


def rpcs(servicers: tuple[Any, ...], max_bytes: int) -> list[BaseRoute]:
    """Routes of the methods that change nothing, of RankerService and of VerificationService.

    A request may have `max_bytes`.
    """
    # A route for each, and no prefix: what is served is what the policy was asked about.
    return [
        Route(path, served)
        for service, servicer in zip(_SERVICES, servicers, strict=True)
        for served in (_Service(service, servicer, max_bytes),)
        for path in _paths(service)
    ]


def refusal(error: AssayError, request_id: str) -> tuple[str, bytes]:
    """Content type and body of an error, as the Connect protocol has it."""
    found = status.status_of(error, request_id)
    details = [
        {"type": one.TypeName(), "value": base64.b64encode(one.value).decode().rstrip("=")}
        for one in found.details
    ]
    body = {"code": _code(error).value, "message": found.message, "details": details}
    return "application/json", json.dumps(body).encode()


class _Service(ConnectASGIApplication[Any]):  # type: ignore[misc, unused-ignore]
    """One service of the contract."""

    def __init__(self, service: Any, servicer: Any, max_bytes: int) -> None:
        self._path = f"/{service.full_name}"
        endpoints: dict[str, Any] = {
            path: _endpoint(method, getattr(servicer, method.name), max_bytes)
            for path, method in _paths(service).items()
        }
        super().__init__(
            service=servicer,
            endpoints=lambda _: endpoints,
            read_max_bytes=max_bytes,
            codecs=google_protobuf_codecs(),
        )

    @property
    def path(self) -> str:
        """Where its methods are."""
        return self._path


def _paths(service: Any) -> dict[str, Any]:
    """The methods that are served, by path: "/package.Service/Method"."""
    free = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    return {
        f"/{service.full_name}/{method.name}": method
        for method in service.methods
        if method.GetOptions().idempotency_level == free
    }


METHODS = frozenset(path for service in _SERVICES for path in _paths(service))
"""Paths of the methods that are served."""


def _endpoint(method: Any, behavior: Any, max_bytes: int) -> Any:
    info: MethodInfo[Any, Any] = MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.NO_SIDE_EFFECTS,
        stream_type=StreamType.SERVER_STREAM if method.server_streaming else StreamType.UNARY,
    )
    if method.server_streaming:
        return Endpoint.server_stream(info, _stream(behavior, max_bytes))
    return Endpoint.unary(info, _unary(behavior, max_bytes))


def _unary(behavior: Any, max_bytes: int) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: Any) -> Any:  # noqa: ARG001  connectrpc passes it
        try:
            require_fits("the request", request, max_bytes)
            reply = await behavior(request, None)
        except Exception as error:
            raise _translated(error) from error
        # Compare gives its reply serialised, as it is cached.
        return compare_pb2.CompareResponse.FromString(reply) if isinstance(reply, bytes) else reply

    return call


def _stream(behavior: Any, max_bytes: int) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: ARG001
        try:
            require_fits("the request", request, max_bytes)
            async for reply in behavior(request, None):
                yield reply
        except Exception as error:
            raise _translated(error) from error

    return call


def _translated(error: Exception) -> ConnectError:
    """What a caller learns of an error; the log has errors that are not for callers."""
    request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
    if not isinstance(error, AssayError):
        _log.exception("unexpected error", exc_info=error)
        error = InternalError(
            f"internal error; the server's log has it under request id {request_id}"
        )
    found = status.status_of(error, request_id)
    details = [
        ErrorDetail(WireAny(type_url=one.type_url, value=one.value)) for one in found.details
    ]
    return ConnectError(_code(error), found.message, details)


def _code(error: AssayError) -> Code:
    name = status.entry_of(error).code.name
    return Code.CANCELED if name == "CANCELLED" else Code[name]
