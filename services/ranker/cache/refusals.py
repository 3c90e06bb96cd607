"""Errors that a computation gives again for the same input, as bytes and back.

Pure. Only errors that are the caller's and that time does not cure are kept; `Unavailable` and its
like never are.
"""

from __future__ import annotations

import json

from services.errors import AssayError, InvalidArgument, NotFound, PreconditionFailed


def encode(error: Exception) -> bytes | None:
    """The bytes of an error that may be kept; None for every other."""
    if type(error) is InvalidArgument:
        parts: list[object] = ["invalid", error.field, error.problem]
    elif type(error) is NotFound:
        parts = ["unknown", error.kind, error.name, error.known]
    elif type(error) is PreconditionFailed:
        parts = ["precondition", str(error)]
    else:
        return None
    return json.dumps(parts).encode()


def decode(content: bytes) -> AssayError:
    """The error that `encode` made the bytes of; raises ValueError for others."""
    kind, *parts = json.loads(content)
    if kind == "invalid":
        return InvalidArgument(*parts)
    if kind == "unknown":
        return NotFound(*parts)
    if kind == "precondition":
        return PreconditionFailed(*parts)
    raise ValueError(f"{kind!r} is no kind of refusal")
