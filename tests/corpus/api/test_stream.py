"""Messages put together by hand are those that protobuf makes."""

from __future__ import annotations

from assay_rpc.corpus.v1 import stream_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.api.stream_replies import frames_message

FRAMES = st.lists(
    st.tuples(
        st.builds(
            stream_pb2.Frame,
            continues=st.booleans(),
            form=st.sampled_from([stream_pb2.FRAME_FORM_JSONL, stream_pb2.FRAME_FORM_TEXT]),
            shard=st.text(max_size=20),
            frame=st.integers(0, 2**32 - 1),
            text_bytes=st.lists(st.integers(0, 2**32 - 1), max_size=5),
        ),
        st.binary(max_size=300) | st.just(bytes(70_000)),
    ),
    max_size=4,
)


@given(
    st.binary(max_size=200), FRAMES, st.lists(st.integers(0, 2**32 - 1), max_size=5), st.booleans()
)
def test_a_message_of_frames_is_the_one_that_protobuf_makes(
    cursor: bytes, frames: list[tuple[stream_pb2.Frame, bytes]], order: list[int], damaged: bool
) -> None:
    head = stream_pb2.StreamCorpusResponse(cursor=cursor)
    if damaged:
        head.damaged.add(shard="a", frame=3)
    expected = stream_pb2.StreamCorpusResponse()
    expected.CopyFrom(head)
    expected.frames.SetInParent()
    for fields, data in frames:
        added = expected.frames.frames.add()
        added.CopyFrom(fields)
        added.data = data
    expected.frames.order.extend(order)
    assert (
        stream_pb2.StreamCorpusResponse.FromString(frames_message(head, frames, order)) == expected
    )
