"""Documents of a corpus, one after the other, each exactly once, whatever happens to the server.

    from assay_rpc.corpus import stream

    documents = stream("localhost:50052", "the-pile", seed=7, rank=0, world_size=8)
    for document in documents:
        train(document.text)
        checkpoint(documents.state_dict())

Frames are decoded here, in a thread a little ahead of the program, where `zstandard` is installed
(the extra `fast`); without it, or where the corpus has no index, the server decodes them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, Literal, Self, Unpack

import grpc
import grpc.aio

from assay_rpc._patience import Patience
from assay_rpc.channel import connect, connect_async
from assay_rpc.connection import Connection
from assay_rpc.corpus._ahead import Ahead
from assay_rpc.corpus._decode import Batch, frame_decoder
from assay_rpc.corpus._position import CHUNK_BYTES, Position
from assay_rpc.corpus.document import Document
from assay_rpc.corpus.selection import SelectionOptions, select, weights_of, whole
from assay_rpc.corpus.v1 import corpus_pb2_grpc, selection_pb2, stream_pb2
from assay_rpc.errors import AssayError

# Batches that are decoded before they are requested.
_AHEAD = 2


def stream(
    target: str | Connection | grpc.Channel,
    corpus: str | Mapping[str, float],
    *,
    rank: int = 0,
    world_size: int = 1,
    delivery: stream_pb2.Delivery.ValueType | None = None,
    patience_seconds: float = 60.0,
    chunk_bytes: int = CHUNK_BYTES,
    skip_damaged: bool = False,
    skip_bad_lines: bool = False,
    equal: Literal["drop", "wrap"] | None = None,
    batch_size: int = 0,
    **selection: Unpack[SelectionOptions],
) -> CorpusStream:
    """Follow the documents of `corpus` that `selection` names; see CorpusStream and `select`.

    A mapping of names to weights mixes several corpora.
    """
    return CorpusStream(
        target,
        corpus,
        selection=select(**selection),
        rank=rank,
        world_size=world_size,
        delivery=delivery,
        patience_seconds=patience_seconds,
        chunk_bytes=chunk_bytes,
        skip_damaged=skip_damaged,
        skip_bad_lines=skip_bad_lines,
        equal=equal,
        batch_size=batch_size,
    )


class _Stream:
    """What the two streams share: their place."""

    def __init__(
        self,
        corpus: str | Mapping[str, float],
        *,
        selection: selection_pb2.Selection | None = None,
        rank: int = 0,
        world_size: int = 1,
        delivery: stream_pb2.Delivery.ValueType | None = None,
        patience_seconds: float = 60.0,
        chunk_bytes: int = CHUNK_BYTES,
        skip_damaged: bool = False,
        skip_bad_lines: bool = False,
        equal: Literal["drop", "wrap"] | None = None,
        batch_size: int = 0,
    ) -> None:
        self._patience = patience_seconds
        chosen = selection_pb2.Selection()
        if selection is not None:
            chosen.CopyFrom(selection)
        if not isinstance(corpus, str):
            for name, weight in weights_of("corpus", corpus).items():
                chosen.corpora.add(corpus=selection_pb2.CorpusRef(name=name), weight=weight)
        self._position = Position(
            corpus if isinstance(corpus, str) else "",
            chosen,
            rank=whole("rank", rank, bits=32),
            world_size=whole("world_size", world_size, bits=32),
            delivery=delivery,
            chunk_bytes=whole("chunk_bytes", chunk_bytes, bits=32),
            skip_damaged=skip_damaged,
            skip_bad_lines=skip_bad_lines,
            equal=equal,
            batch_size=whole("batch_size", batch_size, bits=32),
        )

    @property
    def damaged(self) -> list[stream_pb2.DamagedFrame]:
        """The frames that were skipped so far."""
        return self._position.damaged

    @property
    def bad_lines(self) -> list[stream_pb2.BadLine]:
        """The lines that are not documents and were skipped so far."""
        return self._position.bad_lines

    @property
    def share(self) -> stream_pb2.RankShare | None:
        """With `equal`, once the stream has begun: what the rank gets, and what is left out."""
        return self._position.share

    def set_epoch(self, epoch: int) -> None:
        """Begin epoch `epoch`, from 0: the same documents in the order of the seed plus `epoch`.

        Raises ValueError without a seed.
        """
        self._position.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the stream, in types that JSON has."""
        return self._position.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state`, as the same rank of the same number of ranks.

        Raises CursorMismatch for a state of another corpus, selection, rank or version.
        """
        self._position.load(state)

    def resume_from(self, states: Sequence[dict[str, Any]]) -> None:
        """Continue from the states of all ranks of an earlier run, with any number of ranks.

        All ranks of this run must get the same states; together they get the remaining documents.
        Raises CursorMismatch for states of another corpus, selection or version; the server refuses
        states that are not of every rank.
        """
        self._position.load_all(states)


class CorpusStream(_Stream):
    """Iterates the documents of a selection for one rank.

    `target` is "host:port", a Connection or a blocking channel. Continues automatically after
    UNAVAILABLE, for at most `patience_seconds` without progress; every other error is raised as an
    AssayError: IndexRequired if the corpus has no index and `world_size`, a seed, a mixture or
    `delivery` needs one. A message has about `chunk_bytes`, and up to six are held. Iterating again
    continues after the last document. Use it in one thread only.

    With `skip_damaged`, which needs `zstandard`, frames that are damaged in storage are skipped and
    listed in `damaged`, each once; without it they end the stream with DataLoss. A stream that
    continues from a state does not list the earlier ones again. With `skip_bad_lines` the lines
    that are not documents, which only shards without an index have, are skipped and listed in
    `bad_lines`.

    With `equal` every rank gets the same number of documents, a multiple of `batch_size`: "drop"
    leaves the last ones out, "wrap" repeats the first ones; `share` says how many.

    A `corpus` that maps names to weights mixes several corpora; ids then begin with their names.
    """

    def __init__(
        self,
        target: str | Connection | grpc.Channel,
        corpus: str | Mapping[str, float],
        *,
        selection: selection_pb2.Selection | None = None,
        rank: int = 0,
        world_size: int = 1,
        delivery: stream_pb2.Delivery.ValueType | None = None,
        patience_seconds: float = 60.0,
        chunk_bytes: int = CHUNK_BYTES,
        skip_damaged: bool = False,
        skip_bad_lines: bool = False,
        equal: Literal["drop", "wrap"] | None = None,
        batch_size: int = 0,
    ) -> None:
        super().__init__(
            corpus,
            selection=selection,
            rank=rank,
            world_size=world_size,
            delivery=delivery,
            patience_seconds=patience_seconds,
            chunk_bytes=chunk_bytes,
            skip_damaged=skip_damaged,
            skip_bad_lines=skip_bad_lines,
            equal=equal,
            batch_size=batch_size,
        )
        self._owned = isinstance(target, (str, Connection))
        self._channel = connect(target) if isinstance(target, (str, Connection)) else target
        self._stub = corpus_pb2_grpc.CorpusServiceStub(self._channel)

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

    def __iter__(self) -> Iterator[Document]:
        for batch in self._batches():
            yield from self._position.documents(batch)

    def texts(self) -> Iterator[list[str]]:
        """Iterate lists of texts, one a chunk: faster than iterating documents."""
        for texts in self.texts_bytes():
            yield [text.decode("utf-8", "surrogatepass") for text in texts]

    def texts_bytes(self) -> Iterator[list[bytes]]:
        """As `texts`, in UTF-8; a lone surrogate is three bytes (WTF-8)."""
        for batch in self._batches():
            yield self._position.texts(batch)

    def _batches(self) -> Iterator[Batch]:
        """Yield batches, whatever happens to the server between them."""
        patience = Patience(self._patience)
        while True:
            try:
                self._learn_places()
                call = self._stub.StreamCorpus(self._position.request())
                # One thread receives and one decompresses, and the program's own cuts texts.
                with (
                    closing(Ahead(call, _AHEAD, call.cancel)) as chunks,
                    closing(Ahead(self._joined(chunks), _AHEAD, call.cancel)) as batches,
                ):
                    for batch, cursor in batches:
                        if batch is not None:
                            yield batch
                        self._position.passed(cursor)
                        patience.progress()
            except grpc.RpcError as error:
                failed = AssayError.of(error)
                if not self._position.fell_back(failed):
                    time.sleep(patience.wait(failed))
            else:
                return

    def _learn_places(self) -> None:
        """Request the places of ranks that saved their state before the server's first message."""
        while (place := self._position.unknown_place()) is not None:
            call = self._stub.StreamCorpus(self._position.request(place))
            self._position.set_place(place, next(call).cursor)
            call.cancel()

    def _joined(
        self, chunks: Iterator[stream_pb2.StreamCorpusResponse]
    ) -> Iterator[tuple[Batch | None, bytes]]:
        """Join chunks up to each cursor; None stands for a cursor that nothing precedes."""
        joined = _Joined(self._position)
        for chunk in chunks:
            ended = joined.add(chunk)
            if ended is not None:
                yield ended


class AsyncCorpusStream(_Stream):
    """As CorpusStream, for programs with asyncio: `async for document in stream`.

    Frames are decoded in a thread of the event loop's executor.
    """

    def __init__(
        self,
        target: str | Connection | grpc.aio.Channel,
        corpus: str | Mapping[str, float],
        *,
        selection: selection_pb2.Selection | None = None,
        rank: int = 0,
        world_size: int = 1,
        delivery: stream_pb2.Delivery.ValueType | None = None,
        patience_seconds: float = 60.0,
        chunk_bytes: int = CHUNK_BYTES,
        skip_damaged: bool = False,
        skip_bad_lines: bool = False,
        equal: Literal["drop", "wrap"] | None = None,
        batch_size: int = 0,
    ) -> None:
        super().__init__(
            corpus,
            selection=selection,
            rank=rank,
            world_size=world_size,
            delivery=delivery,
            patience_seconds=patience_seconds,
            chunk_bytes=chunk_bytes,
            skip_damaged=skip_damaged,
            skip_bad_lines=skip_bad_lines,
            equal=equal,
            batch_size=batch_size,
        )
        self._owned = isinstance(target, (str, Connection))
        self._channel = connect_async(target) if isinstance(target, (str, Connection)) else target
        self._stub = corpus_pb2_grpc.CorpusServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel, if this object made it."""
        if self._owned:
            await self._channel.close()

    async def __aiter__(self) -> AsyncIterator[Document]:
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                for document in self._position.documents(batch):
                    yield document

    async def texts(self) -> AsyncIterator[list[str]]:
        """Iterate lists of texts, one a chunk: as `aiter`, with less made of each document."""
        async with aclosing(self.texts_bytes()) as batches:
            async for texts in batches:
                yield [text.decode("utf-8", "surrogatepass") for text in texts]

    async def texts_bytes(self) -> AsyncGenerator[list[bytes], None]:
        """As `texts`, in UTF-8; a lone surrogate is three bytes (WTF-8)."""
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                yield self._position.texts(batch)

    async def _batches(self) -> AsyncGenerator[Batch, None]:
        """Yield batches, whatever happens to the server between them."""
        patience = Patience(self._patience)
        while True:
            call = None
            try:
                await self._learn_places()
                call = self._stub.StreamCorpus(self._position.request())
                joined = _Joined(self._position)
                async for chunk in call:
                    ended = await asyncio.to_thread(joined.add, chunk)
                    if ended is None:
                        continue
                    batch, cursor = ended
                    if batch is not None:
                        yield batch
                    self._position.passed(cursor)
                    patience.progress()
            except grpc.RpcError as error:
                failed = AssayError.of(error)
                if not self._position.fell_back(failed):
                    await asyncio.sleep(patience.wait(failed))
            else:
                return
            finally:
                if call is not None:
                    call.cancel()

    async def _learn_places(self) -> None:
        while (place := self._position.unknown_place()) is not None:
            call = self._stub.StreamCorpus(self._position.request(place))
            self._position.set_place(place, (await anext(aiter(call))).cursor)
            call.cancel()


class _Joined:
    """Joins chunks up to each cursor."""

    def __init__(self, position: Position) -> None:
        self._position = position
        self._batch, self._decode = Batch(), frame_decoder()

    def add(self, chunk: stream_pb2.StreamCorpusResponse) -> tuple[Batch | None, bytes] | None:
        """Give the batch that ends with this chunk, and its cursor; None within a batch.

        The batch is None for a cursor that nothing precedes. Raises DataLoss.
        """
        self._position.began(chunk)
        self._batch.add(chunk, self._decode)
        if not chunk.cursor:
            return None
        reported = chunk.damaged or chunk.bad_lines
        empty = chunk.WhichOneof("payload") is None and not reported
        ended = None if empty else self._batch
        self._batch = Batch()
        return ended, chunk.cursor
