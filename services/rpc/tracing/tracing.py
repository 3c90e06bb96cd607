"""The interface of tracing for every part of a service. This default does nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import Any

import structlog


class ServerSpan:
    """The span of one incoming call or request."""

    def end(self, attributes: Mapping[str, str | int], problem: str | None = None) -> None:
        """End the span with what is known now; record `problem` if the server is to blame."""


_NO_SPAN = ServerSpan()


class Tracing:
    """Makes no spans."""

    def serve(
        self,
        name: str,  # noqa: ARG002
        headers: Iterable[tuple[str, str | bytes]],  # noqa: ARG002
        attributes: Mapping[str, str | int],  # noqa: ARG002
    ) -> ServerSpan:
        """Begin the span of an incoming call, below the caller's span that its headers name.

        The span becomes current for this task and for tasks that it starts.
        """
        return _NO_SPAN

    def span(
        self,
        name: str,  # noqa: ARG002
        attributes: Mapping[str, str | int],  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        """Return a context manager that makes a span of work, below the current span."""
        return nullcontext()

    def request(
        self,
        name: str,  # noqa: ARG002
        attributes: Mapping[str, str | int],  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        """Return a context manager that makes a span of a request to a database or other system.

        The span is below the current one; without a recorded current span, no span is made.
        """
        return nullcontext()

    def worked(
        self,
        parts: Iterable[tuple[str, float]],
        attributes: Mapping[str, str | int],
    ) -> None:
        """Make spans of work that has just ended, below the current span if that is recorded.

        `parts` are consecutive (name, seconds); the last part ends now.
        """

    def detached(self) -> Context:
        """Make a context with the current span, and nothing else from this task."""
        return Context()

    def client_interceptors(self) -> tuple[Any, ...]:
        """Interceptors of a grpc.aio channel that make spans of its calls and propagate them."""
        return ()

    def watch_redis(self, client: Any) -> None:
        """Make a span of every command that an asyncio Redis client sends."""

    def log_processors(self) -> tuple[structlog.typing.Processor, ...]:
        """Log processors that add the current span to log lines, as `trace_id` and `span_id`."""
        return ()

    async def close(self) -> None:
        """Send ended spans, for at most a few seconds."""
