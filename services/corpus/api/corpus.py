"""CorpusService: parse, one call, build the reply."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from functools import partial
from typing import Any

import grpc
from assay.corpus.v1 import corpus_pb2 as pb
from assay.corpus.v1 import corpus_pb2_grpc as pb_grpc

from services.corpus.api import delivery, replies
from services.corpus.api.background import BackgroundIterator
from services.corpus.api.bpb import BpbScorer, Source
from services.corpus.catalog.catalog import Catalog
from services.corpus.catalog.corpus import Corpus
from services.corpus.catalog.describe import describe
from services.corpus.catalog.lookup import find_documents
from services.corpus.catalog.single_flight import SingleFlight
from services.corpus.shards.documents import Document
from services.corpus.stream.chunks import FRAGMENT_BYTES, Limits
from services.corpus.stream.selection import Selection
from services.errors import InvalidArgument
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]

_DELIVERIES = frozenset(pb.Delivery.values())
_MAX_IDS = 1000
# What surrounds documents in a message.
_REPLY_MARGIN_BYTES = 64 << 10
_CHUNK_BYTES = 512 << 10
_MIN_CHUNK_BYTES = 4 << 10
_MAX_CHUNK_BYTES = FRAGMENT_BYTES
_MAX_CENSUSES = 16


class CorpusService(pb_grpc.CorpusServiceServicer):
    """Streams and describes corpora and scores language models on them.

    Streams are coroutines that write their messages, which gRPC takes as well as generators and
    the stubs do not know of: a cancelled call then ends where it stands, and what it holds is
    freed at once.
    """

    def __init__(
        self, catalog: Catalog, scorer: BpbScorer, threads: int, max_message_bytes: int
    ) -> None:
        self._catalog = catalog
        self._scorer = scorer
        self._max_message_bytes = max_message_bytes
        # What surrounds a fragment in its message takes less than as much again.
        self._fragment_bytes = min(FRAGMENT_BYTES, max_message_bytes // 2)
        self._readers = ThreadPoolExecutor(threads, "corpus-reader")
        # A census takes as long as reading its corpus: beside the readers, one a corpus.
        self._counters = ThreadPoolExecutor(_MAX_CENSUSES, "corpus-census")
        self._censuses = SingleFlight(self._counters)

    async def close(self) -> None:
        """End the threads. Call once no call is left."""
        self._catalog.close()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._counters.shutdown(wait=False, cancel_futures=True)

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
        await self._count(corpus)
        return replies.description(corpus, describe(corpus))

    async def StreamCorpus(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: pb.StreamCorpusRequest, context: Context
    ) -> None:
        """Stream a selection from its beginning or from a cursor."""
        corpus = self._catalog.open(replies.ref_of(request.corpus))
        if request.selection.HasField("sample"):
            raise InvalidArgument(
                "selection.sample", "is for scoring; shuffle with `seed` and end with a limit"
            )
        if request.delivery not in _DELIVERIES:
            raise InvalidArgument("delivery", f"{request.delivery} is not a delivery")
        chunk_bytes = request.chunk_bytes or _CHUNK_BYTES
        if not _MIN_CHUNK_BYTES <= chunk_bytes <= _MAX_CHUNK_BYTES:
            raise InvalidArgument(
                "chunk_bytes",
                f"{chunk_bytes} is not between {_MIN_CHUNK_BYTES} and {_MAX_CHUNK_BYTES}; "
                f"0 means {_CHUNK_BYTES}",
            )
        selection = await self._resolve(corpus, request.selection)
        limits = Limits(
            min(chunk_bytes, self._fragment_bytes),
            self._fragment_bytes,
            self._fragment_bytes // 4,
        )
        messages = delivery.messages(corpus, selection, request, limits)
        async with BackgroundIterator(messages, self._readers) as ready:
            async for message in ready:
                await context.write(message)

    async def GetDocuments(  # noqa: N802  # the contract's name
        self,
        request: pb.GetDocumentsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.GetDocumentsResponse:
        """Find documents by id."""
        corpus = self._catalog.open(replies.ref_of(request.corpus))
        if not 1 <= len(request.ids) <= _MAX_IDS:
            raise InvalidArgument("ids", f"has {len(request.ids)}; give 1 to {_MAX_IDS}")
        limit = self._max_message_bytes - _REPLY_MARGIN_BYTES
        # A search takes turns with the streams, and ends with its call.
        search = _reply(corpus, find_documents(corpus, request.ids, limit))
        async with BackgroundIterator(search, self._readers) as found:
            return await anext(aiter(found))

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
        source = await self._source(request.corpus, request.selection)
        async with aclosing(self._scorer.score(request, source)) as updates:
            async for update in updates:
                await context.write(update)

    async def CompareBPB(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: pb.CompareBPBRequest, context: Context
    ) -> None:
        """Score two models on a selection, and how they differ."""
        source = await self._source(request.corpus, request.selection)
        async with aclosing(self._scorer.compare(request, source)) as updates:
            async for update in updates:
                await context.write(update)

    async def ScoreTexts(  # noqa: N802  # the contract's name
        self,
        request: pb.ScoreTextsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.ScoreTextsResponse:
        """Score a model on texts that the caller sent."""
        return await self._scorer.score_texts(request)

    async def _source(self, ref: pb.CorpusRef, message: pb.Selection) -> Source:
        corpus = self._catalog.open(replies.ref_of(ref))
        selection = await self._resolve(corpus, message)
        documents = partial(corpus.documents, selection)
        return Source(replies.corpus_ref(corpus), selection.digests(), documents)

    async def _resolve(self, corpus: Corpus, message: pb.Selection) -> Selection:
        wanted = replies.selection_of(message)
        if wanted.filters:
            await self._count(corpus)
        return corpus.resolve(wanted)

    async def _count(self, corpus: Corpus) -> None:
        """See to it that the census has been taken; from then on `corpus.census` is quick."""
        if not corpus.counted:
            await self._censuses.run(corpus.ref.name, corpus.census)


def _reply(
    corpus: Corpus, search: Generator[list[Document] | None, None, None]
) -> Generator[pb.GetDocumentsResponse | None, None, None]:
    with closing(search):
        for found in search:
            yield None if found is None else replies.documents(corpus, found)
