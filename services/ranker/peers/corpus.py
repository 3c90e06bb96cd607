"""corpus as a `CorpusPeer`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc.aio
from assay_rpc.audit.v1alpha1 import corpus_audit_pb2, corpus_audit_pb2_grpc
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
from services.ranker.peers.protocol import CorpusPeer, ScorePlan
from services.rpc.client import outgoing

_DESCRIBE_SECONDS = 120.0
"""The first look at a corpus reads every shard."""

_AUDIT_SECONDS = 1800.0
_STORAGE_SECONDS = 300.0
_SCORE_SECONDS = 1800.0


class CorpusClient(CorpusPeer):
    """Calls corpus through its stubs."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = corpus_pb2_grpc.CorpusServiceStub(channel)
        self._scoring = scoring_pb2_grpc.ScoringServiceStub(channel)
        self._audit = corpus_audit_pb2_grpc.CorpusAuditServiceStub(channel)
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

    async def audit(self, corpus: selection_pb2.CorpusRef) -> corpus_audit_pb2.CorpusAudit:
        """What the texts of a corpus repeat and spell. Cancelling ends the work."""
        what = corpus_audit_pb2.CorpusToAudit(corpus=corpus, near_duplicates=True)

        async def requests() -> AsyncIterator[corpus_audit_pb2.AuditCorpusRequest]:
            yield corpus_audit_pb2.AuditCorpusRequest(audit=what)

        async with translated("corpus", _AUDIT_SECONDS):
            call = self._audit.AuditCorpus(requests(), **outgoing(_AUDIT_SECONDS))
            result: corpus_audit_pb2.CorpusAudit = await last(
                call, "result", "corpus ended the audit"
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

    async def language_models(self) -> tuple[scoring_pb2.LanguageModel, ...]:
        """The language models that can be scored, by name."""
        found: list[scoring_pb2.LanguageModel] = []
        token = ""
        # The first look at a model reads all of its files.
        async with translated("corpus", _DESCRIBE_SECONDS):
            while True:
                request = scoring_pb2.ListLanguageModelsRequest(page_size=100, page_token=token)
                reply = await self._scoring.ListLanguageModels(
                    request, **outgoing(_DESCRIBE_SECONDS), wait_for_ready=False
                )
                found.extend(reply.models)
                token = reply.next_page_token
                if not token:
                    return tuple(found)

    async def score(
        self, corpus: selection_pb2.CorpusRef, model: scoring_pb2.LanguageModel, plan: ScorePlan
    ) -> scoring_pb2.FinalScore:
        """Score a language model on documents. Cancelling ends it."""
        request = scoring_pb2.ScoreBPBRequest(
            corpus=corpus,
            selection=_selection(plan),
            model=model.ref,
            fresh=plan.fresh,
            interval_level=plan.level,
        )
        async with translated("corpus", _SCORE_SECONDS):
            call = self._scoring.ScoreBPB(request, **outgoing(_SCORE_SECONDS))
            final: scoring_pb2.FinalScore = await last(
                call, "result", f"corpus ended the scoring of {model.ref.name}"
            )
        return final

    async def compare(
        self,
        corpus: selection_pb2.CorpusRef,
        model: scoring_pb2.LanguageModel,
        against: scoring_pb2.LanguageModel,
        plan: ScorePlan,
    ) -> scoring_pb2.BPBComparison:
        """Score two language models on the same documents, paired. Cancelling ends it."""
        request = scoring_pb2.CompareBPBRequest(
            corpus=corpus,
            selection=_selection(plan),
            model=model.ref,
            against=against.ref,
            interval_level=plan.level,
        )
        async with translated("corpus", _SCORE_SECONDS):
            call = self._scoring.CompareBPB(request, **outgoing(_SCORE_SECONDS))
            found: scoring_pb2.BPBComparison = await last(
                call, "result", f"corpus ended the scoring of {model.ref.name}"
            )
        return found


def _selection(plan: ScorePlan) -> selection_pb2.Selection:
    found = selection_pb2.Selection(
        splits=[plan.split],
        subsets=plan.subsets,
        max_documents=plan.documents,
        max_bytes=plan.text_bytes,
    )
    if plan.spans:
        found.sample.spans = plan.spans
    return found
