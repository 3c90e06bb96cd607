"""corpus as a `CorpusPeer`: its stubs' messages as plain values."""

from __future__ import annotations

import grpc.aio
from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2, corpus_pb2_grpc

from services.ranker.peers.calls import LOOK_UP_SECONDS, environment, last, translated
from services.ranker.peers.protocol import (
    BpbFigures,
    Codec,
    CorpusFacts,
    CorpusKind,
    ServedCorpus,
    Shard,
    StorageFigures,
    StoragePlan,
    Subset,
    SubsetScore,
)
from services.rpc.client import outgoing

_DESCRIBE_SECONDS = 120.0
"""The first look at a corpus reads every shard."""

_STORAGE_SECONDS = 300.0
_SCORE_SECONDS = 300.0
_REFERENCE_MODEL = "byte-reference"

_KINDS = {
    corpus_pb2.CORPUS_KIND_COMPLETE: CorpusKind.COMPLETE,
    corpus_pb2.CORPUS_KIND_SAMPLE: CorpusKind.SAMPLE,
    corpus_pb2.CORPUS_KIND_REFERENCE: CorpusKind.REFERENCE,
}


class CorpusClient:
    """Calls corpus through its stubs. Implements `services.ranker.peers.protocol.CorpusPeer`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = corpus_pb2_grpc.CorpusServiceStub(channel)
        self._admin = corpus_pb2_grpc.CorpusAdminServiceStub(channel)

    async def corpora(self) -> tuple[ServedCorpus, ...]:
        """Every registered corpus."""
        found: list[ServedCorpus] = []
        token = ""
        async with translated("corpus", LOOK_UP_SECONDS):
            while True:
                request = corpus_pb2.ListCorporaRequest(page_size=100, page_token=token)
                reply = await self._stub.ListCorpora(request, **outgoing(LOOK_UP_SECONDS))
                found.extend(
                    ServedCorpus(
                        one.corpus.name, one.corpus.digest, _kind(one.kind), (*one.splits,)
                    )
                    for one in reply.corpora
                )
                token = reply.next_page_token
                if not token:
                    return tuple(found)

    async def describe(self, corpus: ServedCorpus) -> CorpusFacts:
        """What a corpus holds."""
        request = corpus_pb2.DescribeCorpusRequest(corpus=_ref(corpus))
        async with translated("corpus", _DESCRIBE_SECONDS):
            reply = await self._stub.DescribeCorpus(request, **outgoing(_DESCRIBE_SECONDS))
        return CorpusFacts(
            corpus=corpus,
            shards=tuple(
                Shard(one.path, one.compressed_bytes, one.jsonl_bytes, one.digest)
                for one in reply.shards
            ),
            subsets=tuple(_subset(one) for one in reply.subsets),
            documents=reply.documents,
            text_bytes=reply.text_bytes,
            documents_without_subset=reply.documents_without_subset,
            duplicate_documents=reply.duplicate_documents,
        )

    async def storage(self, corpus: ServedCorpus, plan: StoragePlan) -> StorageFigures:
        """Measure codecs and readers on a corpus. Cancelling ends the measurement."""
        request = corpus_pb2.BenchmarkStorageRequest(
            corpus=_ref(corpus),
            split=plan.split,
            sample_bytes=plan.sample_bytes,
            repetitions=plan.repetitions,
        )
        async with translated("corpus", _STORAGE_SECONDS):
            call = self._admin.BenchmarkStorage(request, **outgoing(_STORAGE_SECONDS))
            result = await last(call, "result", "corpus ended the storage benchmark")
        return _storage(result, plan.split)

    async def language_models(self) -> tuple[str, ...]:
        """Names of the language models that can be scored, the reference model first."""
        async with translated("corpus", LOOK_UP_SECONDS):
            request = corpus_pb2.ListLanguageModelsRequest(page_size=1000)
            reply = await self._stub.ListLanguageModels(request, **outgoing(LOOK_UP_SECONDS))
        names = [one.ref.name for one in reply.models]
        return tuple(sorted(names, key=lambda name: (name != _REFERENCE_MODEL, name)))

    async def score(
        self, corpus: ServedCorpus, split: str, model: str, documents: int
    ) -> BpbFigures:
        """Score a language model on the first documents of a split. Cancelling ends it."""
        request = corpus_pb2.ScoreBPBRequest(
            corpus=_ref(corpus),
            selection=corpus_pb2.Selection(splits=[split], max_documents=documents),
            model=common_pb2.ModelRef(name=model),
        )
        async with translated("corpus", _SCORE_SECONDS):
            call = self._stub.ScoreBPB(request, **outgoing(_SCORE_SECONDS))
            final = await last(call, "final", f"corpus ended the scoring of {model}")
        return BpbFigures(
            model=final.model.name,
            model_digest=final.model.digest,
            overall=_score(final.overall),
            subsets={one.subset: _score(one.score) for one in final.subsets},
            environment=environment(final.environment),
        )


def _kind(kind: corpus_pb2.CorpusKind.ValueType) -> CorpusKind:
    return _KINDS.get(kind, CorpusKind.REFERENCE)


def _ref(corpus: ServedCorpus) -> corpus_pb2.CorpusRef:
    return corpus_pb2.CorpusRef(name=corpus.name, digest=corpus.digest)


def _subset(info: corpus_pb2.SubsetInfo) -> Subset:
    published = info.published.weight if info.HasField("published") else None
    return Subset(info.name, info.documents, info.text_bytes, published)


def _score(score: corpus_pb2.Score) -> SubsetScore:
    return SubsetScore(score.nats, score.text_bytes, score.documents, score.bits_per_byte)


def _storage(result: corpus_pb2.StorageResult, split: str) -> StorageFigures:
    return StorageFigures(
        split=split,
        sample_bytes=result.sample_bytes,
        codecs={one.codec: Codec(one.ratio, tuple(one.seconds)) for one in result.codecs},
        streamed_bytes=result.streaming.jsonl_bytes,
        streaming_growth_bytes=result.streaming.peak_growth_bytes,
        lines=result.plain_parse.lines,
        lines_parsed=result.plain_parse.parsed,
        environment=environment(result.environment),
    )
