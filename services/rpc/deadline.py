"""How much time the incoming call has left."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Protocol

from services.errors import DeadlineExceeded


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


def enter(context: HasDeadline) -> None:
    """Notes the call's deadline for this task and those it starts; refuses one already past.

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
