"""CorpusService: parse, one call, build the reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from functools import partial
from typing import Any, Protocol, TypeVar

import grpc
from assay.corpus.v1 import corpus_pb2 as pb
from assay.corpus.v1 import corpus_pb2_grpc as pb_grpc

from services.corpus import replies, stream
from services.corpus.background import BackgroundIterator
from services.corpus.catalog import Catalog
from services.corpus.cursor import CursorCodec
from services.corpus.describe import describe
from services.corpus.documents import Document
from services.corpus.stream import FRAGMENT_BYTES, Chunk
from services.errors import InvalidArgument
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")

_JSONL = {
    pb.DELIVERY_UNSPECIFIED: False,
    pb.DELIVERY_DOCUMENTS: False,
    pb.DELIVERY_JSONL: True,
}
_CHUNK_BYTES = 512 << 10
_MIN_CHUNK_BYTES = 4 << 10
_MAX_CHUNK_BYTES = FRAGMENT_BYTES


class Scorer(Protocol):
    """What scores language models on documents."""

    async def list_models(self) -> list[pb.LanguageModel]:
        """List the models."""
        ...

    def score(
        self, request: pb.ScoreBPBRequest, documents: Callable[[], Iterator[Document]]
    ) -> AsyncGenerator[pb.ScoreBPBResponse, None]:
        """Score `documents()`; `request` names their corpus with its digest. Closing it stops."""
        ...


class CorpusService(pb_grpc.CorpusServiceServicer):
    """Streams and describes corpora and scores language models on them.

    Streams are coroutines that write their messages, which gRPC takes as well as generators and
    the stubs do not know of: a cancelled call then ends where it stands, and what it holds is
    freed at once.
    """

    def __init__(self, catalog: Catalog, scorer: Scorer, threads: int) -> None:
        self._catalog = catalog
        self._scorer = scorer
        self._readers = ThreadPoolExecutor(threads, "corpus-reader")
        # A census takes as long as reading the corpus: one at a time, and beside the readers.
        self._counter = ThreadPoolExecutor(1, "corpus-census")

    async def close(self) -> None:
        """End the threads. Call once no call is left."""
        self._catalog.close()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._counter.shutdown(wait=False, cancel_futures=True)

    async def ListCorpora(  # noqa: N802  # the contract's name
        self,
        request: pb.ListCorporaRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ListCorporaResponse:
        """List the registered corpora by name."""
        corpora, token = page(
            self._catalog.list(),
            request.page_size,
            request.page_token,
            key=lambda corpus: corpus.ref.name,
        )
        return pb.ListCorporaResponse(
            corpora=[replies.summary(corpus) for corpus in corpora], next_page_token=token
        )

    async def DescribeCorpus(  # noqa: N802  # the contract's name
        self,
        request: pb.DescribeCorpusRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.DescribeCorpusResponse:
        """Describe one corpus; the first call on it reads its shards."""
        corpus = self._catalog.open(replies.ref_of(request.corpus))
        found = await self._count(lambda: describe(corpus))
        return replies.description(corpus, found)

    async def StreamCorpus(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: pb.StreamCorpusRequest, context: Context
    ) -> None:
        """Stream a selection from its beginning or from a cursor."""
        corpus = self._catalog.open(replies.ref_of(request.corpus))
        if request.delivery not in _JSONL:
            raise InvalidArgument("delivery", f"{request.delivery} is not a delivery")
        jsonl = _JSONL[request.delivery]
        chunk_bytes = request.chunk_bytes or _CHUNK_BYTES
        if not _MIN_CHUNK_BYTES <= chunk_bytes <= _MAX_CHUNK_BYTES:
            raise InvalidArgument(
                "chunk_bytes",
                f"{chunk_bytes} is not between {_MIN_CHUNK_BYTES} and {_MAX_CHUNK_BYTES}; "
                f"0 means {_CHUNK_BYTES}",
            )
        wanted = replies.selection_of(request.selection)
        selection = await self._count(lambda: corpus.resolve(wanted), unless=not wanted.filters)
        codec = CursorCodec(corpus.ref.digest, selection.digests())
        chunks = stream.chunks(
            corpus.shards,
            selection,
            codec,
            position=codec.decode(request.cursor) if request.cursor else None,
            jsonl=jsonl,
            chunk_bytes=chunk_bytes,
        )
        async with BackgroundIterator(_messages(chunks, jsonl), self._readers) as ready:
            async for message in ready:
                await context.write(message)

    async def ListLanguageModels(  # noqa: N802  # the contract's name
        self,
        request: pb.ListLanguageModelsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ListLanguageModelsResponse:
        """List the language models by name."""
        models, token = page(
            await self._scorer.list_models(),
            request.page_size,
            request.page_token,
            key=lambda model: model.ref.name,
        )
        return pb.ListLanguageModelsResponse(models=models, next_page_token=token)

    async def ScoreBPB(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: pb.ScoreBPBRequest, context: Context
    ) -> None:
        """Score a model on a selection."""
        corpus = self._catalog.open(replies.ref_of(request.corpus))
        wanted = replies.selection_of(request.selection)
        selection = await self._count(lambda: corpus.resolve(wanted), unless=not wanted.filters)
        request.corpus.CopyFrom(replies.corpus_ref(corpus))
        documents = partial(corpus.documents, selection)
        async with aclosing(self._scorer.score(request, documents)) as updates:
            async for update in updates:
                await context.write(update)

    async def _count(self, work: Callable[[], T], *, unless: bool = False) -> T:
        """Do `work`, which may take a census, in the census's thread, `unless` it won't."""
        if unless:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._counter, work)


def _messages(
    chunks: Generator[Chunk | None, None, None], jsonl: bool
) -> Generator[pb.StreamCorpusResponse | None, None, None]:
    """Build the messages, in the thread that reads."""
    with closing(chunks):
        for chunk in chunks:
            yield replies.chunk(chunk, jsonl=jsonl) if chunk else None
