"""CorpusService: descriptions of corpora, and their documents as streams and by id."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import grpc
from assay_rpc.corpus.v1 import corpus_pb2_grpc, describe_pb2, stream_pb2

from services.corpus.api import corpora, stream, stream_replies
from services.corpus.api.background import BackgroundIterator
from services.corpus.api.selections import Selections
from services.corpus.api.tokens import TokenStreams
from services.corpus.catalog.corpus import Corpus
from services.corpus.catalog.describe import describe
from services.corpus.catalog.lookup import find_documents
from services.corpus.shards.documents import Document
from services.corpus.stream.budget import StreamBudget, held_bytes
from services.corpus.stream.chunks import FRAGMENT_BYTES
from services.corpus.stream.waiting import Waiting
from services.errors import InvalidArgument
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_IDS = 1000
# What surrounds documents in a message.
_REPLY_MARGIN_BYTES = 64 << 10
_PROGRESS_SECONDS = 1.0


class CorpusService(corpus_pb2_grpc.CorpusServiceServicer):
    """Streams and describes corpora.

    Streams are coroutines that write their messages. gRPC accepts these as it does generators,
    although the stubs' types do not show it: a cancelled call then ends immediately, and its memory
    is freed at once.
    """

    def __init__(
        self,
        selections: Selections,
        tokens: TokenStreams,
        budget: StreamBudget,
        *,
        threads: int,
        max_message_bytes: int,
    ) -> None:
        """Make the service; `budget` bounds the memory of open streams."""
        self._selections, self._tokens, self._budget = selections, tokens, budget
        self._max_message_bytes = max_message_bytes
        # What surrounds a fragment in its message takes less than as much again.
        self._fragment_bytes = min(FRAGMENT_BYTES, max_message_bytes // 2)
        self._readers = ThreadPoolExecutor(threads, "corpus-reader")

    async def close(self) -> None:
        """End the threads. Call once no call is left."""
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def ListCorpora(  # noqa: N802  # the contract's name
        self,
        request: describe_pb2.ListCorporaRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> describe_pb2.ListCorporaResponse:
        """List the registered corpora by name."""
        listed, token = page(
            self._selections.corpora(),
            request.page_size,
            request.page_token,
            key=lambda corpus: corpus.ref.name,
        )
        return describe_pb2.ListCorporaResponse(
            corpora=[corpora.summary(corpus) for corpus in listed], next_page_token=token
        )

    async def GetCorpus(  # noqa: N802  # the contract's name
        self,
        request: describe_pb2.GetCorpusRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> describe_pb2.GetCorpusResponse:
        """Say what is known of a corpus without reading its shards."""
        corpus = self._selections.open(request.corpus)
        found = await asyncio.to_thread(corpora.corpus_message, corpus)
        return describe_pb2.GetCorpusResponse(corpus=found)

    async def DescribeCorpus(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: describe_pb2.DescribeCorpusRequest, context: Context
    ) -> None:
        """Describe one corpus; the first call on it reads its shards."""
        corpus = self._selections.open(request.corpus)
        begun = time.monotonic()
        counting = asyncio.ensure_future(self._selections.count(corpus))
        try:
            while not (await asyncio.wait({counting}, timeout=_PROGRESS_SECONDS))[0]:
                progress = corpora.count_progress(corpus, time.monotonic() - begun)
                await context.write(describe_pb2.DescribeCorpusResponse(progress=progress))
            counting.result()
        finally:
            counting.cancel()
        found = await asyncio.to_thread(describe, corpus)
        result = corpora.description(corpus, found)
        await context.write(describe_pb2.DescribeCorpusResponse(result=result))

    async def StreamCorpus(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: stream_pb2.StreamCorpusRequest, context: Context
    ) -> None:
        """Stream a selection from its beginning or from a cursor."""
        corpus = self._selections.open(request.corpus, request.selection)
        limits = stream.limits_of(request, self._fragment_bytes)
        selection = await self._selections.resolve(corpus, request.selection)
        size = held_bytes(
            limits.chunk_bytes,
            indexed=not corpus.unindexed(selection),
            window_bytes=corpus.large_window_bytes,
        )
        with self._budget.stream(size):
            waiting = Waiting()
            messages = stream.messages(
                corpus, selection, request, limits, tokens=self._tokens, waiting=waiting
            )
            async with BackgroundIterator(messages, self._readers, waiting) as ready:
                async for message in ready:
                    await context.write(message)

    async def GetDocuments(  # noqa: N802  # the contract's name
        self,
        request: stream_pb2.GetDocumentsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> stream_pb2.GetDocumentsResponse:
        """Find documents by id."""
        corpus = self._selections.open(request.corpus)
        if not 1 <= len(request.ids) <= _MAX_IDS:
            raise InvalidArgument("ids", f"has {len(request.ids)}; give 1 to {_MAX_IDS}")
        limit = self._max_message_bytes - _REPLY_MARGIN_BYTES
        # A search shares the reader threads with the streams, and ends with its call.
        search = _documents_reply(corpus, find_documents(corpus, request.ids, limit))
        async with BackgroundIterator(search, self._readers) as found:
            return await anext(aiter(found))


def _documents_reply(
    corpus: Corpus, search: Generator[list[Document] | None, None, None]
) -> Generator[stream_pb2.GetDocumentsResponse | None, None, None]:
    with closing(search):
        for found in search:
            yield (
                None
                if found is None
                else stream_pb2.GetDocumentsResponse(
                    corpus=corpora.corpus_ref(corpus),
                    documents=[stream_replies.document_message(one) for one in found],
                )
            )
