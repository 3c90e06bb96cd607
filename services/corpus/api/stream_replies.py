"""Messages of StreamCorpus."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from assay_rpc.corpus.v1 import stream_pb2

from services.common.wire import prefix
from services.corpus.shards.bad_lines import BadLine
from services.corpus.shards.documents import Document
from services.corpus.shards.frames import SkippedFrame
from services.corpus.stream.chunks import Chunk
from services.corpus.stream.unit_stream import FrameChunk, FramePart


def chunk_message(part: Chunk, *, jsonl: bool) -> stream_pb2.StreamCorpusResponse:
    """A chunk of documents, or of their lines."""
    message = stream_pb2.StreamCorpusResponse(
        cursor=part.cursor, damaged=_damaged(part.damaged), bad_lines=_bad_lines(part.bad)
    )
    if jsonl:
        message.jsonl.lines, message.jsonl.continues = part.lines, part.continues
        return message
    documents = stream_pb2.DocumentBatch(
        documents=[
            document_message(document, continues=part.continues, whole=not part.fragment)
            for document in part.documents
        ]
    )
    message.documents.CopyFrom(documents)
    return message


def _bad_lines(found: Sequence[BadLine]) -> list[stream_pb2.BadLine]:
    return [
        stream_pb2.BadLine(
            shard=one.shard,
            line=one.line,
            offset=one.offset,
            reason=one.reason,
            rest=one.rest,
        )
        for one in found
    ]


def document_message(
    document: Document, *, continues: bool = False, whole: bool = True
) -> stream_pb2.Document:
    """A document, or, unless it is `whole`, a fragment of a document, which has no digest."""
    return stream_pb2.Document(
        id=document.id,
        subset=document.subset,
        text=document.text,
        meta=document.meta,
        shard=document.shard,
        line=document.line,
        continues=continues,
        frame=document.frame,
        digest=f"sha256:{hashlib.sha256(document.text).hexdigest()}" if whole else "",
    )


def _damaged(found: Sequence[SkippedFrame]) -> list[stream_pb2.DamagedFrame]:
    return [
        stream_pb2.DamagedFrame(
            shard=one.error.shard,
            frame=one.error.frame,
            offset=one.error.offset,
            documents=one.documents,
            positions=one.places,
            repeated_notice=one.reported_before,
        )
        for one in found
    ]


def frames_chunk_message(part: FrameChunk) -> bytes:
    """A chunk of frames, serialised."""
    head = stream_pb2.StreamCorpusResponse(cursor=part.cursor, damaged=_damaged(part.damaged))
    frames = [(_frame_fields(piece), piece.data) for piece in part.parts]
    return frames_message(head, frames, part.order)


def _frame_fields(piece: FramePart) -> stream_pb2.Frame:
    """Everything but the data."""
    if not piece.first:
        return stream_pb2.Frame(continues=piece.continues)
    shard, number = piece.shard, piece.frame
    record, text = shard.index.frames[number], shard.has_text(number)
    return stream_pb2.Frame(
        continues=piece.continues,
        form=stream_pb2.FRAME_FORM_TEXT if text else stream_pb2.FRAME_FORM_JSONL,
        content_bytes=int(record["text_bytes" if text else "jsonl_bytes"]),
        shard=shard.name,
        frame=number,
        first_line=int(record["first_line"]),
        subset=shard.index.header.subsets[int(record["subset"])],
        text_bytes=shard.sizes(number).tolist(),
    )


def frames_message(
    head: stream_pb2.StreamCorpusResponse,
    frames: Sequence[tuple[stream_pb2.Frame, bytes | memoryview]],
    order: Sequence[int],
) -> bytes:
    """Serialise `head` with a FrameBatch of `frames`, each given as its fields and its data.

    Building a message and serialising it would copy a frame's data into the message, into each
    message around it, and into the bytes to send: half of the server's processor time on a stream
    of frames. Here protobuf serialises everything except the data, which is copied once.
    """
    batch: list[bytes | memoryview] = []
    for fields, data in frames:
        frame: list[bytes | memoryview] = [
            fields.SerializeToString(),
            prefix(stream_pb2.Frame.DATA_FIELD_NUMBER, len(data)),
            data,
        ]
        batch += [prefix(stream_pb2.FrameBatch.FRAMES_FIELD_NUMBER, sum(map(len, frame))), *frame]
    batch.append(stream_pb2.FrameBatch(order=order).SerializeToString())
    begin = prefix(stream_pb2.StreamCorpusResponse.FRAMES_FIELD_NUMBER, sum(map(len, batch)))
    return b"".join([head.SerializeToString(), begin, *batch])
