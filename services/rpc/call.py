"""What a servicer asks about the call that it serves: its deadline, its caller, its size."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Any, Protocol

import grpc
from google.protobuf.message import Message

from services.errors import DeadlineExceeded, TooLarge

CLIENT_ID_KEY = "assay-client-id"


class HasDeadline(Protocol):
    """The part of a grpc.aio.ServicerContext that knows the deadline."""

    def time_remaining(self) -> float | None:
        """Seconds left; None without a deadline."""


# When the call that this task serves must be done, on time.monotonic()'s clock.
_due: ContextVar[float | None] = ContextVar("assay_call_due", default=None)


def remaining(context: HasDeadline) -> float | None:
    """Seconds left of the incoming call, at least 0; None when the caller set no deadline."""
    left = context.time_remaining()
    return None if left is None else max(left, 0.0)


def note_deadline(context: HasDeadline) -> None:
    """Keep the call's deadline for this task and those it starts; refuse one already past.

    Raises DeadlineExceeded.
    """
    left = remaining(context)
    if left is not None and left <= 0:
        raise DeadlineExceeded("the deadline was already past when the call arrived")
    _due.set(None if left is None else time.monotonic() + left)


def left_of_call() -> float | None:
    """Seconds left of the call that this task serves, below 0 once past; None without a deadline.

    A task that outlives the call that started it must be started in a context of its own
    (`asyncio.create_task(..., context=contextvars.Context())`), or it inherits this deadline.
    """
    due = _due.get()
    return None if due is None else due - time.monotonic()


def caller(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The client's name for itself, or else its connection; it shares a quota and proves nothing.

    Ask before the call is answered.
    """
    for key, value in context.invocation_metadata() or ():
        if key == CLIENT_ID_KEY and value:
            return f"id {value!s}"  # so that no name is another's connection
    return f"peer {context.peer()}"


def require_fits(what: str, message: Message, limit: int) -> None:
    """Raise TooLarge if the message, called `what`, has more than `limit` bytes.

    The transport's own limit is wider, because its refusal has no details.
    """
    size = message.ByteSize()
    if size > limit:
        raise TooLarge(
            f"{what} has {size:,} bytes and the server takes {limit:,}; send less in one message"
        )
