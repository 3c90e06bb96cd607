"""The size of a message. The transport's own limit is wider: its refusal has no details."""

from __future__ import annotations

from google.protobuf.message import Message

from services.errors import TooLarge


def require_fits(what: str, message: Message, limit: int) -> None:
    """Raise TooLarge if the message, called `what`, has more than `limit` bytes."""
    size = message.ByteSize()
    if size > limit:
        raise TooLarge(
            f"{what} has {size:,} bytes and the server takes {limit:,}; send less in one message"
        )
