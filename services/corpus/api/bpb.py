"""Bits per byte for the servicer: requests in, the contract's messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2 as pb

from services.corpus.api import bpb_replies, bpb_requests
from services.corpus.bpb.jobs import Comparison, Final, ScoringJobs, Task
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.store import Keeping, ScoreStore
from services.corpus.shards.documents import Document
from services.errors import InternalError
from services.rpc.environment import environment

_PACKAGES = ("numpy", "onnxruntime", "openvino", "tokenizers", "torch", "transformers", "zstandard")


@dataclass(frozen=True)
class Source:
    """The documents of a resolved selection. `digests` say which, by the request's field names.

    `documents` is called twice, in a thread.
    """

    corpus: pb.CorpusRef
    digests: Mapping[str, str]
    documents: Callable[[], Iterator[Document]]


class BpbScorer:
    """The registered language models and their scoring, one job at a time."""

    def __init__(self, directories: Mapping[str, Path], store: ScoreStore | None = None) -> None:
        """Register models by name; nothing is read before `open`, nor kept without a store."""
        self._registry = Registry(directories)
        self._jobs = ScoringJobs(self._registry, store)

    async def open(self) -> None:
        """Check the models' directories.

        Raises InvalidArgument, naming what is missing, for one that is not a model's.
        """
        await asyncio.to_thread(self._registry.check)

    async def close(self) -> None:
        """End the scoring that runs, if any, and the thread."""
        await self._jobs.close()

    async def list_models(self) -> list[pb.LanguageModel]:
        """Describe every model, by name. The first call reads all of their files."""
        infos = await asyncio.to_thread(self._registry.list)
        return [bpb_replies.language_model(info) for info in infos]

    async def score(
        self, request: pb.ScoreBPBRequest, source: Source
    ) -> AsyncGenerator[pb.ScoreBPBResponse, None]:
        """Score the request's model on documents.

        Yields running figures about once a second and the final ones last. Leaving the iterator
        ends the work at the next batch: use `contextlib.aclosing`.

        Raises what `ScoringJobs.score` raises.
        """
        model = bpb_requests.model_of("model", request.model)
        machine = await asyncio.to_thread(environment, *_PACKAGES)
        task = _task(request, source, machine, request.checkpoint)
        async with aclosing(self._jobs.score(task, model)) as updates:
            async for update in updates:
                if isinstance(update, Final):
                    final = bpb_replies.final(update, source.corpus, machine)
                    yield pb.ScoreBPBResponse(final=final)
                else:
                    yield pb.ScoreBPBResponse(running=bpb_replies.running(update))

    async def compare(
        self, request: pb.CompareBPBRequest, source: Source
    ) -> AsyncGenerator[pb.CompareBPBResponse, None]:
        """Score the request's two models on the same documents, as `score` does.

        Raises what `ScoringJobs.compare` raises.
        """
        model = bpb_requests.model_of("model", request.model)
        against = bpb_requests.model_of("against", request.against)
        machine = await asyncio.to_thread(environment, *_PACKAGES)
        task = _task(request, source, machine)
        async with aclosing(self._jobs.compare(task, model, against)) as updates:
            async for update in updates:
                if isinstance(update, Comparison):
                    final = bpb_replies.comparison(update, source.corpus, machine)
                    yield pb.CompareBPBResponse(final=final)
                else:
                    yield pb.CompareBPBResponse(running=bpb_replies.running(update))

    async def score_texts(self, request: pb.ScoreTextsRequest) -> pb.ScoreTextsResponse:
        """Score the request's model on its texts; nothing is kept. Raises what `score` raises."""
        model = bpb_requests.model_of("model", request.model)
        documents = bpb_requests.documents_of(request.texts)
        task = Task(lambda: iter(documents), bpb_requests.definition_of(request.definition))
        task = replace(task, compute=bpb_requests.compute_of(request.compute))
        machine = await asyncio.to_thread(environment, *_PACKAGES)
        async with aclosing(self._jobs.score(task, model)) as updates:
            async for update in updates:
                if isinstance(update, Final):
                    return bpb_replies.texts(update, machine)
        raise InternalError("the scoring ended without final figures")


def _task(
    request: pb.ScoreBPBRequest | pb.CompareBPBRequest,
    source: Source,
    machine: common_pb2.Environment,
    checkpoint: str = "",
) -> Task:
    facts = {
        "corpus.digest": source.corpus.digest,
        **{f"selection.{name}": digest for name, digest in source.digests.items()},
        "environment.cpu": machine.cpu,
        **{f"environment.versions.{name}": version for name, version in machine.versions.items()},
    }
    return Task(
        source.documents,
        bpb_requests.definition_of(request.definition),
        bpb_requests.sample_of(request.selection),
        Keeping(facts, checkpoint, request.fresh),
        bpb_requests.compute_of(request.compute),
    )
