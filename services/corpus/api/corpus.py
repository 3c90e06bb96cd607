"""CorpusService: every call finds its corpus and its selection here; the rest is by rpc family."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from functools import partial
from typing import Any

import grpc
from assay.corpus.v1 import corpus_pb2 as pb
from assay.corpus.v1 import corpus_pb2_grpc as pb_grpc

from services.corpus.api import corpora, stream
from services.corpus.api.background import BackgroundIterator
from services.corpus.api.bpb import BpbScorer, Source
from services.corpus.api.single_flight import SingleFlight
from services.corpus.catalog import published
from services.corpus.catalog.catalog import Catalog
from services.corpus.catalog.corpus import Corpus
from services.corpus.catalog.describe import describe
from services.corpus.catalog.lookup import find_documents
from services.corpus.shards.documents import Document
from services.corpus.stream.chunks import FRAGMENT_BYTES
from services.corpus.stream.mixture import Mixture, mixture
from services.corpus.stream.selection import Selection
from services.errors import InvalidArgument
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]

_MAX_IDS = 1000
# What surrounds documents in a message.
_REPLY_MARGIN_BYTES = 64 << 10
_MAX_COUNTINGS = 16


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
        # Counting takes as long as reading a corpus: beside the readers, one a corpus.
        self._counters = ThreadPoolExecutor(_MAX_COUNTINGS, "corpus-counter")
        self._countings = SingleFlight(self._counters)

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
        listed, token = page(
            self._catalog.list(),
            request.page_size,
            request.page_token,
            key=lambda corpus: corpus.ref.name,
        )
        return pb.ListCorporaResponse(
            corpora=[corpora.summary(corpus) for corpus in listed], next_page_token=token
        )

    async def DescribeCorpus(  # noqa: N802  # the contract's name
        self,
        request: pb.DescribeCorpusRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.DescribeCorpusResponse:
        """Describe one corpus; the first call on it reads its shards."""
        corpus = self._catalog.open(request.corpus.name, request.corpus.digest)
        await self._count(corpus)
        return corpora.description(corpus, describe(corpus))

    async def StreamCorpus(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: pb.StreamCorpusRequest, context: Context
    ) -> None:
        """Stream a selection from its beginning or from a cursor."""
        corpus = self._catalog.open(request.corpus.name, request.corpus.digest)
        limits = stream.limits_of(request, self._fragment_bytes)
        selection = await self._resolve(corpus, request.selection)
        messages = stream.messages(corpus, selection, request, limits)
        async with BackgroundIterator(messages, self._readers) as ready:
            async for message in ready:
                await context.write(message)

    async def GetDocuments(  # noqa: N802  # the contract's name
        self,
        request: pb.GetDocumentsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> pb.GetDocumentsResponse:
        """Find documents by id."""
        corpus = self._catalog.open(request.corpus.name, request.corpus.digest)
        if not 1 <= len(request.ids) <= _MAX_IDS:
            raise InvalidArgument("ids", f"has {len(request.ids)}; give 1 to {_MAX_IDS}")
        limit = self._max_message_bytes - _REPLY_MARGIN_BYTES
        # A search takes turns with the streams, and ends with its call.
        search = _documents_reply(corpus, find_documents(corpus, request.ids, limit))
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
        corpus = self._catalog.open(ref.name, ref.digest)
        selection = await self._resolve(corpus, message)
        documents = partial(corpus.documents, selection)
        return Source(corpora.corpus_ref(corpus), selection.digests(), documents)

    async def _resolve(self, corpus: Corpus, message: pb.Selection) -> Selection:
        wanted = _selection_of(message)
        if wanted.filters:
            await self._count(corpus)
        return corpus.resolve(wanted)

    async def _count(self, corpus: Corpus) -> None:
        """See to it that the documents are counted; from then on `corpus.counts` is quick."""
        if not corpus.counted:
            await self._countings.run(corpus.ref.name, corpus.counts)


def _selection_of(message: pb.Selection) -> Selection:
    """Read a request's selection, but for its sample."""
    if message.preset not in set(pb.SubsetPreset.values()):
        raise InvalidArgument("selection.preset", f"{message.preset} is not a preset")
    return Selection(
        splits=tuple(message.splits),
        subsets=frozenset(message.subsets),
        exclude_subsets=frozenset(message.exclude_subsets),
        max_documents=message.max_documents,
        max_bytes=message.max_bytes,
        min_text_bytes=message.min_text_bytes,
        max_text_bytes=message.max_text_bytes,
        uncopyrighted=message.preset == pb.SUBSET_PRESET_UNCOPYRIGHTED,
        seed=message.seed if message.HasField("seed") else None,
        mixture=_mixture_of(message.mixture) if message.HasField("mixture") else None,
        epochs=message.epochs or 1,
    )


def _mixture_of(message: pb.Mixture) -> Mixture:
    shares = message.WhichOneof("shares")
    if shares == "weights":
        return mixture("weights", message.weights.by_subset)
    if shares == "passes":
        return mixture("passes", message.passes.by_subset)
    rows = published.SUBSETS.items()
    if message.preset == pb.MIXTURE_PRESET_PILE_WEIGHTS:
        return mixture("weights", {name: row.weight for name, row in rows}, published=True)
    if message.preset == pb.MIXTURE_PRESET_PILE_EPOCHS:
        return mixture("passes", {name: row.epochs for name, row in rows}, published=True)
    raise InvalidArgument("selection.mixture", "names neither a preset, weights nor passes")


def _documents_reply(
    corpus: Corpus, search: Generator[list[Document] | None, None, None]
) -> Generator[pb.GetDocumentsResponse | None, None, None]:
    with closing(search):
        for found in search:
            yield (
                None
                if found is None
                else pb.GetDocumentsResponse(
                    corpus=corpora.corpus_ref(corpus),
                    documents=[stream.document_message(one) for one in found],
                )
            )
