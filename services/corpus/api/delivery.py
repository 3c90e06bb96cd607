"""Reads a request to stream, and builds its messages in the thread that reads the shards."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from assay.corpus.v1 import corpus_pb2 as pb

from services.corpus.api import replies
from services.corpus.catalog.corpus import Corpus
from services.corpus.stream import place as places
from services.corpus.stream import unit_stream
from services.corpus.stream.chunks import Limits, chunks
from services.corpus.stream.cursor import CursorCodec, Position
from services.corpus.stream.place import Place
from services.corpus.stream.plan import Plan
from services.corpus.stream.selection import Selection
from services.corpus.stream.unit_reader import UnitReader
from services.errors import InvalidArgument, PreconditionFailed

Messages = Generator[pb.StreamCorpusResponse | bytes | None, None, None]
"""Messages, those of frames serialised."""


def messages(
    corpus: Corpus, selection: Selection, request: pb.StreamCorpusRequest, limits: Limits
) -> Messages:
    """Build the messages of a resolved selection. None means that nothing is ready yet."""
    codec = CursorCodec(corpus.ref.digest, selection.digests())
    needs_index = (
        selection.ordered
        or request.rank.world_size > 1
        or request.resume
        or request.skip_damaged
        or request.delivery == pb.DELIVERY_FRAMES
    )
    if needs_index or not corpus.unindexed(selection):
        return _planned(corpus, selection, request, codec, limits)
    if request.HasField("rank"):
        places.start(request.rank.rank, request.rank.world_size)
    position = codec.decode(request.cursor) if request.cursor else None
    if isinstance(position, Place):
        raise PreconditionFailed("cursor: is one of a corpus with an index; start over without it")
    return _sequential(corpus, selection, request, codec, limits, position)


def _sequential(  # noqa: PLR0917  # one call
    corpus: Corpus,
    selection: Selection,
    request: pb.StreamCorpusRequest,
    codec: CursorCodec,
    limits: Limits,
    position: Position | None,
) -> Messages:
    jsonl = request.delivery == pb.DELIVERY_JSONL
    corpus.check_unchanged(selection)
    reading = chunks(corpus.shards, selection, codec, position=position, jsonl=jsonl, limits=limits)
    with closing(reading):
        for chunk in reading:
            yield replies.chunk(chunk, jsonl=jsonl) if chunk else None


def _planned(
    corpus: Corpus,
    selection: Selection,
    request: pb.StreamCorpusRequest,
    codec: CursorCodec,
    limits: Limits,
) -> Messages:
    plan = corpus.plan(selection)
    corpus.check_unchanged(selection)
    place = _place(request, codec, plan)
    shards = corpus.shards_of(selection)
    if request.resume:
        # A rank that ends before its first chunk must have a cursor to be dealt anew from.
        yield pb.StreamCorpusResponse(cursor=codec.encode(place))
    with closing(UnitReader(shards, plan, skip_damaged=request.skip_damaged)) as units:
        if request.delivery == pb.DELIVERY_FRAMES:
            for part in unit_stream.frame_chunks(units, plan, codec, place, limits):
                yield replies.frames(part) if part else None
            return
        jsonl = request.delivery == pb.DELIVERY_JSONL
        for chunk in unit_stream.document_chunks(
            units, plan, codec, place, jsonl=jsonl, limits=limits
        ):
            yield replies.chunk(chunk, jsonl=jsonl) if chunk else None


def _place(request: pb.StreamCorpusRequest, codec: CursorCodec, plan: Plan) -> Place:
    """Find where a request begins."""
    rank, world_size = 0, 1
    if request.HasField("rank"):
        rank, world_size = request.rank.rank, request.rank.world_size
    beginning = places.start(rank, world_size)
    if request.cursor and request.resume:
        raise InvalidArgument("resume", "and `cursor` both say where to begin; give one of them")
    if request.cursor:
        return _same_rank(_decode(codec, request.cursor), beginning)
    if not request.resume:
        return beginning
    points = [_point(point, codec, plan) for point in request.resume]
    if len(points) == 1 and points[0].stride == world_size:
        return _same_rank(points[0], beginning)
    return places.redeal(points, plan.units, rank, world_size)


def _point(point: pb.ResumePoint, codec: CursorCodec, plan: Plan) -> Place:
    if point.cursor:
        place = _decode(codec, point.cursor)
    elif point.HasField("rank"):
        place = places.start(point.rank.rank, point.rank.world_size)
    else:
        place = places.start(0, 1)
    return places.after(place, plan.counts, point.documents)


def _decode(codec: CursorCodec, cursor: bytes) -> Place:
    place = codec.decode(cursor)
    if isinstance(place, Position):
        raise PreconditionFailed("cursor: is one of a corpus without index; start over without it")
    return place


def _same_rank(place: Place, beginning: Place) -> Place:
    if (place.rank, place.stride) != (beginning.rank, beginning.stride):
        raise PreconditionFailed(
            f"cursor: belongs to rank {place.rank} of {place.stride}, and the request is of rank "
            f"{beginning.rank} of {beginning.stride}; give the points of all {place.stride} ranks "
            "in `resume` to change their number"
        )
    return place
