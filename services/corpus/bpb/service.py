"""Bits per byte for the servicer: requests in, the contract's messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path

from assay.corpus.v1 import corpus_pb2 as pb

from services.corpus.bpb import replies
from services.corpus.bpb.jobs import Final, Model, ScoringJobs
from services.corpus.bpb.registry import Registry
from services.corpus.documents import Document
from services.errors import InvalidArgument
from services.rpc.environment import environment

_PACKAGES = ("numpy", "onnxruntime", "tokenizers", "torch", "transformers")


class BpbScorer:
    """The registered language models and their scoring, one job at a time."""

    def __init__(self, directories: Mapping[str, Path]) -> None:
        """Register models by name; nothing is read before `open`."""
        self._registry = Registry(directories)
        self._jobs = ScoringJobs(self._registry)

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
        return [replies.language_model(info) for info in infos]

    async def score(
        self, request: pb.ScoreBPBRequest, documents: Callable[[], Iterator[Document]]
    ) -> AsyncGenerator[pb.ScoreBPBResponse, None]:
        """Score the request's model on documents; its corpus goes into the reply as it stands.

        Yields running figures about once a second and the final ones last. Leaving the iterator
        ends the work at the next batch: use `contextlib.aclosing`. `documents` is called twice,
        in a thread.

        Raises what `ScoringJobs.score` raises.
        """
        if not request.model.name:
            raise InvalidArgument("model.name", "is empty; ListLanguageModels lists the names")
        wanted = Model(request.model.name, request.model.version, request.model.digest)
        definition = replies.definition_of(request.definition)
        machine = await asyncio.to_thread(environment, *_PACKAGES)
        async with aclosing(self._jobs.score(documents, wanted, definition)) as updates:
            async for update in updates:
                if isinstance(update, Final):
                    yield replies.final(update, request.corpus, machine)
                else:
                    yield replies.running(update)
