"""The bytes are those that protobuf writes."""

from __future__ import annotations

from google.protobuf import wrappers_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.common.wire import prefix, varint


@given(st.integers(1, 2**64 - 1))
def test_a_varint_is_the_one_that_protobuf_writes(value: int) -> None:
    key = b"\x08"  # field 1, wire type 0
    assert key + varint(value) == wrappers_pb2.UInt64Value(value=value).SerializeToString()


def test_zero_takes_a_byte() -> None:
    assert varint(0) == b"\0"


@given(st.binary(min_size=1, max_size=300))
def test_a_prefix_and_the_bytes_are_a_field(data: bytes) -> None:
    assert wrappers_pb2.BytesValue.FromString(prefix(1, len(data)) + data).value == data
