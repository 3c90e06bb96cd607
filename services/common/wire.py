"""The wire format of protocol buffers, for messages too large to build whole in memory.

Source: protobuf.dev/programming-guides/encoding. Fields of a message may come in any order.
"""

from __future__ import annotations

LENGTH_DELIMITED = 2
"""Wire type of strings, bytes and embedded messages."""


def varint(value: int) -> bytes:
    """Encode a non-negative number in groups of 7 bits, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def prefix(field: int, size: int) -> bytes:
    """Encode what precedes the `size` bytes of a length-delimited field."""
    return varint(field << 3 | LENGTH_DELIMITED) + varint(size)
