"""Where a request of StreamCorpus begins: at a cursor, or at the places of several ranks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from assay_rpc.corpus.v1 import stream_pb2

from services.corpus.stream import resume, spans
from services.corpus.stream.cursor import CursorCodec, LinePosition, Position
from services.corpus.stream.plan import StreamPlan
from services.corpus.stream.resume import RankPosition
from services.corpus.stream.spans import SpanPosition
from services.errors import CursorMismatch, InvalidArgument

REMAINDERS = {
    stream_pb2.RANK_REMAINDER_DROP: spans.Remainder.DROP,
    stream_pb2.RANK_REMAINDER_WRAP: spans.Remainder.WRAP,
}


def share_of(
    request: stream_pb2.StreamCorpusRequest, codec: CursorCodec, plan: StreamPlan
) -> spans.Share:
    """Return the equal share of the request's rank, from the position where it begins."""
    rank, world_size = _rank_of(request)
    batch, remainder = request.batch_documents or 1, REMAINDERS[request.remainder]
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
        raise CursorMismatch(
            "cursor: comes from a call without `remainder`; start over without a cursor"
        )
    return spans.after(position, point.documents)


def _rank_of(request: stream_pb2.StreamCorpusRequest) -> tuple[int, int]:
    if not request.HasField("rank"):
        return 0, 1
    return request.rank.rank, request.rank.world_size


def beginning(
    request: stream_pb2.StreamCorpusRequest, codec: CursorCodec, plan: StreamPlan
) -> RankPosition:
    """Return the position that a request begins at."""
    rank, world_size = _rank_of(request)
    first = resume.start(rank, world_size)
    if request.cursor and request.resume:
        raise InvalidArgument("resume", "and `cursor` both say where to begin; give one of them")
    if request.cursor:
        return _same_rank(_decode(codec, request.cursor), first)
    if not request.resume:
        return first
    positions = [_resume_position(point, codec, plan) for point in request.resume]
    if len(positions) == 1 and positions[0].stride == world_size:
        return _same_rank(positions[0], first)
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
        raise CursorMismatch("cursor: is from a corpus without an index; start again without it")
    if not isinstance(position, RankPosition):
        raise CursorMismatch(
            "cursor: comes from a call with `remainder` or tokens; start over without a cursor"
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
