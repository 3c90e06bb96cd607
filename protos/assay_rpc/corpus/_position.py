"""Where a stream is, for the blocking and the asyncio stream alike."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar

import grpc
from google.protobuf.json_format import MessageToDict

from assay_rpc.corpus._decode import CAN_DECODE, Batch
from assay_rpc.corpus._sequence import TokenSequence
from assay_rpc.corpus.document import Document
from assay_rpc.corpus.v1 import selection_pb2, stream_pb2
from assay_rpc.errors import AssayError, CursorMismatch, IndexRequired

T = TypeVar("T")
_VERSION = 2
_COUNTED = (stream_pb2.DELIVERY_FRAMES, stream_pb2.DELIVERY_TOKENS)
_REMAINDERS = {
    "drop": stream_pb2.RANK_REMAINDER_DROP,
    "wrap": stream_pb2.RANK_REMAINDER_WRAP,
}
# Large enough that what a message costs by itself does not count.
CHUNK_BYTES = 1 << 20

# What a state has beside what is compared with the stream's own.
_MEMBERS = {"digest": str, "epoch": int, "cursor": str, "documents": int, "rank": int,
            "world_size": int}  # fmt: skip


class Position:
    """What a stream requests, and how far it is."""

    def __init__(
        self,
        corpus: str,
        selection: selection_pb2.Selection,
        *,
        rank: int,
        world_size: int,
        delivery: stream_pb2.Delivery.ValueType | None,
        chunk_bytes: int,
        skip_damaged: bool,
        skip_bad_lines: bool = False,
        equal: Literal["drop", "wrap"] | None = None,
        batch_size: int = 0,
    ) -> None:
        frames = CAN_DECODE and delivery in {None, stream_pb2.DELIVERY_FRAMES}
        if skip_damaged and not frames:
            raise ValueError("skip_damaged needs DELIVERY_FRAMES, and so the extra `fast`")
        self._corpus = selection_pb2.CorpusRef(name=corpus)
        self._selection = selection
        self._rank, self._world_size = rank, world_size
        # Frames as long as nobody says that they need an index.
        self._may_fall_back = delivery is None and frames and not skip_damaged
        first = stream_pb2.DELIVERY_FRAMES if frames else stream_pb2.DELIVERY_DOCUMENTS
        self._delivery = first if delivery is None else delivery
        self._chunk_bytes = chunk_bytes
        self._skip_damaged = skip_damaged
        self._skip_bad_lines = skip_bad_lines
        if equal is not None and equal not in _REMAINDERS:
            raise ValueError(f"equal: {equal!r} is neither 'drop' nor 'wrap'")
        self._equal, self._batch_size = equal, batch_size
        self.tokens: stream_pb2.TokenOptions | None = None
        self._epoch = 0
        self.bad_lines: list[stream_pb2.BadLine] = []
        self.share: stream_pb2.RankShare | None = None
        self.damaged: list[stream_pb2.DamagedFrame] = []
        self._listed: set[tuple[str, int]] = set()
        self._begin()

    def _begin(self) -> None:
        self._cursor, self._taken = b"", 0
        # Documents that the server will deliver although they were taken.
        self._skip = 0
        self._resume: list[stream_pb2.ResumePoint] = []

    def set_epoch(self, epoch: int) -> None:
        """Begin epoch `epoch`, whose order is of another seed. Raises ValueError without a seed."""
        if not self._selection.HasField("seed"):
            raise ValueError("epochs differ by their shuffle: give a seed")
        self._epoch = epoch
        self._begin()

    def selection(self) -> selection_pb2.Selection:
        """The selection of this epoch."""
        if not self._epoch:
            return self._selection
        chosen = selection_pb2.Selection()
        chosen.CopyFrom(self._selection)
        chosen.seed = (chosen.seed + self._epoch) % 2**64
        return chosen

    def state(self) -> dict[str, Any]:
        """Return the position of the stream, in types that JSON has."""
        return {
            "version": _VERSION,
            "corpus": self._corpus.name,
            "digest": self._corpus.digest,
            "selection": MessageToDict(self._selection, preserving_proto_field_name=True),
            "epoch": self._epoch,
            "rank": self._rank,
            "world_size": self._world_size,
            "cursor": base64.b64encode(self._cursor).decode(),
            "documents": self._taken,
            # Left out where unset, so that earlier states stay what they are.
            **({"equal": [self._equal, self._batch_size]} if self._equal else {}),
            **({"tokens": MessageToDict(self.tokens)} if self.tokens else {}),
        }

    def start_at(self, sequences: int) -> None:
        """Begin so many of the rank's sequences into the epoch."""
        self._begin()
        self._taken = sequences

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`, as the same rank of the same number of ranks."""
        self._check(state, own_rank=True)
        self._corpus.digest = state["digest"]
        self._epoch = state["epoch"]
        self._begin()
        self._cursor, self._taken = base64.b64decode(state["cursor"]), state["documents"]

    def load_all(self, states: Sequence[dict[str, Any]]) -> None:
        """Continue from the states of every rank of an earlier run."""
        for state in states:
            self._check(state, own_rank=False)
        if len({state["epoch"] for state in states}) > 1:
            raise _mismatch("the states belong to different epochs")
        self._begin()
        for state in states:
            self._corpus.digest = state["digest"] or self._corpus.digest
            self._epoch = state["epoch"]
            self._resume.append(
                stream_pb2.ResumePoint(
                    cursor=base64.b64decode(state["cursor"]),
                    documents=state["documents"],
                    rank=stream_pb2.ReaderRank(rank=state["rank"], world_size=state["world_size"]),
                )
            )

    def _check(self, state: dict[str, Any], *, own_rank: bool) -> None:
        if not isinstance(state, dict):
            raise _mismatch(f"{str(state)[:40]!r} is not a state: state_dict() returns one, a dict")
        if state.get("version") != _VERSION:
            raise _mismatch(
                f"the state has version {state.get('version')}, and this client reads version "
                f"{_VERSION}: start over, or finish the run with the client that began it"
            )
        own = self.state()
        whose = ("rank", "world_size") if own_rank else ()
        for key in ("corpus", "selection", "equal", "tokens", *whose):
            if state.get(key) != own.get(key):
                way_out = (
                    "; resume_from takes the states of all ranks of another world"
                    if key in {"rank", "world_size"}
                    else ""
                )
                raise _mismatch(
                    f"{key}: the state has {state.get(key)!r}, this stream has {own.get(key)!r}"
                    f"{way_out}"
                )
        for key, kind in _MEMBERS.items():
            if not isinstance(state.get(key), kind):
                raise _mismatch(f"{key}: the state is damaged, it has {state.get(key)!r}")
        try:
            base64.b64decode(state["cursor"], validate=True)
        except ValueError:
            raise _mismatch("cursor: the state is damaged, that is not base64") from None

    def request(self) -> stream_pb2.StreamCorpusRequest:
        """The request that continues here."""
        self._skip = 0
        request = stream_pb2.StreamCorpusRequest(
            corpus=self._corpus,
            selection=self.selection(),
            delivery=self._delivery,
            chunk_bytes=self._chunk_bytes,
            skip_damaged=self._skip_damaged,
            skip_bad_lines=self._skip_bad_lines,
            batch_documents=self._batch_size,
        )
        if self.tokens is not None:
            request.tokens.CopyFrom(self.tokens)
        if self._equal:
            request.remainder = _REMAINDERS[self._equal]
        here = stream_pb2.ReaderRank(rank=self._rank, world_size=self._world_size)
        if self._world_size != 1:
            request.rank.CopyFrom(here)
        if self._resume:
            request.resume.extend(self._resume)
        elif self._taken and self._delivery in _COUNTED:
            # By the server: it counts what it skips, and it knows where a sequence begins.
            request.resume.add(cursor=self._cursor, documents=self._taken, rank=here)
        else:
            request.cursor = self._cursor
            self._skip = self._taken
        return request

    def fell_back(self, error: AssayError) -> bool:
        """Whether the stream may be requested again, without what needs an index."""
        if not self._may_fall_back or not isinstance(error, IndexRequired):
            return False
        self._may_fall_back = False
        self._delivery = stream_pb2.DELIVERY_DOCUMENTS
        return True

    def began(self, chunk: stream_pb2.StreamCorpusResponse) -> None:
        """A chunk came; the first of a call says which corpus it is of."""
        if chunk.HasField("corpus"):
            self._corpus.digest = chunk.corpus.digest
        if chunk.HasField("share") and self.share is None:
            self.share = chunk.share

    def passed(self, cursor: bytes) -> None:
        """Everything up to a cursor was taken."""
        self._cursor, self._taken = cursor, self._skip
        self._resume = []

    def documents(self, batch: Batch) -> Iterator[Document]:
        """Yield the documents of a batch, and count them as they are taken."""
        # Positions of the batch that nothing comes from count as well.
        lost = sorted(place for frame in batch.damaged for place in frame.positions)[::-1]
        # One is listed where its first position is passed: a state before that meets it again.
        first = {frame.positions[0]: frame for frame in batch.damaged if frame.positions}
        self.bad_lines += batch.bad_lines
        for text, subset, name, shard, line, number, meta in self._left(batch.documents()):
            while lost and lost[-1] == self._taken:
                if self._taken in first:
                    self._note(first.pop(self._taken))
                lost.pop()
                self._taken += 1
            self._taken += 1
            decoded = text.decode("utf-8", "surrogatepass")
            yield Document(decoded, subset, name, shard, line, number, meta)
        for frame in first.values():
            self._note(frame)

    def sequences(self, batch: Batch) -> Iterator[TokenSequence]:
        """Yield the sequences of a batch, and count them as they are taken."""
        for sequence in batch.sequences():
            self._taken += 1
            yield sequence

    def texts(self, batch: Batch) -> list[bytes]:
        """Return the texts of a batch, all of them taken."""
        self.bad_lines += batch.bad_lines
        texts = self._left(batch.texts())
        for frame in batch.damaged:
            self._note(frame)
        self._taken += len(texts) + sum(frame.documents for frame in batch.damaged)
        return texts

    def _left(self, items: list[T]) -> list[T]:
        """The items that were not taken before."""
        skip = min(self._skip, len(items))
        self._skip -= skip
        return items[skip:]

    def _note(self, frame: stream_pb2.DamagedFrame) -> None:
        """List a damaged frame, once however often epochs and mixtures come to it."""
        if not frame.repeated_notice and (frame.shard, frame.frame) not in self._listed:
            self._listed.add((frame.shard, frame.frame))
            self.damaged.append(frame)


def _mismatch(message: str) -> CursorMismatch:
    return CursorMismatch(message, code=grpc.StatusCode.FAILED_PRECONDITION)
