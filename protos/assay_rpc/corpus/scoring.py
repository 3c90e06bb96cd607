"""Bits per byte of language models: `ScoringClient`, and the same for asyncio.

    from assay_rpc.client import ScoringClient, select

    with ScoringClient("localhost:50052") as scoring:
        few = select(subsets=["ArXiv"], max_documents=100)
        result = scoring.score("the-pile", "gpt2", selection=few)
        print(result.overall.bits_per_byte)

`selection` is what `select` makes; `definition` is "lm_eval", "pile_paper", "huggingface_guide",
"levanter", "paloma" or a message; `engine` is "openvino-cpu" and the like, `precision` "fp32",
"bf16" or "fp16". A call that a restart of the server cut off is made again, and continues where it
was. Every call raises AssayError, and ValueError for an unknown definition or precision.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Unpack

import grpc
import grpc.aio

from assay_rpc._clients import AsyncClient, Client, Progress
from assay_rpc.connection import Connection
from assay_rpc.corpus._requests import (
    CompareOptions,
    ModelOptions,
    ScoreOptions,
    compare_request,
    score_request,
    texts_request,
)
from assay_rpc.corpus.v1 import scoring_pb2, scoring_pb2_grpc


class ScoringClient(Client):
    """Scores language models and compressors."""

    def __init__(
        self, target: str | Connection | grpc.Channel, *, timeout: float | None = None
    ) -> None:
        super().__init__(target, timeout=timeout)
        self._stub = scoring_pb2_grpc.ScoringServiceStub(self._channel)

    def language_models(self) -> Iterator[scoring_pb2.LanguageModel]:
        """Iterate the language models that can be scored, by name."""
        request = scoring_pb2.ListLanguageModelsRequest()
        return self._pages(self._stub.ListLanguageModels, request, "models")

    def score(
        self,
        corpus: str,
        model: str,
        *,
        progress: Progress | None = None,
        **options: Unpack[ScoreOptions],
    ) -> scoring_pb2.FinalScore:
        """Score a model, or a compressor ("zstd-19", "xz"), on the documents of a selection.

        `progress` is called with each RunningScore.
        """
        request = score_request(corpus, model, **options)
        result: scoring_pb2.FinalScore = self._result(self._stub.ScoreBPB, request, progress)
        return result

    def compare(
        self,
        corpus: str,
        model: str,
        against: str,
        *,
        progress: Progress | None = None,
        **options: Unpack[CompareOptions],
    ) -> scoring_pb2.BPBComparison:
        """Score two models on the same documents. `progress` is called with each RunningScore."""
        request = compare_request(corpus, model, against, **options)
        result: scoring_pb2.BPBComparison = self._result(self._stub.CompareBPB, request, progress)
        return result

    def score_texts(
        self, texts: Iterable[str | bytes], model: str, **options: Unpack[ModelOptions]
    ) -> scoring_pb2.ScoreTextsResponse:
        """Score a model on texts, which are not stored."""
        request = texts_request(texts, model, **options)
        reply: scoring_pb2.ScoreTextsResponse = self._call(self._stub.ScoreTexts, request)
        return reply


class AsyncScoringClient(AsyncClient):
    """As ScoringClient, for programs with asyncio."""

    def __init__(
        self, target: str | Connection | grpc.aio.Channel, *, timeout: float | None = None
    ) -> None:
        super().__init__(target, timeout=timeout)
        self._stub = scoring_pb2_grpc.ScoringServiceStub(self._channel)

    def language_models(self) -> AsyncIterator[scoring_pb2.LanguageModel]:
        """As ScoringClient.language_models."""
        request = scoring_pb2.ListLanguageModelsRequest()
        return self._pages(self._stub.ListLanguageModels, request, "models")

    async def score(
        self,
        corpus: str,
        model: str,
        *,
        progress: Progress | None = None,
        **options: Unpack[ScoreOptions],
    ) -> scoring_pb2.FinalScore:
        """As ScoringClient.score."""
        request = score_request(corpus, model, **options)
        result: scoring_pb2.FinalScore = await self._result(self._stub.ScoreBPB, request, progress)
        return result

    async def compare(
        self,
        corpus: str,
        model: str,
        against: str,
        *,
        progress: Progress | None = None,
        **options: Unpack[CompareOptions],
    ) -> scoring_pb2.BPBComparison:
        """As ScoringClient.compare."""
        request = compare_request(corpus, model, against, **options)
        result: scoring_pb2.BPBComparison = await self._result(
            self._stub.CompareBPB, request, progress
        )
        return result

    async def score_texts(
        self, texts: Iterable[str | bytes], model: str, **options: Unpack[ModelOptions]
    ) -> scoring_pb2.ScoreTextsResponse:
        """As ScoringClient.score_texts."""
        request = texts_request(texts, model, **options)
        reply: scoring_pb2.ScoreTextsResponse = await self._call(self._stub.ScoreTexts, request)
        return reply
