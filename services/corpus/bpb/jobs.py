"""Runs one scoring at a time in a thread, with running figures about once a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from services.corpus.bpb.definition import Definition
from services.corpus.bpb.figures import Figures
from services.corpus.bpb.language_model import ModelInfo
from services.corpus.bpb.registry import Registry
from services.corpus.bpb.scorers import Scorers
from services.corpus.bpb.scoring import Running, Scoring
from services.corpus.documents import Document
from services.errors import Overloaded, PreconditionFailed

_INTERVAL_SECONDS = 1.0
_RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class Model:
    """A model that a caller asks for; an empty version or digest is any."""

    name: str
    version: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Final:
    """The result of a scoring. `definition` is spelled out in full; a compressor has none."""

    model: ModelInfo
    definition: Definition | None
    figures: Figures


class ScoringJobs:
    """Takes scorings one at a time. Made once; `close` ends it."""

    def __init__(self, registry: Registry) -> None:
        self._scorers = Scorers(registry)
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bpb")
        self._busy = False
        self._scoring: Scoring | None = None

    async def score(
        self, documents: Callable[[], Iterator[Document]], model: Model, definition: Definition
    ) -> AsyncGenerator[Running | Final, None]:
        """Score documents, yielding running figures about once a second and the final ones last.

        `documents` is called in the scoring's thread, twice: they are counted before they are
        scored, so that the time left is known. Leaving the iterator ends the work at the next
        batch: use `contextlib.aclosing`.

        Raises Overloaded while another job runs; NotFound; InvalidArgument for the definition or
        an empty selection; PreconditionFailed for another version or digest than the model's, or
        when what runs the model is not installed; InternalError for a likelihood that is not
        finite; and whatever reading the documents raises.
        """
        if self._busy:
            raise Overloaded(
                "another scoring is running, and they run one at a time", _RETRY_SECONDS
            )
        self._busy = True
        scoring = self._scoring = Scoring()
        work = asyncio.get_running_loop().run_in_executor(
            self._executor, self._work, scoring, documents, model, definition
        )
        work.add_done_callback(self._release)
        try:
            while not (await asyncio.wait({work}, timeout=_INTERVAL_SECONDS))[0]:
                yield scoring.running()
            yield work.result()
        finally:
            scoring.cancel()

    def _work(
        self,
        scoring: Scoring,
        documents: Callable[[], Iterator[Document]],
        wanted: Model,
        definition: Definition,
    ) -> Final:
        info = self._scorers.describe(wanted.name)
        _require("version", wanted.version, info.version, info.name)
        _require("digest", wanted.digest, info.digest, info.name)
        resolved = self._scorers.resolve(wanted.name, definition)
        score = self._scorers.load(wanted.name, resolved)
        return Final(info, resolved, scoring.run(score, documents))

    def _release(self, work: asyncio.Future[Final]) -> None:
        """Be ready for the next job: a scoring whose caller left has ended now, too."""
        self._busy = False
        self._scoring = None
        if not work.cancelled():
            work.exception()  # seen: how a scoring ends that nobody waits for interests nobody

    async def close(self) -> None:
        """End the scoring that runs, if any, and the thread."""
        if self._scoring is not None:
            self._scoring.cancel()
        await asyncio.to_thread(self._executor.shutdown)


def _require(what: str, wanted: str, actual: str, name: str) -> None:
    if wanted and wanted != actual:
        raise PreconditionFailed(
            f"the language model {name} has the {what} {actual}, not {wanted}; leave it empty to "
            "take what is served"
        )
