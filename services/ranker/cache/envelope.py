"""What the cache keeps: a payload behind a header that tells whether it may be used.

Pure. The header holds the schema of the payload, whether it is a value or a refusal, when it was
written, and a checksum. A payload of another schema, or damaged, is none.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

_MAGIC = b"assay-cmp"
_HEADER = struct.Struct(">9sHBdI")
"""Magic, schema, kind, seconds since 1970, CRC-32 of the payload that follows."""


class Kind(IntEnum):
    """What a payload is."""

    VALUE = 0
    REFUSAL = 1


@dataclass(frozen=True)
class Envelope:
    """A payload, what it is, and when it was written, in seconds since 1970."""

    kind: Kind
    written: float
    payload: bytes


def pack(envelope: Envelope, schema: int) -> bytes:
    """The bytes that are kept."""
    checksum = zlib.crc32(envelope.payload)
    return (
        _HEADER.pack(_MAGIC, schema, envelope.kind, envelope.written, checksum) + envelope.payload
    )


def unpack(raw: bytes | None, schema: int) -> Envelope | None:
    """What was kept, or None when it is not something that `pack` made for this schema."""
    if raw is None or len(raw) < _HEADER.size:
        return None
    magic, found, kind, written, checksum = _HEADER.unpack_from(raw)
    payload = raw[_HEADER.size :]
    if (magic, found) != (_MAGIC, schema) or kind not in tuple(Kind):
        return None
    return Envelope(Kind(kind), written, payload) if checksum == zlib.crc32(payload) else None
