"""What every part of a service sees of tracing. Where it is off, nothing happens here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import Any

import structlog


class ServerSpan:
    """The span of one incoming call or request."""

    def end(self, attributes: Mapping[str, str | int], problem: str | None = None) -> None:
        """End it with what is known now. `problem` is said where the fault is the server's."""


_NO_SPAN = ServerSpan()


class Tracing:
    """Makes no spans."""

    def serve(
        self,
        name: str,  # noqa: ARG002
        headers: Iterable[tuple[str, str | bytes]],  # noqa: ARG002
        attributes: Mapping[str, str | int],  # noqa: ARG002
    ) -> ServerSpan:
        """Begin the span of an incoming call, below the caller's that its headers name.

        It is this task's current span from now on, and of the tasks that it starts.
        """
        return _NO_SPAN

    def span(
        self,
        name: str,  # noqa: ARG002
        attributes: Mapping[str, str | int],  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        """Return a context manager that is a span of work, below the current one."""
        return nullcontext()

    def request(
        self,
        name: str,  # noqa: ARG002
        attributes: Mapping[str, str | int],  # noqa: ARG002
    ) -> AbstractContextManager[object]:
        """Return a context manager that is a span of asking another system, such as a database.

        It is below the current one; without a current one that is recorded there is none.
        """
        return nullcontext()

    def worked(
        self,
        parts: Iterable[tuple[str, float]],
        attributes: Mapping[str, str | int],
    ) -> None:
        """Make spans of work that has just ended, below the current one if that is recorded.

        `parts` are names and seconds, one after the other, the last of which ends now.
        """

    def detached(self) -> Context:
        """Make a context that has the current span, and nothing else of this task's."""
        return Context()

    def client_interceptors(self) -> tuple[Any, ...]:
        """Interceptors of a channel of grpc.aio whose calls are spans and carry them on."""
        return ()

    def watch_redis(self, client: Any) -> None:
        """Make every command of an asyncio client of Redis a span."""

    def log_processors(self) -> tuple[structlog.typing.Processor, ...]:
        """What adds the current span to log lines, as `trace_id` and `span_id`."""
        return ()

    async def close(self) -> None:
        """Send what has ended, for a few seconds at most."""
