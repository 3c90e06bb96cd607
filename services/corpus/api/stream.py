"""StreamCorpus: reads its request, and builds its messages in the thread that reads the shards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TypeVar

from assay_rpc.corpus.v1 import selection_pb2, stream_pb2

from services.common.wire import prefix
from services.corpus.api import corpora
from services.corpus.api.tokens import TokenStreams
from services.corpus.catalog.corpus import Corpus
from services.corpus.shards.bad_lines import BadLine
from services.corpus.shards.documents import Document
from services.corpus.shards.frames import SkippedFrame
from services.corpus.stream import resume, spans, unit_stream
from services.corpus.stream.chunks import FRAGMENT_BYTES, Chunk, Limits, chunks
from services.corpus.stream.cursor import CursorCodec, LinePosition, Position
from services.corpus.stream.plan import StreamPlan
from services.corpus.stream.resume import RankPosition
from services.corpus.stream.selection import Selection
from services.corpus.stream.spans import SpanPosition
from services.corpus.stream.unit_reader import UnitReader
from services.corpus.stream.unit_stream import FrameChunk, FramePart, UnitPosition
from services.errors import CursorMismatch, InvalidArgument

Messages = Generator[bytes | None, None, None]
"""Messages, serialised. None means that nothing is ready yet.

While a client is slow its stream stands still here: what these generators hold then is memory for
each such client, so none of them keeps a chunk that it has passed on.
"""

_DELIVERIES = frozenset(stream_pb2.Delivery.values())
_DEFAULT_CHUNK_BYTES = 512 << 10
_MIN_CHUNK_BYTES = 4 << 10
_MAX_CHUNK_BYTES = FRAGMENT_BYTES


def limits_of(request: stream_pb2.StreamCorpusRequest, fragment_bytes: int) -> Limits:
    """Read a request's sizes, and check what can be checked without its corpus.

    Raises InvalidArgument.
    """
    if request.selection.HasField("sample"):
        raise InvalidArgument(
            "selection.sample", "is for scoring; shuffle with `seed` and end with a limit"
        )
    if request.delivery not in _DELIVERIES:
        raise InvalidArgument("delivery", f"{request.delivery} is not a delivery")
    if (
        request.selection.unit == selection_pb2.MIXTURE_UNIT_TOKENS
        and request.delivery != stream_pb2.DELIVERY_TOKENS
    ):
        raise InvalidArgument("selection.unit", "is tokens, which DELIVERY_TOKENS alone counts")
    if request.remainder not in stream_pb2.RankRemainder.values():
        raise InvalidArgument("remainder", f"{request.remainder} is not a remainder")
    if request.HasField("tokens") != (request.delivery == stream_pb2.DELIVERY_TOKENS):
        raise InvalidArgument("tokens", "and DELIVERY_TOKENS go together: give both or neither")
    if request.batch_documents and request.remainder not in _REMAINDERS:
        raise InvalidArgument("batch_documents", "is for equal shares: give a `remainder` as well")
    chunk_bytes = request.chunk_bytes or _DEFAULT_CHUNK_BYTES
    if not _MIN_CHUNK_BYTES <= chunk_bytes <= _MAX_CHUNK_BYTES:
        raise InvalidArgument(
            "chunk_bytes",
            f"{chunk_bytes} is not between {_MIN_CHUNK_BYTES} and {_MAX_CHUNK_BYTES}; "
            f"0 means {_DEFAULT_CHUNK_BYTES}",
        )
    return Limits(min(chunk_bytes, fragment_bytes), fragment_bytes, fragment_bytes // 4)


def messages(
    corpus: Corpus,
    selection: Selection,
    request: stream_pb2.StreamCorpusRequest,
    limits: Limits,
    tokens: TokenStreams,
) -> Messages:
    """Build the messages of a resolved selection."""
    codec = CursorCodec(corpus.ref.digest, selection.digests())
    if request.delivery == stream_pb2.DELIVERY_TOKENS:
        made = tokens.messages(corpus, selection, request, codec, limits.chunk_bytes)
        return _naming(corpus, made)
    needs_index = (
        selection.ordered
        or request.rank.world_size > 1
        or request.resume
        or request.skip_damaged
        or request.delivery == stream_pb2.DELIVERY_FRAMES
        or request.remainder in _REMAINDERS
    )
    if needs_index or not corpus.unindexed(selection):
        return _naming(corpus, _planned(corpus, selection, request, codec, limits))
    if request.HasField("rank"):
        resume.start(request.rank.rank, request.rank.world_size)
    position = codec.decode(request.cursor) if request.cursor else None
    if position is not None and not isinstance(position, LinePosition):
        raise CursorMismatch("cursor: is one of a corpus with an index; start over without it")
    jsonl = request.delivery == stream_pb2.DELIVERY_JSONL
    reading = chunks(
        corpus.shards,
        selection,
        codec,
        position=position,
        jsonl=jsonl,
        limits=limits,
        skip_bad_lines=request.skip_bad_lines,
    )
    return _naming(corpus, _sequential(corpus, selection, reading, jsonl=jsonl))


def _naming(corpus: Corpus, found: Messages) -> Messages:
    """Name the corpus in the first message."""
    head = stream_pb2.StreamCorpusResponse(corpus=corpora.corpus_ref(corpus)).SerializeToString()
    with closing(found):
        for message in found:
            if message is None:
                yield None
                continue
            # Messages that are serialised one behind the other are one message.
            first = head + message
            del message
            yield first
            del first
            break
        yield from found


def _sequential(
    corpus: Corpus,
    selection: Selection,
    reading: Generator[Chunk | None, None, None],
    *,
    jsonl: bool,
) -> Messages:
    corpus.check_unchanged(selection)
    with closing(reading):
        yield from _serialised(reading, jsonl=jsonl)


def _planned(
    corpus: Corpus,
    selection: Selection,
    request: stream_pb2.StreamCorpusRequest,
    codec: CursorCodec,
    limits: Limits,
) -> Messages:
    plan = corpus.plan(selection)
    corpus.check_unchanged(selection)
    position: UnitPosition
    if request.remainder in _REMAINDERS:
        share = _share(request, codec, plan)
        position = share.position
        yield stream_pb2.StreamCorpusResponse(
            cursor=codec.encode(position),
            share=stream_pb2.RankShare(
                documents=share.documents, dropped=share.dropped, repeated=share.repeated
            ),
        ).SerializeToString()
    else:
        position = _beginning(request, codec, plan)
        if request.resume:
            # A rank that ends before its first chunk must have a cursor to be dealt anew from.
            beginning = stream_pb2.StreamCorpusResponse(cursor=codec.encode(position))
            yield beginning.SerializeToString()
    shards = corpus.shards_of(selection)
    with closing(UnitReader(shards, plan, skip_damaged=request.skip_damaged)) as units:
        if request.delivery == stream_pb2.DELIVERY_FRAMES:
            for part in unit_stream.frame_chunks(units, position, codec, limits):
                message = _frames_chunk_message(part) if part else None
                del part
                yield message
                del message
            return
        jsonl = request.delivery == stream_pb2.DELIVERY_JSONL
        found = unit_stream.document_chunks(units, position, codec, limits, jsonl=jsonl)
        yield from _serialised(found, jsonl=jsonl)


def _serialised(reading: Generator[Chunk | None, None, None], *, jsonl: bool) -> Messages:
    for chunk in reading:
        message = _chunk_message(chunk, jsonl=jsonl).SerializeToString() if chunk else None
        del chunk
        yield message
        del message


_REMAINDERS = {
    stream_pb2.RANK_REMAINDER_DROP: spans.Remainder.DROP,
    stream_pb2.RANK_REMAINDER_WRAP: spans.Remainder.WRAP,
}


def _share(
    request: stream_pb2.StreamCorpusRequest, codec: CursorCodec, plan: StreamPlan
) -> spans.Share:
    """Return the equal share of the rank of a request, from where it begins."""
    rank, world_size = _rank_of(request)
    batch, remainder = request.batch_documents or 1, _REMAINDERS[request.remainder]
    whole = ((0, int(plan.counts.sum())),) if plan.counts.any() else ()
    points = list(request.resume)
    if request.cursor:
        if points:
            raise InvalidArgument("resume", "and `cursor` both say where to begin; give one")
        points = [stream_pb2.ResumePoint(cursor=request.cursor)]
    if not points:
        return spans.share(whole, rank, world_size, batch, remainder)
    positions = [
        _span_position(point, codec, lambda r, w: spans.share(whole, r, w, batch, remainder))
        for point in points
    ]
    own = positions[0]
    if len(positions) == 1 and own.stride == world_size:
        _same_rank(own, resume.start(rank, world_size))
        left = sum(end - begin for begin, end in own.spans)
        return spans.Share(own, left, 0, 0)
    return spans.share(spans.left_of(positions), rank, world_size, batch, remainder)


def _span_position(
    point: stream_pb2.ResumePoint,
    codec: CursorCodec,
    beginning: Callable[[int, int], spans.Share],
) -> SpanPosition:
    position: Position
    if point.cursor:
        position = codec.decode(point.cursor)
    else:
        position = beginning(point.rank.rank, point.rank.world_size or 1).position
    if not isinstance(position, SpanPosition):
        raise CursorMismatch("cursor: is of a call without `remainder`; start over without it")
    return spans.after(position, point.documents)


def _rank_of(request: stream_pb2.StreamCorpusRequest) -> tuple[int, int]:
    if not request.HasField("rank"):
        return 0, 1
    return request.rank.rank, request.rank.world_size


def _beginning(
    request: stream_pb2.StreamCorpusRequest, codec: CursorCodec, plan: StreamPlan
) -> RankPosition:
    """Return the position that a request begins at."""
    rank, world_size = _rank_of(request)
    beginning = resume.start(rank, world_size)
    if request.cursor and request.resume:
        raise InvalidArgument("resume", "and `cursor` both say where to begin; give one of them")
    if request.cursor:
        return _same_rank(_decode(codec, request.cursor), beginning)
    if not request.resume:
        return beginning
    positions = [_resume_position(point, codec, plan) for point in request.resume]
    if len(positions) == 1 and positions[0].stride == world_size:
        return _same_rank(positions[0], beginning)
    return resume.redeal(positions, plan.units, rank, world_size)


def _resume_position(
    point: stream_pb2.ResumePoint, codec: CursorCodec, plan: StreamPlan
) -> RankPosition:
    if point.cursor:
        position = _decode(codec, point.cursor)
    elif point.HasField("rank"):
        position = resume.start(point.rank.rank, point.rank.world_size)
    else:
        position = resume.start(0, 1)
    return resume.after(position, plan.counts, point.documents)


def _decode(codec: CursorCodec, cursor: bytes) -> RankPosition:
    position = codec.decode(cursor)
    if isinstance(position, LinePosition):
        raise CursorMismatch("cursor: is one of a corpus without index; start over without it")
    if not isinstance(position, RankPosition):
        raise CursorMismatch(
            "cursor: is of a call with `remainder`, or of one of tokens; start over without it"
        )
    return position


P = TypeVar("P", RankPosition, SpanPosition)


def _same_rank(position: P, beginning: RankPosition) -> P:
    if (position.rank, position.stride) != (beginning.rank, beginning.stride):
        raise CursorMismatch(
            f"cursor: belongs to rank {position.rank} of {position.stride}, and the request is of "
            f"rank {beginning.rank} of {beginning.stride}; give the points of all "
            f"{position.stride} ranks in `resume` to change their number"
        )
    return position


def _chunk_message(part: Chunk, *, jsonl: bool) -> stream_pb2.StreamCorpusResponse:
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
    """A document, or, where it is not `whole`, a fragment of one, which has no digest."""
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


def _frames_chunk_message(part: FrameChunk) -> bytes:
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
    frames: Sequence[tuple[stream_pb2.Frame, bytes]],
    order: Sequence[int],
) -> bytes:
    """Serialise `head` with a FrameBatch of `frames`, each given as its fields and its data.

    A message that is built and then serialised copies the data of a frame into it, into each
    message around it, and into what is sent: half of the server's processor time on a stream of
    frames. Here protobuf serialises everything but the data, which is copied once.
    """
    batch: list[bytes] = []
    for fields, data in frames:
        frame = [
            fields.SerializeToString(),
            prefix(stream_pb2.Frame.DATA_FIELD_NUMBER, len(data)),
            data,
        ]
        batch += [prefix(stream_pb2.FrameBatch.FRAMES_FIELD_NUMBER, sum(map(len, frame))), *frame]
    batch.append(stream_pb2.FrameBatch(order=order).SerializeToString())
    begin = prefix(stream_pb2.StreamCorpusResponse.FRAMES_FIELD_NUMBER, sum(map(len, batch)))
    return b"".join([head.SerializeToString(), begin, *batch])
