"""DELIVERY_TOKENS: sequences of tokens as messages."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay_rpc.corpus.v1 import stream_pb2

from services.corpus.catalog.corpus import Corpus, Shard
from services.corpus.stream import global_batches
from services.corpus.stream.cursor import CursorCodec
from services.corpus.stream.global_batches import TokenPosition
from services.corpus.stream.mixture import WeightUnit
from services.corpus.stream.selection import Selection
from services.corpus.tokens.sequences import Cut, Numbering, Packing, Sequences
from services.corpus.tokens.store import TokenStore
from services.corpus.tokens.tokenizer import Tokenizer, Tokenizers
from services.errors import CursorMismatch, InvalidArgument, TooLarge

MAX_LENGTH = 1 << 18
MAX_GLOBAL_BATCH = 1 << 24
_KEPT = 8
# Bytes of a sequence in a message, and of a piece besides its document's id.
_MOST_BYTES = 3 << 20
_PIECE_BYTES = 12
_PACKINGS = {
    stream_pb2.PACKING_UNSPECIFIED: Packing.CONCATENATED,
    stream_pb2.PACKING_CONCATENATED: Packing.CONCATENATED,
    stream_pb2.PACKING_BEST_FIT: Packing.BEST_FIT,
}


@dataclass(frozen=True)
class _Asked:
    """The token options of a request."""

    tokenizer: Tokenizer
    cut: Cut
    batch: int
    wrap: bool

    @property
    def sequences(self) -> list[object]:
        """The options that decide the sequences."""
        cut = self.cut
        return [self.tokenizer.digest, cut.length, cut.separator, cut.packing.value]

    @property
    def digest(self) -> str:
        """Sixteen hex digits that identify the sequences and their steps."""
        parts = [*self.sequences, self.batch, self.wrap]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


class TokenStreams:
    """Makes the messages of streams of tokens. Safe to share between threads."""

    def __init__(self, tokenizers: Tokenizers, root: Path, cache_bytes: int) -> None:
        """Store tokens below `root`: up to `cache_bytes`, and any that an open stream needs."""
        self._tokenizers, self._store = tokenizers, TokenStore(root, cache_bytes)
        self._numbered: dict[str, Numbering] = {}
        self._lock = threading.Lock()

    def messages(
        self,
        corpus: Corpus,
        selection: Selection,
        request: stream_pb2.StreamCorpusRequest,
        codec: CursorCodec,
        chunk_bytes: int,
    ) -> Generator[bytes | None, None, None]:
        """Tokenize the texts if they are not tokenized yet, and yield serialised sequences."""
        asked = self._asked(request)
        corpus.check_indexed(selection)
        corpus.check_unchanged(selection)
        shards = corpus.shards_of(selection)
        tokens = []
        for shard in shards:
            found = yield from self._store.make(shard, asked.tokenizer)
            tokens.append(found)
        self._store.trim(shards, asked.tokenizer)
        weighed = [one.counts for one in tokens] if selection.unit is WeightUnit.TOKENS else []
        plan = corpus.plan(selection, weighed)
        key = json.dumps([corpus.ref.digest, selection.digests(), asked.sequences])
        sequences = Sequences(plan, tokens, asked.cut, self._numbered.get(key))
        if key not in self._numbered:
            yield from sequences.prepare()
            self._keep(key, sequences.numbering)
        position = _beginning(request, codec, asked, sequences.total)
        if not asked.wrap:
            global_batches.require_a_step(sequences.total, asked.batch, position.world_size)
        of_all = sequences.total, asked.batch
        _, rest = global_batches.steps_of(*of_all, wrap=asked.wrap)
        yield stream_pb2.StreamCorpusResponse(
            cursor=codec.encode(position),
            share=stream_pb2.RankShare(
                documents=global_batches.left(position, *of_all, wrap=asked.wrap),
                dropped=0 if asked.wrap else rest,
                repeated=asked.batch - rest if asked.wrap and rest else 0,
            ),
        ).SerializeToString()
        numbers = global_batches.numbers(position, *of_all, wrap=asked.wrap)
        for done, batch in _chunks(numbers, sequences, asked, shards, chunk_bytes):
            cursor = codec.encode(global_batches.after(position, done))
            message = stream_pb2.StreamCorpusResponse(cursor=cursor, tokens=batch)
            yield message.SerializeToString()

    def _keep(self, key: str, numbering: Numbering) -> None:
        with self._lock:
            self._numbered[key] = numbering
            while len(self._numbered) > _KEPT:
                del self._numbered[next(iter(self._numbered))]

    def _asked(self, request: stream_pb2.StreamCorpusRequest) -> _Asked:
        options = request.tokens
        if not 1 <= options.length <= MAX_LENGTH:
            raise InvalidArgument(
                "tokens.length", f"{options.length} is not between 1 and {MAX_LENGTH:,}"
            )
        if options.packing not in _PACKINGS:
            raise InvalidArgument("tokens.packing", f"{options.packing} is not a packing")
        if not options.tokenizer.name:
            raise InvalidArgument("tokens.tokenizer", "is required: name a language model")
        if request.batch_documents:
            raise InvalidArgument("batch_documents", "is of documents: give `tokens.global_batch`")
        tokenizer = self._tokenizers.open(options.tokenizer.name)
        separator = options.separator if options.HasField("separator") else tokenizer.end
        if separator is None:
            raise InvalidArgument(
                "tokens.separator", f"{tokenizer.name!r} has no end of sequence; give a token's id"
            )
        if separator >= tokenizer.vocabulary:
            raise InvalidArgument(
                "tokens.separator",
                f"{separator} is not a token of {tokenizer.name!r}, "
                f"which has {tokenizer.vocabulary}",
            )
        world_size = request.rank.world_size if request.HasField("rank") else 1
        batch = options.global_batch or world_size
        if batch > MAX_GLOBAL_BATCH:
            raise InvalidArgument("tokens.global_batch", f"is over {MAX_GLOBAL_BATCH:,}")
        return _Asked(
            tokenizer,
            Cut(options.length, separator, _PACKINGS[options.packing]),
            batch,
            request.remainder == stream_pb2.RANK_REMAINDER_WRAP,
        )


def _beginning(
    request: stream_pb2.StreamCorpusRequest, codec: CursorCodec, asked: _Asked, total: int
) -> TokenPosition:
    rank, world_size = 0, 1
    if request.HasField("rank"):
        rank, world_size = request.rank.rank, request.rank.world_size
    own = global_batches.beginning(asked.digest, rank, world_size, asked.batch)
    if request.cursor and request.resume:
        raise InvalidArgument("resume", "and `cursor` both say where to begin; give one of them")
    points = list(request.resume)
    if request.cursor:
        points = [stream_pb2.ResumePoint(cursor=request.cursor)]
    if not points:
        return own
    positions = [_position(point, codec, asked, total) for point in points]
    first = positions[0]
    if len(positions) == 1 and first.world_size == world_size:
        if first.rank != rank:
            raise CursorMismatch(
                f"cursor: belongs to rank {first.rank} of {first.world_size}, and the request is "
                f"of rank {rank}"
            )
        return first
    return global_batches.redeal(positions, rank, world_size, asked.batch)


def _position(
    point: stream_pb2.ResumePoint, codec: CursorCodec, asked: _Asked, total: int
) -> TokenPosition:
    if point.cursor:
        position = codec.decode(point.cursor)
        if not isinstance(position, TokenPosition):
            raise CursorMismatch("cursor: is not of a call of tokens; start over without it")
        if position.options != asked.digest:
            raise CursorMismatch(
                "cursor: belongs to other tokens: tokenizer, length, packing, separator, "
                "global_batch and remainder have to be the same; start over without it"
            )
        global_batches.check(position, total, asked.batch, wrap=asked.wrap)
    else:
        world_size = point.rank.world_size or 1
        position = global_batches.beginning(asked.digest, point.rank.rank, world_size, asked.batch)
    left = global_batches.left(position, total, asked.batch, wrap=asked.wrap)
    if point.documents > left:
        raise InvalidArgument(
            "resume.documents", f"{point.documents - left} more than there are after the cursor"
        )
    return global_batches.after(position, point.documents)


def _chunks(
    numbers: Iterator[int],
    sequences: Sequences,
    asked: _Asked,
    shards: Sequence[Shard],
    chunk_bytes: int,
) -> Iterator[tuple[int, stream_pb2.TokenBatch]]:
    """Yield (sequences so far, the latest ones as a message of about `chunk_bytes`)."""
    batch, done = stream_pb2.TokenBatch(id_bytes=asked.tokenizer.id_bytes), 0
    ids: list[bytes] = []
    size = 0
    for number in numbers:
        found, parts = sequences.read(number % sequences.total)
        data = found.astype(f"<u{asked.tokenizer.id_bytes}", copy=False).tobytes()
        named = [
            f"{shards[part.shard].path}:{part.line}" if part.shard >= 0 else "" for part in parts
        ]
        more = len(data) + sum(map(len, named)) + _PIECE_BYTES * len(parts)
        if more > _MOST_BYTES:
            raise TooLarge(
                f"a sequence has pieces of {len(parts):,} documents, which do not fit in a "
                "message; request shorter ones"
            )
        if ids and size + more > chunk_bytes:
            batch.ids = b"".join(ids)
            yield done, batch
            batch = stream_pb2.TokenBatch(id_bytes=asked.tokenizer.id_bytes)
            ids, size = [], 0
        ids.append(data)
        batch.steps.append(number // asked.batch)
        batch.pieces.append(len(parts))
        batch.piece_tokens.extend([part.tokens for part in parts])
        batch.piece_documents.extend(named)
        batch.piece_offsets.extend([part.offset for part in parts])
        size += more
        done += 1
    if ids:
        batch.ids = b"".join(ids)
        yield done, batch
