"""Documents of a corpus, one after the other, each exactly once, whatever happens to the server.

    from assay_rpc.corpus import stream

    documents = stream("localhost:50052", "the-pile", seed=7, rank=0, world_size=8)
    for document in documents:
        train(document.text)
        checkpoint(documents.state_dict())

Frames are decoded here, in a thread a little ahead of the program, where `zstandard` is installed
(the extra `fast`); without it the server decodes them.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from types import TracebackType
from typing import Any, NamedTuple, Self, Unpack

import grpc

from assay_rpc.channel import connect_blocking
from assay_rpc.corpus.ahead import Ahead
from assay_rpc.corpus.decode import CAN_DECODE, Batch, frame_decoder
from assay_rpc.corpus.selection import SelectionOptions, select
from assay_rpc.corpus.v1 import corpus_pb2_grpc
from assay_rpc.corpus.v1 import selection_pb2
from assay_rpc.corpus.v1 import stream_pb2

_VERSION = 1
# CANCELLED: it stopped before it looked at the call, see `assay_rpc.channel`.
_SERVER_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 5.0
# Large enough that what a message costs by itself does not count.
_CHUNK_BYTES = 1 << 20
# Batches that are decoded before they are asked for.
_AHEAD = 2


def stream(
    target: str | grpc.Channel,
    corpus: str,
    *,
    rank: int = 0,
    world_size: int = 1,
    patience_seconds: float = 60.0,
    chunk_bytes: int = _CHUNK_BYTES,
    skip_damaged: bool = False,
    **selection: Unpack[SelectionOptions],
) -> CorpusStream:
    """Follow the documents of `corpus` that `selection` names; see CorpusStream and `select`."""
    return CorpusStream(
        target,
        corpus,
        selection=select(**selection),
        rank=rank,
        world_size=world_size,
        patience_seconds=patience_seconds,
        chunk_bytes=chunk_bytes,
        skip_damaged=skip_damaged,
    )


class Document(NamedTuple):
    """One document. `text` is UTF-8; a lone surrogate is encoded as its three bytes (WTF-8).

    `id` is "<shard>:<line>"; `line` and `frame` count from 0 in the shard.
    """

    text: bytes
    subset: str
    id: str
    shard: str
    line: int
    frame: int


class CorpusStream:
    """Iterates the documents of a selection for one rank.

    `target` is "host:port" or a blocking channel. Goes on by itself after UNAVAILABLE, for at most
    `patience_seconds` without progress; every other error is raised as grpc.RpcError, and so is
    FAILED_PRECONDITION where the corpus has no index and `world_size`, a seed or a mixture needs
    one. A message aims at `chunk_bytes`, and up to six are held. Iterating again goes on where the
    last iteration stopped. Not for several threads.

    With `skip_damaged`, which needs `zstandard`, frames that are damaged where the corpus is stored
    are passed over and listed in `damaged`, each once; without it they end the stream with
    DATA_LOSS. One that was listed before a state is not listed by the stream that goes on from it.
    """

    def __init__(
        self,
        target: str | grpc.Channel,
        corpus: str,
        *,
        selection: selection_pb2.Selection | None = None,
        rank: int = 0,
        world_size: int = 1,
        delivery: stream_pb2.Delivery.ValueType | None = None,
        patience_seconds: float = 60.0,
        chunk_bytes: int = _CHUNK_BYTES,
        skip_damaged: bool = False,
    ) -> None:
        frames = CAN_DECODE and delivery in {None, stream_pb2.DELIVERY_FRAMES}
        if skip_damaged and not frames:
            raise ValueError("skip_damaged needs DELIVERY_FRAMES, and so the extra `fast`")
        self._owned = isinstance(target, str)
        self._channel = connect_blocking(target) if isinstance(target, str) else target
        self._stub = corpus_pb2_grpc.CorpusServiceStub(self._channel)
        self._corpus = selection_pb2.CorpusRef(name=corpus)
        self._selection = selection or selection_pb2.Selection()
        self._rank, self._world_size = rank, world_size
        self._delivery = delivery
        self._patience = patience_seconds
        self._chunk_bytes = chunk_bytes
        self._skip_damaged = skip_damaged
        self.damaged: list[stream_pb2.DamagedFrame] = []
        self._listed: set[tuple[str, int]] = set()
        self._cursor, self._taken = b"", 0
        self._resume: list[stream_pb2.ResumePoint] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel, if this object made it."""
        if self._owned:
            self._channel.close()

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is, as JSON can hold it."""
        return {
            "version": _VERSION,
            "corpus": self._corpus.name,
            "cursor": base64.b64encode(self._cursor).decode(),
            "documents": self._taken,
            "rank": self._rank,
            "world_size": self._world_size,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken, by the same rank of as many.

        Raises ValueError for a state of another corpus or rank.
        """
        own = (self._corpus.name, self._rank, self._world_size)
        if _owner(state) != own:
            raise ValueError(
                f"the state is of {_owner(state)}, this stream of {own}: (corpus, rank, world "
                "size); resume_from takes the states of all ranks of another world"
            )
        self._cursor, self._taken = base64.b64decode(state["cursor"]), state["documents"]
        self._resume = []

    def resume_from(self, states: Sequence[dict[str, Any]]) -> None:
        """Go on from the states of every rank of an earlier run, of which there may be others.

        The ranks of this run, given the same states, get together what those had left. The server
        refuses states that are not of every rank.
        """
        self._cursor, self._taken = b"", 0
        self._resume = [
            stream_pb2.ResumePoint(
                cursor=base64.b64decode(state["cursor"]),
                documents=state["documents"],
                rank=stream_pb2.ReaderRank(rank=state["rank"], world_size=state["world_size"]),
            )
            for state in states
        ]

    def __iter__(self) -> Iterator[Document]:
        for batch in self._batches():
            # Places of the batch that nothing comes from count as well.
            lost = sorted(place for frame in batch.damaged for place in frame.places)[::-1]
            # One is listed where its first place is passed: a state before that meets it again.
            first = {frame.places[0]: frame for frame in batch.damaged}
            for document in map(Document._make, batch.documents()):
                while lost and lost[-1] == self._taken:
                    if self._taken in first:
                        self._note(first.pop(self._taken))
                    lost.pop()
                    self._taken += 1
                self._taken += 1
                yield document
            for frame in first.values():
                self._note(frame)

    def texts(self) -> Iterator[list[bytes]]:
        """Iterate lists of texts, one a chunk: as `iter`, with less made of each document."""
        for batch in self._batches():
            texts = batch.texts()
            for frame in batch.damaged:
                self._note(frame)
            self._taken += len(texts) + sum(frame.documents for frame in batch.damaged)
            yield texts

    def _batches(self) -> Iterator[Batch]:
        """Yield batches, whatever happens to the server between them."""
        wait, deadline = _FIRST_WAIT_SECONDS, time.monotonic() + self._patience
        while True:
            try:
                call = self._stub.StreamCorpus(self._request())
                # One thread receives and one decompresses, and the program's own cuts texts.
                with (
                    closing(Ahead(call, _AHEAD, call.cancel)) as chunks,
                    closing(Ahead(_put_together(chunks), _AHEAD, call.cancel)) as batches,
                ):
                    for batch, cursor in batches:
                        if batch is None:
                            # Where a world that was dealt anew begins.
                            self._resume = []
                        else:
                            yield batch
                        self._cursor, self._taken = cursor, 0
                        wait, deadline = _FIRST_WAIT_SECONDS, time.monotonic() + self._patience
            except grpc.RpcError as error:
                code = error.code() if isinstance(error, grpc.Call) else None
                if code not in _SERVER_GONE or time.monotonic() + wait > deadline:
                    raise
                time.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
            else:
                return

    def _note(self, frame: stream_pb2.DamagedFrame) -> None:
        """List a damaged frame, once however often epochs and mixtures come to it."""
        if not frame.told and (frame.shard, frame.frame) not in self._listed:
            self._listed.add((frame.shard, frame.frame))
            self.damaged.append(frame)

    def _request(self) -> stream_pb2.StreamCorpusRequest:
        delivery = self._delivery
        if delivery is None:
            delivery = stream_pb2.DELIVERY_FRAMES if CAN_DECODE else stream_pb2.DELIVERY_DOCUMENTS
        request = stream_pb2.StreamCorpusRequest(
            corpus=self._corpus,
            selection=self._selection,
            delivery=delivery,
            chunk_bytes=self._chunk_bytes,
            skip_damaged=self._skip_damaged,
        )
        if self._world_size != 1:
            request.rank.rank, request.rank.world_size = self._rank, self._world_size
        if self._resume:
            request.resume.extend(self._resume)
        elif self._taken:
            here = stream_pb2.ReaderRank(rank=self._rank, world_size=self._world_size)
            request.resume.add(cursor=self._cursor, documents=self._taken, rank=here)
        elif self._cursor:
            request.cursor = self._cursor
        return request


def _put_together(
    chunks: Iterator[stream_pb2.StreamCorpusResponse],
) -> Iterator[tuple[Batch | None, bytes]]:
    """Put chunks together up to each cursor; None stands for a cursor that nothing precedes."""
    batch, decode = Batch(), frame_decoder()
    for chunk in chunks:
        batch.add(chunk, decode)
        if chunk.cursor:
            empty = chunk.WhichOneof("payload") is None and not chunk.damaged
            yield None if empty else batch, chunk.cursor
            batch = Batch()


def _owner(state: dict[str, Any]) -> tuple[str, int, int]:
    if state.get("version") != _VERSION:
        raise ValueError(f"the state is of version {state.get('version')}, and this is {_VERSION}")
    return state["corpus"], state["rank"], state["world_size"]
