"""What a servicer can ask about the call that it serves: its deadline, caller and size."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol
from urllib.parse import unquote

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.common import identity
from services.errors import DeadlineExceeded, InvalidArgument, TooLarge

CLIENT_ID_KEY = "assay-client-id"
# The contract's limits; the Open Inference protocol sets none.
_OWN = "assay."
_MAX_ELEMENTS = 1_000
_LONGER_LISTS = {
    "assay.segment.v1.SegmentImageRequest.classes": 65_536,
    "assay.corpus.v1.StreamCorpusRequest.resume": 65_536,
    "assay.corpus.v1.ScoreTextsRequest.texts": 65_536,
}


class HasDeadline(Protocol):
    """The part of a grpc.aio.ServicerContext that knows the deadline."""

    def time_remaining(self) -> float | None:
        """Seconds left; None without a deadline."""


# Deadline of the call that this task serves, on time.monotonic()'s clock.
_due: ContextVar[float | None] = ContextVar("assay_call_due", default=None)


def remaining(context: HasDeadline) -> float | None:
    """Seconds left of the incoming call, at least 0; None when the caller set no deadline."""
    left = context.time_remaining()
    return None if left is None else max(left, 0.0)


def note_deadline(context: HasDeadline) -> None:
    """Keep the call's deadline for this task and the tasks it starts; refuse a past deadline.

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
    """The caller for fair queueing: the verified identity, else the client's own id.

    A caller with neither is identified by its connection. Call this before the call is answered.
    """
    who = identity.current()
    if who.verified:
        return f"verified {who.name}"
    for key, value in context.invocation_metadata() or ():
        if key == CLIENT_ID_KEY and value:
            return f"id {value!s}"  # so that no client's id equals a connection
    return f"peer {context.peer()}"


def host_of(peer: str) -> str:
    """The address in gRPC's name of a connection: "ipv4:10.0.0.1:123", "ipv6:%5B::1%5D:123"."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return peer
    return unquote(rest.rpartition(":")[0]).strip("[]")


def encoded_size(requests: object, message: Message) -> int:
    """Bytes on the wire of `message`, the last one read from the call's stream `requests`.

    The stream knows the size. Computing it would encode the message again: a picture of 63 MB would
    block the event loop for a tenth of a second.
    """
    size = getattr(requests, "last_bytes", None)
    return message.ByteSize() if size is None else int(size)


def require_fits(what: str, message: Message, limit: int, size: int | None = None) -> None:
    """Raise TooLarge if the message, called `what` in the error, has more than `limit` bytes.

    `size` is the message's size in bytes, if known. The transport's own limit is higher, because
    its refusal has no details. Raises also what `require_short_lists` raises.
    """
    require_size(what, message.ByteSize() if size is None else size, limit)
    require_short_lists(message)


def require_size(what: str, size: int, limit: int) -> None:
    """Raise TooLarge if `size` is more than `limit` bytes; `what` names the thing in the error."""
    if size > limit:
        raise TooLarge(
            f"{what} has {size:,} bytes and the server takes {limit:,}; send less in one message"
        )


def require_short_lists(message: Message) -> None:
    """Raise InvalidArgument for a list or map that is longer than the contract allows.

    Checking millions of names would keep the server from every other call.
    """
    if message.DESCRIPTOR.full_name.startswith(_OWN):
        _require_short_lists(message, "")


@cache
def _fields_with_lists(kind: Descriptor) -> tuple[FieldDescriptor, ...]:
    """Return the fields that are lists or may contain lists.

    Other fields are not read: each read of a picture's bytes copies them.
    """
    return tuple(field for field in kind.fields if field.is_repeated or field.message_type)


def _require_short_lists(message: Message, path: str) -> None:
    for field in _fields_with_lists(message.DESCRIPTOR):
        if not field.is_repeated and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        name = f"{path}{field.name}"
        parts: Iterable[Message] = ()
        if field.is_repeated:
            limit = _LONGER_LISTS.get(field.full_name, _MAX_ELEMENTS)
            if len(value) > limit:
                raise InvalidArgument(
                    name, f"has {len(value):,} elements; at most {limit:,} are allowed"
                )
            if field.message_type and not field.message_type.GetOptions().map_entry:
                parts = value
        elif field.message_type:
            parts = (value,)
        for part in parts:
            _require_short_lists(part, f"{name}.")
