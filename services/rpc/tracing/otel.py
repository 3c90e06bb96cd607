"""Tracing with OpenTelemetry. The standard OTEL_* variables say where spans go, and how many."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from importlib import metadata
from threading import Thread
from typing import Any

import structlog
from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.grpc import aio_client_interceptors
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from services.rpc.tracing.tracing import ServerSpan, Tracing

_VERSION = metadata.version("assay-services")
# How long a process waits at its end for a collector that does not answer.
_CLOSE_SECONDS = 3.0


class OtelTracing(Tracing):
    """Makes spans, and sends them from its own thread."""

    def __init__(self, service: str) -> None:
        # Not the process's global provider, so that no other library starts to trace.
        self._provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("assay", _VERSION)

    def serve(
        self,
        name: str,
        headers: Iterable[tuple[str, str | bytes]],
        attributes: Mapping[str, str | int],
    ) -> ServerSpan:
        """As in `Tracing`.

        OpenTelemetry's own server interceptor is not used: it reports a cancelled call as OK,
        accepts no coroutine for a stream of answers, and logs an error for each stream that its
        caller leaves.
        """
        carrier = {key: value for key, value in headers if isinstance(value, str)}
        caller = propagate.extract(carrier)
        span = self._tracer.start_span(name, caller, SpanKind.SERVER, attributes)
        # Never detached: every call has its own task, and so its own context.
        context.attach(trace.set_span_in_context(span, caller))
        return _OtelServerSpan(span)

    def span(
        self, name: str, attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[object]:
        """As in `Tracing`."""
        return self._tracer.start_as_current_span(name, attributes=attributes)

    def request(
        self, name: str, attributes: Mapping[str, str | int]
    ) -> AbstractContextManager[object]:
        """As in `Tracing`."""
        if not trace.get_current_span().is_recording():
            return nullcontext()
        return self._tracer.start_as_current_span(
            name,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            # The error's text may name the other system's server, which only the operator should
            # know.
            record_exception=False,
            set_status_on_exception=False,
        )

    def worked(
        self, parts: Iterable[tuple[str, float]], attributes: Mapping[str, str | int]
    ) -> None:
        """As in `Tracing`."""
        if not trace.get_current_span().is_recording():
            return
        timed = [(name, round(seconds * 1e9)) for name, seconds in parts]
        at = time.time_ns() - sum(length for _, length in timed)
        for name, length in timed:
            span = self._tracer.start_span(name, attributes=attributes, start_time=at)
            at += length
            span.end(at)

    def detached(self) -> Context:
        """As in `Tracing`."""
        made, current = Context(), trace.get_current_span()
        made.run(context.attach, trace.set_span_in_context(current, context.Context()))
        return made

    def client_interceptors(self) -> tuple[Any, ...]:
        """As in `Tracing`."""
        return tuple(aio_client_interceptors(self._provider))  # type: ignore[no-untyped-call]

    def watch_redis(self, client: Any) -> None:
        """As in `Tracing`; a command without a recorded parent span makes no span.

        Otherwise a call that is not recorded would cost nearly as much as one that is.
        """
        # The instrumentation imports redis, which only the ranker has.
        from opentelemetry.instrumentation.redis import RedisInstrumentor  # noqa: PLC0415

        plain = client.execute_command
        RedisInstrumentor.instrument_client(client, self._provider)
        traced = client.execute_command

        def execute(*words: Any, **options: Any) -> Any:
            recorded = trace.get_current_span().is_recording()
            return (traced if recorded else plain)(*words, **options)

        client.execute_command = execute

    def log_processors(self) -> tuple[structlog.typing.Processor, ...]:
        """As in `Tracing`."""
        return (_add_span,)

    async def close(self) -> None:
        """As in `Tracing`."""
        # The process does not wait for this thread at its end: the exporter keeps trying.
        sending = Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, _CLOSE_SECONDS)


class _OtelServerSpan(ServerSpan):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def end(self, attributes: Mapping[str, str | int], problem: str | None = None) -> None:
        self._span.set_attributes(attributes)
        if problem is not None:
            self._span.set_status(Status(StatusCode.ERROR, problem))
        self._span.end()


def _resource(service: str) -> Resource:
    own = {
        "service.name": f"assay-{service}",
        "service.version": _VERSION,
        "host.name": socket.gethostname(),
    }
    # The environment takes precedence: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
    return Resource.create({**own, **OTELResourceDetector().detect().attributes})


def _add_span(
    _logger: Any, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    current = trace.get_current_span().get_span_context()
    if current.is_valid:
        event["trace_id"] = trace.format_trace_id(current.trace_id)
        event["span_id"] = trace.format_span_id(current.span_id)
    return event
