"""Corpora listed, described and looked up: `CorpusClient`, and the same for asyncio.

    from assay_rpc.client import CorpusClient

    with CorpusClient("localhost:50052") as corpora:
        print(corpora.describe("the-pile").documents)

Documents are streamed by assay_rpc.corpus.CorpusStream. Every call raises AssayError.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

import grpc
import grpc.aio

from assay_rpc._clients import AsyncClient, Client, Progress
from assay_rpc.connection import Connection
from assay_rpc.corpus._requests import corpus_ref
from assay_rpc.corpus.document import Document
from assay_rpc.corpus.v1 import corpus_pb2_grpc, describe_pb2, stream_pb2


class CorpusClient(Client):
    """Reads what is known of corpora, and documents by id."""

    def __init__(
        self, target: str | Connection | grpc.Channel, *, timeout: float | None = None
    ) -> None:
        super().__init__(target, timeout=timeout)
        self._stub = corpus_pb2_grpc.CorpusServiceStub(self._channel)

    def corpora(self) -> Iterator[describe_pb2.CorpusSummary]:
        """Iterate the registered corpora, by name."""
        request = describe_pb2.ListCorporaRequest()
        return self._pages(self._stub.ListCorpora, request, "corpora")

    def corpus(self, name: str) -> describe_pb2.Corpus:
        """Look up a corpus without reading its shards."""
        request = describe_pb2.GetCorpusRequest(corpus=corpus_ref(name))
        corpus: describe_pb2.Corpus = self._call(self._stub.GetCorpus, request).corpus
        return corpus

    def describe(
        self, name: str, *, progress: Progress | None = None
    ) -> describe_pb2.CorpusDescription:
        """Count what a corpus holds. The first call calls `progress` with each CountProgress."""
        request = describe_pb2.DescribeCorpusRequest(corpus=corpus_ref(name))
        result: describe_pb2.CorpusDescription = self._result(
            self._stub.DescribeCorpus, request, progress
        )
        return result

    def documents(self, corpus: str, ids: Iterable[str]) -> list[Document]:
        """Look up at most 1,000 documents by id."""
        request = stream_pb2.GetDocumentsRequest(corpus=corpus_ref(corpus), ids=ids)
        return _documents(self._call(self._stub.GetDocuments, request))


class AsyncCorpusClient(AsyncClient):
    """As CorpusClient, for programs with asyncio."""

    def __init__(
        self, target: str | Connection | grpc.aio.Channel, *, timeout: float | None = None
    ) -> None:
        super().__init__(target, timeout=timeout)
        self._stub = corpus_pb2_grpc.CorpusServiceStub(self._channel)

    def corpora(self) -> AsyncIterator[describe_pb2.CorpusSummary]:
        """Iterate the registered corpora, by name."""
        request = describe_pb2.ListCorporaRequest()
        return self._pages(self._stub.ListCorpora, request, "corpora")

    async def corpus(self, name: str) -> describe_pb2.Corpus:
        """As CorpusClient.corpus."""
        request = describe_pb2.GetCorpusRequest(corpus=corpus_ref(name))
        reply: describe_pb2.GetCorpusResponse = await self._call(self._stub.GetCorpus, request)
        return reply.corpus

    async def describe(
        self, name: str, *, progress: Progress | None = None
    ) -> describe_pb2.CorpusDescription:
        """As CorpusClient.describe."""
        request = describe_pb2.DescribeCorpusRequest(corpus=corpus_ref(name))
        result: describe_pb2.CorpusDescription = await self._result(
            self._stub.DescribeCorpus, request, progress
        )
        return result

    async def documents(self, corpus: str, ids: Iterable[str]) -> list[Document]:
        """As CorpusClient.documents."""
        request = stream_pb2.GetDocumentsRequest(corpus=corpus_ref(corpus), ids=ids)
        return _documents(await self._call(self._stub.GetDocuments, request))


def _documents(reply: stream_pb2.GetDocumentsResponse) -> list[Document]:
    return [
        Document(
            one.text.decode("utf-8", "surrogatepass"),
            one.subset,
            one.id,
            one.shard,
            one.line,
            one.frame if one.HasField("frame") else None,
            one.meta,
        )
        for one in reply.documents
    ]
