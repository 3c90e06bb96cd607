"""Serialises messages of frames, copying each frame's data once.

A message that is built and then serialised copies the data of a frame into it, into each message
around it, and into what is sent: half of the server's processor time on a stream of frames. Here
everything but the data is serialised by protobuf, and put around the data as the encoding says: a
message inside of another is its tag, its length and its bytes, and fields may stand in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

from assay.corpus.v1 import corpus_pb2 as pb

# The wire type of strings, bytes and messages.
_LENGTH_DELIMITED = 2


def frames_message(
    head: pb.StreamCorpusResponse, frames: Sequence[tuple[pb.Frame, bytes]], order: Sequence[int]
) -> bytes:
    """Serialise `head` with a FrameBatch of `frames`, each given as its fields and its data."""
    batch: list[bytes] = []
    for fields, data in frames:
        frame = [fields.SerializeToString(), _prefix(pb.Frame.DATA_FIELD_NUMBER, len(data)), data]
        batch += [_prefix(pb.FrameBatch.FRAMES_FIELD_NUMBER, sum(map(len, frame))), *frame]
    batch.append(pb.FrameBatch(order=order).SerializeToString())
    size = sum(map(len, batch))
    prefix = _prefix(pb.StreamCorpusResponse.FRAMES_FIELD_NUMBER, size)
    return b"".join([head.SerializeToString(), prefix, *batch])


def _prefix(field: int, size: int) -> bytes:
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(size)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
