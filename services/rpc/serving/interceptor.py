"""Surrounds every call: request id, deadline, log line, metrics, and errors turned to statuses."""

from __future__ import annotations

import inspect
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import Message

from services.common.identity import ANONYMOUS
from services.errors import AssayError, InternalError, Unavailable
from services.rpc import status
from services.rpc.access.access import Access
from services.rpc.access.roles import Role, required
from services.rpc.call import host_of, note_deadline, remaining, require_short_lists
from services.rpc.serving.decoding import Sizes, marking
from services.rpc.serving.health import Health
from services.rpc.serving.intake import Intake
from services.rpc.serving.metrics import CallMetrics
from services.rpc.serving.receiving import CountedOne, Receiving, Uncounted, WatchedStream
from services.rpc.tracing.tracing import Tracing

REQUEST_ID_KEY = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
# Probes call these every few seconds, and need them before the service is ready.
_REFLECTION = "/grpc.reflection."
_INFRASTRUCTURE = ("/grpc.health.", _REFLECTION)
# With these codes the server is to blame, not the caller.
_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_log = structlog.get_logger(__name__)
_audit = structlog.get_logger("assay.audit")

Context = grpc.aio.ServicerContext[Any, Any]
if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any] | None


class CallInterceptor(grpc.aio.ServerInterceptor):
    """The server's only interceptor; handles all four shapes of call."""

    def __init__(
        self,
        metrics: CallMetrics,
        health: Health,
        access: Access,
        *,
        max_request_bytes: int,
        probes: frozenset[str] = frozenset(),
        max_held_bytes: int = 0,
        tracing: Tracing,
    ) -> None:
        """Calls get UNAVAILABLE until `health` says that the service is ready.

        The methods `probes` answer even before. `access` says who may call what. A request over
        `max_request_bytes` is refused with TOO_LARGE. A request that would raise the total above
        `max_held_bytes` is refused with OVERLOADED; 0 means no limit.
        """
        self._intake = Intake(max_held_bytes) if max_held_bytes else None
        self._metrics = metrics
        self._health = health
        self._access = access
        self._max_request_bytes = max_request_bytes
        self._probes = probes
        self._tracing = tracing
        self._untraced = Tracing()
        self.ended = 0
        """Calls that have ended, except probes."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wraps the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None:  # gRPC answers UNIMPLEMENTED
            return handler
        method = handler_call_details.method
        behavior = (
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream
        )
        requests = self._receiving(method, handler)
        wrap: Callable[..., Any]
        if not handler.response_streaming:
            wrap = (
                grpc.stream_unary_rpc_method_handler
                if requests.streamed
                else grpc.unary_unary_rpc_method_handler
            )
            wrapped: Callable[..., Any] = self._unary(method, behavior, requests)
        else:
            wrap = (
                grpc.stream_stream_rpc_method_handler
                if requests.streamed
                else grpc.unary_stream_rpc_method_handler
            )
            # A coroutine that answers with context.write() works like a generator.
            streams = inspect.isasyncgenfunction(behavior)
            wrapped = (self._stream if streams else self._unary)(method, behavior, requests)
        serialize = _serializer(handler.response_serializer)
        return wrap(wrapped, requests.deserialize, serialize)

    def _receiving(self, method: str, handler: Any) -> Receiving:
        """Return how a call of the method gets its requests."""
        if not handler.request_streaming:
            deserialize = marking(handler.request_deserializer, self._max_request_bytes)
            if self._intake is None or self._is_quiet(method):
                return Uncounted(deserialize, None)
            return CountedOne(self._intake, deserialize)
        sizes = Sizes()
        # A stream's own method checks the sizes of its messages.
        deserialize = marking(handler.request_deserializer, sizes=sizes)
        if self._intake is None or self._is_quiet(method):
            return Uncounted(deserialize, sizes)
        return WatchedStream(self._intake, deserialize, sizes)

    def _begin(self, method: str, context: Context) -> _Call:
        quiet = self._is_quiet(method)
        # Probes come from callers that cannot sign in, and reveal only whether the server is ready.
        access = None if quiet and not method.startswith(_REFLECTION) else self._access
        tracing = self._untraced if quiet else self._tracing
        return _Call(self._metrics, method, context, access, tracing=tracing, quiet=quiet)

    def _end(self, record: _Call, requests: Receiving) -> None:
        requests.close()
        record.end()
        self.ended += not record.quiet

    def _is_quiet(self, method: str) -> bool:
        return method in self._probes or method.startswith(_INFRASTRUCTURE)

    async def _received(self, request: Any, requests: Receiving) -> Any:
        """Refuses a message that is too large or of another type, and lists that are too long."""
        received = await requests.receive(request)
        if isinstance(received, Message):
            require_short_lists(received)
        return received

    def _unary(
        self, method: str, behavior: Any, requests: Receiving
    ) -> Callable[[Any, Context], Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            record = self._begin(method, context)
            try:
                record.begin(serving=self._health.serving)
                reply = await behavior(await self._received(request, requests), context)
                record.succeed()
            except BaseException as error:
                await record.fail(error)
                raise
            finally:
                self._end(record, requests)
            return reply

        return call

    def _stream(
        self, method: str, behavior: Any, requests: Receiving
    ) -> Callable[[Any, Context], AsyncIterator[Any]]:
        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            record = self._begin(method, context)
            replies = None
            try:
                record.begin(serving=self._health.serving)
                replies = behavior(await self._received(request, requests), context)
                async for reply in replies:
                    yield reply
                record.succeed()
            except BaseException as error:
                await record.fail(error)
                raise
            finally:
                if replies is not None:
                    await replies.aclose()
                self._end(record, requests)

        return call


class _Call:
    """One call, from its arrival to its log line."""

    def __init__(
        self,
        metrics: CallMetrics,
        method: str,
        context: Context,
        access: Access | None,
        *,
        tracing: Tracing,
        quiet: bool,
    ) -> None:
        self._access = access
        self._caller = ANONYMOUS
        self._metrics = metrics
        self._method = method
        self._context = context
        self._labels = tuple(method.lstrip("/").split("/", 1))
        self.quiet = quiet
        """Whether this is a probe's call."""
        self._code = grpc.StatusCode.OK
        self._message: str | None = None
        self._start = time.perf_counter()
        # Read now: a generator whose caller left may end after gRPC has freed the call, and reading
        # then would crash the process.
        self._peer = context.peer()
        self._request_id = _request_id(context)
        structlog.contextvars.bind_contextvars(request_id=self._request_id)
        self._span = tracing.serve(
            method.lstrip("/"),
            context.invocation_metadata() or (),
            {
                "rpc.system": "grpc",
                "rpc.service": self._labels[0],
                "rpc.method": self._labels[-1],
                "client.address": host_of(self._peer),
                "assay.request_id": self._request_id,
            },
        )
        metrics.started.labels(*self._labels).inc()
        metrics.in_flight.labels(*self._labels).inc()

    def begin(self, *, serving: bool) -> None:
        """Refuses a call that the caller may not make, or that is too early or too late."""
        if self._access is not None:
            # Identify the caller before admitting it, so that the log names a refused caller.
            self._caller = self._access.identify(self._context)
            self._access.admit_as(self._method, self._caller, host_of(self._peer))
        if not serving and not self.quiet:
            raise Unavailable("the service is starting or stopping; try again")
        note_deadline(self._context)

    def succeed(self) -> None:
        """Adds the request id to the trailers that the servicer set."""
        self._context.set_trailing_metadata(
            (*self._context.trailing_metadata(), (REQUEST_ID_KEY, self._request_id))
        )
        self._code = _code(self._context)

    async def fail(self, error: BaseException) -> None:
        """Ends the call with the error's status; returns if gRPC itself ends the call."""
        if isinstance(error, grpc.aio.AbortError):  # the servicer chose the status itself
            self._code = _code(self._context)
            return
        if not isinstance(error, Exception) or isinstance(error, grpc.aio.InternalError):
            # Cancelled by the caller or the deadline, a generator that gRPC closed, or a message
            # that cannot be sent because the caller left during the write.
            late = remaining(self._context) == 0
            cancelled = grpc.StatusCode.CANCELLED
            self._code = grpc.StatusCode.DEADLINE_EXCEEDED if late else cancelled
            return
        if isinstance(error, AssayError):
            shown = error
        else:
            _log.exception("unexpected error", method=self._method, exc_info=error)
            shown = InternalError(
                f"internal error; the server's log has it under request id {self._request_id}"
            )
        reply = status.status_of(shown, self._request_id)
        self._code = status.entry_of(shown).code
        self._message = reply.message
        if self._context.done() or self._context.cancelled():
            return
        trailers = (*status.trailers_of(shown, reply), (REQUEST_ID_KEY, self._request_id))
        await self._context.abort(self._code, reply.message, trailers)

    def end(self) -> None:
        """Counts the call and writes its log line."""
        seconds = time.perf_counter() - self._start
        name = self._code.name
        self._metrics.in_flight.labels(*self._labels).dec()
        self._metrics.handled.labels(*self._labels, name).inc()
        self._metrics.seconds.labels(*self._labels, name).observe(seconds)
        fields: dict[str, Any] = {
            "method": self._method,
            "code": name,
            "seconds": round(seconds, 6),
            "peer": self._peer,
        }
        if self._message is not None:
            fields["error"] = self._message
        if self._caller.verified:
            fields["caller"] = self._caller.name
        (_log.debug if self.quiet else _log.info)("call", **fields)
        problem = (self._message or name) if self._code in _FAULTS else None
        self._span.end({"rpc.grpc.status_code": self._code.value[0]}, problem)
        role = required(self._method)
        if role is not Role.READ and not self.quiet:
            # The audit trail: every call that could change something, by any caller.
            _audit.info("change", role=role, **{"caller": self._caller.name, **fields})


def _request_id(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex


def _code(context: Context) -> grpc.StatusCode:
    """The context's status code, which grpc.aio keeps as an integer."""
    value = context.code()
    if isinstance(value, grpc.StatusCode):
        return value
    return _CODES.get(value, grpc.StatusCode.OK)


def _serializer(serialize: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """Allow a servicer to answer with a message that it has already serialised."""
    if serialize is None:
        return None
    return lambda message: message if isinstance(message, bytes) else serialize(message)
