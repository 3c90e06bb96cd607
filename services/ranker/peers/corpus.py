"""corpus as a `CorpusPeer`."""

from __future__ import annotations

import grpc.aio
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import (
    benchmark_pb2,
    benchmark_pb2_grpc,
    corpus_pb2_grpc,
    describe_pb2,
    scoring_pb2,
    scoring_pb2_grpc,
    selection_pb2,
)

from services.ranker.peers.calls import LOOK_UP_SECONDS, last, translated
from services.rpc.client import outgoing

_DESCRIBE_SECONDS = 120.0
"""The first look at a corpus reads every shard."""

_STORAGE_SECONDS = 300.0
_SCORE_SECONDS = 300.0
_REFERENCE_MODEL = "byte-reference"


class CorpusClient:
    """Calls corpus through its stubs. Implements `services.ranker.peers.protocol.CorpusPeer`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = corpus_pb2_grpc.CorpusServiceStub(channel)
        self._scoring = scoring_pb2_grpc.ScoringServiceStub(channel)
        self._benchmark = benchmark_pb2_grpc.CorpusBenchmarkServiceStub(channel)

    async def corpora(self) -> tuple[describe_pb2.CorpusSummary, ...]:
        """Every registered corpus."""
        found: list[describe_pb2.CorpusSummary] = []
        token = ""
        async with translated("corpus", LOOK_UP_SECONDS):
            while True:
                request = describe_pb2.ListCorporaRequest(page_size=100, page_token=token)
                reply = await self._stub.ListCorpora(
                    request, **outgoing(LOOK_UP_SECONDS), wait_for_ready=False
                )
                found.extend(reply.corpora)
                token = reply.next_page_token
                if not token:
                    return tuple(found)

    async def describe(self, corpus: selection_pb2.CorpusRef) -> describe_pb2.CorpusDescription:
        """What a corpus holds."""
        request = describe_pb2.DescribeCorpusRequest(corpus=corpus)
        async with translated("corpus", _DESCRIBE_SECONDS):
            call = self._stub.DescribeCorpus(request, **outgoing(_DESCRIBE_SECONDS))
            result: describe_pb2.CorpusDescription = await last(
                call, "result", "corpus ended the description"
            )
        return result

    async def storage(
        self, corpus: selection_pb2.CorpusRef, split: str, sample_bytes: int, repetitions: int
    ) -> benchmark_pb2.StorageResult:
        """Measure codecs and readers on bytes of a split. Cancelling ends the measurement."""
        request = benchmark_pb2.BenchmarkStorageRequest(
            corpus=corpus, split=split, sample_bytes=sample_bytes, repetitions=repetitions
        )
        async with translated("corpus", _STORAGE_SECONDS):
            call = self._benchmark.BenchmarkStorage(request, **outgoing(_STORAGE_SECONDS))
            result: benchmark_pb2.StorageResult = await last(
                call, "result", "corpus ended the storage benchmark"
            )
        return result

    async def language_models(self) -> tuple[str, ...]:
        """Names of the language models that can be scored, the reference model first."""
        async with translated("corpus", LOOK_UP_SECONDS):
            request = scoring_pb2.ListLanguageModelsRequest(page_size=1000)
            reply = await self._scoring.ListLanguageModels(
                request, **outgoing(LOOK_UP_SECONDS), wait_for_ready=False
            )
        names = [one.ref.name for one in reply.models]
        return tuple(sorted(names, key=lambda name: (name != _REFERENCE_MODEL, name)))

    async def score(
        self, corpus: selection_pb2.CorpusRef, split: str, model: str, documents: int
    ) -> scoring_pb2.FinalScore:
        """Score a language model on the first documents of a split. Cancelling ends it."""
        request = scoring_pb2.ScoreBPBRequest(
            corpus=corpus,
            selection=selection_pb2.Selection(splits=[split], max_documents=documents),
            model=common_pb2.ModelRef(name=model),
        )
        async with translated("corpus", _SCORE_SECONDS):
            call = self._scoring.ScoreBPB(request, **outgoing(_SCORE_SECONDS))
            final: scoring_pb2.FinalScore = await last(
                call, "result", f"corpus ended the scoring of {model}"
            )
        return final
