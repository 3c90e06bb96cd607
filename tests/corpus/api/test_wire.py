"""Messages put together by hand are those that protobuf makes."""

from __future__ import annotations

from assay.corpus.v1 import corpus_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.api.wire import frames_message

FRAMES = st.lists(
    st.tuples(
        st.builds(
            pb.Frame,
            continues=st.booleans(),
            form=st.sampled_from([pb.FRAME_FORM_JSONL, pb.FRAME_FORM_TEXT]),
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
    cursor: bytes, frames: list[tuple[pb.Frame, bytes]], order: list[int], damaged: bool
) -> None:
    head = pb.StreamCorpusResponse(cursor=cursor)
    if damaged:
        head.damaged.add(shard="a", frame=3)
    expected = pb.StreamCorpusResponse()
    expected.CopyFrom(head)
    expected.frames.SetInParent()
    for fields, data in frames:
        added = expected.frames.frames.add()
        added.CopyFrom(fields)
        added.data = data
    expected.frames.order.extend(order)
    assert pb.StreamCorpusResponse.FromString(frames_message(head, frames, order)) == expected
