"""Where a stream is, for the blocking and the asyncio stream alike."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
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
# Of the state of a rank that was dealt what other ranks left and has not learned its place. A
# client that does not know such states would begin with the first document.
_DEALT_VERSION = 3
_COUNTED = (stream_pb2.DELIVERY_FRAMES, stream_pb2.DELIVERY_TOKENS)
_REMAINDERS = {
    "drop": stream_pb2.RANK_REMAINDER_DROP,
    "wrap": stream_pb2.RANK_REMAINDER_WRAP,
}
# Large enough that what a message costs by itself does not count.
CHUNK_BYTES = 1 << 20

# What a state has beside what is compared with the stream's own.
_PLACE = {"cursor": str, "documents": int, "rank": int, "world_size": int}
_MEMBERS = {"digest": str, "epoch": int, **_PLACE}


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
        # The places that the rank is dealt from, until the server says its own.
        self._resume: list[dict[str, Any]] = []

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
            "version": _DEALT_VERSION if self._resume else _VERSION,
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
            **({"resume": deepcopy(self._resume)} if self._resume else {}),
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
        self._resume = deepcopy(state.get("resume", []))

    def load_all(self, states: Sequence[dict[str, Any]]) -> None:
        """Continue from the states of every rank of an earlier run."""
        if not states:
            raise _mismatch("no state was given: give those of all ranks of the earlier run")
        for state in states:
            self._check(state, own_rank=False)
        if len({state["epoch"] for state in states}) > 1:
            raise _mismatch("the states belong to different epochs")
        (own, *others) = states
        if not others and (own["rank"], own["world_size"]) == (self._rank, self._world_size):
            self.load(own)  # which needs no index
            return
        self._begin()
        for state in states:
            self._corpus.digest = state["digest"] or self._corpus.digest
            self._epoch = state["epoch"]
        places = [_place(state) for state in states]
        dealt, ranks = places[0].get("resume"), sorted(place["rank"] for place in places)
        every = ranks == list(range(places[0]["world_size"]))
        if dealt and every and all(place.get("resume") == dealt for place in places):
            places = dealt  # no rank has begun: what they were dealt is what is left
        self._resume = places

    def unknown_place(self) -> dict[str, Any] | None:
        """Return a place without a cursor, to `request` first; None if all have one."""
        place: dict[str, Any] | None = None
        inner = self._resume
        while unknown := next((one for one in inner if "resume" in one), None):
            place, inner = unknown, unknown["resume"]
        return place

    def set_place(self, place: dict[str, Any], cursor: bytes) -> None:
        """Note the cursor that the server gave for a place of `unknown_place`."""
        place["cursor"] = base64.b64encode(cursor).decode()
        del place["resume"]

    def _check(self, state: dict[str, Any], *, own_rank: bool) -> None:
        if not isinstance(state, dict):
            raise _mismatch(f"{str(state)[:40]!r} is not a state: state_dict() returns one, a dict")
        known = _DEALT_VERSION if "resume" in state else _VERSION
        if state.get("version") != known:
            raise _mismatch(
                f"the state has version {state.get('version')}, and this client reads version "
                f"{known}: start over, or finish the run with the client that began it"
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
        _check_place(state, _MEMBERS)

    def request(self, place: dict[str, Any] | None = None) -> stream_pb2.StreamCorpusRequest:
        """The request that continues here, or at a place of `unknown_place`."""
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
        rank, world_size = self._rank, self._world_size
        if place is not None:
            rank, world_size = place["rank"], place["world_size"]
        here = stream_pb2.ReaderRank(rank=rank, world_size=world_size)
        if world_size != 1:
            request.rank.CopyFrom(here)
        resume = self._resume if place is None else place["resume"]
        if resume:
            request.resume.extend(_point(one) for one in resume)
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


def _place(state: dict[str, Any]) -> dict[str, Any]:
    """What a state says of where its rank is."""
    return deepcopy({key: state[key] for key in (*_PLACE, "resume") if key in state})


def _point(place: dict[str, Any]) -> stream_pb2.ResumePoint:
    return stream_pb2.ResumePoint(
        cursor=base64.b64decode(place["cursor"]),
        documents=place["documents"],
        rank=stream_pb2.ReaderRank(rank=place["rank"], world_size=place["world_size"]),
    )


def _check_place(place: object, members: Mapping[str, type]) -> None:
    """Raise CursorMismatch for what is no state, or no place in one."""
    if not isinstance(place, dict):
        raise _mismatch(f"resume: the state is damaged, it has {str(place)[:40]!r}")
    for key, kind in members.items():
        if not isinstance(place.get(key), kind):
            raise _mismatch(f"{key}: the state is damaged, it has {place.get(key)!r}")
    try:
        base64.b64decode(place["cursor"], validate=True)
    except ValueError:
        raise _mismatch("cursor: the state is damaged, that is not base64") from None
    resume = place.get("resume", [])
    if not isinstance(resume, list):
        raise _mismatch(f"resume: the state is damaged, it has {str(resume)[:40]!r}")
    for one in resume:
        _check_place(one, _PLACE)


def _mismatch(message: str) -> CursorMismatch:
    return CursorMismatch(message, code=grpc.StatusCode.FAILED_PRECONDITION)
