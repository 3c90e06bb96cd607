"""ScoringService: language models scored on selections and on texts of the caller."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import grpc
from assay_rpc.corpus.v1 import scoring_pb2, scoring_pb2_grpc

from services.corpus.api.bpb import BpbScorer
from services.corpus.api.selections import Selections
from services.rpc.pagination import page

Context = grpc.aio.ServicerContext[Any, Any]


class ScoringService(scoring_pb2_grpc.ScoringServiceServicer):
    """Scores language models. Streams are coroutines, as in CorpusService."""

    def __init__(self, selections: Selections, scorer: BpbScorer) -> None:
        self._selections = selections
        self._scorer = scorer

    async def ListLanguageModels(  # noqa: N802  # the contract's name
        self,
        request: scoring_pb2.ListLanguageModelsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> scoring_pb2.ListLanguageModelsResponse:
        """List the language models by name."""
        models, token = page(
            await self._scorer.list_models(),
            request.page_size,
            request.page_token,
            key=lambda model: model.ref.name,
        )
        return scoring_pb2.ListLanguageModelsResponse(models=models, next_page_token=token)

    async def ScoreBPB(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: scoring_pb2.ScoreBPBRequest, context: Context
    ) -> None:
        """Score a model on a selection."""
        source = await self._selections.source(request.corpus, request.selection)
        async with aclosing(self._scorer.score(request, source)) as updates:
            async for update in updates:
                await context.write(update)

    async def CompareBPB(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: scoring_pb2.CompareBPBRequest, context: Context
    ) -> None:
        """Score two models on a selection, and their difference."""
        source = await self._selections.source(request.corpus, request.selection)
        async with aclosing(self._scorer.compare(request, source)) as updates:
            async for update in updates:
                await context.write(update)

    async def ScoreTexts(  # noqa: N802  # the contract's name
        self,
        request: scoring_pb2.ScoreTextsRequest,
        context: Context,  # noqa: ARG002  # gRPC passes it
    ) -> scoring_pb2.ScoreTextsResponse:
        """Score a model on texts that the caller sent."""
        return await self._scorer.score_texts(request)
