"""StreamCorpus: reads its request, and builds its messages in the thread that reads the shards."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from assay_rpc.corpus.v1 import selection_pb2, stream_pb2

from services.corpus.api import corpora
from services.corpus.api.stream_beginning import REMAINDERS, beginning, share_of
from services.corpus.api.stream_replies import chunk_message, frames_chunk_message
from services.corpus.api.tokens import TokenStreams
from services.corpus.catalog.corpus import Corpus
from services.corpus.stream import resume, unit_stream
from services.corpus.stream.chunks import FRAGMENT_BYTES, Chunk, Limits, chunks
from services.corpus.stream.cursor import CursorCodec, LinePosition
from services.corpus.stream.selection import Selection
from services.corpus.stream.unit_reader import UnitReader
from services.corpus.stream.unit_stream import UnitPosition
from services.corpus.stream.waiting import Waiting
from services.errors import CursorMismatch, InvalidArgument

Messages = Generator[bytes | None, None, None]
"""Messages, serialised. None means that nothing is ready yet.

A slow client's stream pauses here, and these generators' memory counts for each such client. So
none of them keeps a chunk that it has passed on.
"""

_DELIVERIES = frozenset(stream_pb2.Delivery.values())
_DEFAULT_CHUNK_BYTES = 512 << 10
_MIN_CHUNK_BYTES = 4 << 10
_MAX_CHUNK_BYTES = FRAGMENT_BYTES


def limits_of(request: stream_pb2.StreamCorpusRequest, fragment_bytes: int) -> Limits:
    """Read a request's sizes, and check everything that does not need its corpus.

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
    if request.batch_documents and request.remainder not in REMAINDERS:
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
    *,
    tokens: TokenStreams,
    waiting: Waiting,
) -> Messages:
    """Build the messages of a resolved selection. `waiting` says which steps need a thread."""
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
        or request.remainder in REMAINDERS
    )
    if needs_index or not corpus.unindexed(selection):
        return _naming(
            corpus, _planned(corpus, selection, request, codec, limits=limits, waiting=waiting)
        )
    if request.HasField("rank"):
        resume.start(request.rank.rank, request.rank.world_size)
    position = codec.decode(request.cursor) if request.cursor else None
    if position is not None and not isinstance(position, LinePosition):
        raise CursorMismatch("cursor: is from a corpus with an index; start again without it")
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
            # Concatenated serialised messages are one message.
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
    *,
    limits: Limits,
    waiting: Waiting,
) -> Messages:
    plan = corpus.plan(selection)
    corpus.check_unchanged(selection)
    position: UnitPosition
    if request.remainder in REMAINDERS:
        share = share_of(request, codec, plan)
        position = share.position
        yield stream_pb2.StreamCorpusResponse(
            cursor=codec.encode(position),
            share=stream_pb2.RankShare(
                documents=share.documents, dropped=share.dropped, repeated=share.repeated
            ),
        ).SerializeToString()
    else:
        position = beginning(request, codec, plan)
        if request.resume:
            # A rank that ends before its first chunk needs a cursor too, for another number of
            # ranks.
            place = stream_pb2.StreamCorpusResponse(cursor=codec.encode(position))
            yield place.SerializeToString()
    shards = corpus.shards_of(selection)
    with closing(UnitReader(shards, plan, skip_damaged=request.skip_damaged)) as units:
        if request.delivery == stream_pb2.DELIVERY_FRAMES:
            for part in unit_stream.frame_chunks(units, position, codec, limits, waiting):
                message = frames_chunk_message(part) if part else None
                del part
                yield message
                del message
            return
        jsonl = request.delivery == stream_pb2.DELIVERY_JSONL
        found = unit_stream.document_chunks(units, position, codec, limits, jsonl=jsonl)
        yield from _serialised(found, jsonl=jsonl)


def _serialised(reading: Generator[Chunk | None, None, None], *, jsonl: bool) -> Messages:
    for chunk in reading:
        message = chunk_message(chunk, jsonl=jsonl).SerializeToString() if chunk else None
        del chunk
        yield message
        del message
