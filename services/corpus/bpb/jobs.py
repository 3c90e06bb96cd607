"""Runs one scoring at a time in a thread, with running figures about once a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import cached_property
from typing import Any, TypeVar

from services.corpus.bpb.definition import Definition
from services.corpus.bpb.difference import Differences, differences
from services.corpus.bpb.figures import DocumentScore, Figures
from services.corpus.bpb.models.choice import Loaded
from services.corpus.bpb.models.compute import FASTEST, Compute
from services.corpus.bpb.models.language_model import ModelInfo
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.sampling import Sample
from services.corpus.bpb.scorers import Scorers
from services.corpus.bpb.scoring import Running, Scoring
from services.corpus.bpb.store import Keeping, ScoreStore
from services.corpus.shards.documents import Document
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
class Task:
    """Which documents are scored, how, and how the scores are kept.

    `documents` is called in the scoring's thread, twice: they are counted before they are scored,
    so that the time left is known and a sample can be drawn.
    """

    documents: Callable[[], Iterator[Document]]
    definition: Definition
    sample: Sample | None = None
    keeping: Keeping = field(default_factory=Keeping)
    compute: Compute = FASTEST


@dataclass(frozen=True)
class Final:
    """The result of a scoring. `definition` is spelled out in full; a compressor has none.

    `cached` says that an earlier run had finished it; `loaded` is None for a compressor.
    """

    model: ModelInfo
    definition: Definition | None
    scores: Sequence[DocumentScore]
    cached: bool
    loaded: Loaded | None

    @cached_property
    def figures(self) -> Figures:
        """The sums of the scores."""
        figures = Figures()
        for score in self.scores:
            figures.add(score)
        return figures


@dataclass(frozen=True)
class Comparison:
    """The results of two models on the same documents, and how they differ."""

    model: Final
    against: Final
    differences: Differences


Result = TypeVar("Result")


class ScoringJobs:
    """Takes scorings one at a time. Made once; `close` ends it."""

    def __init__(self, registry: Registry, store: ScoreStore | None = None) -> None:
        self._scorers = Scorers(registry)
        self._store = store or ScoreStore()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bpb")
        self._busy = False
        self._scoring: Scoring | None = None

    def score(self, task: Task, model: Model) -> AsyncGenerator[Running | Final, None]:
        """Score documents, yielding running figures about once a second and the final ones last.

        Leaving the iterator ends the work at the next batch: use `contextlib.aclosing`. What was
        finished is kept as the task says.

        Raises Overloaded while another job runs; NotFound; InvalidArgument for the definition, an
        empty selection or a sample larger than it; PreconditionFailed for another version or digest
        than the model's, when what runs the model is not installed, or for a checkpoint that is in
        use, damaged or of something else; InternalError for a likelihood that is not finite and a
        checkpoint that cannot be written; and whatever reading the documents raises.
        """
        return self._follow(lambda scoring: self._score(scoring, task, model))

    def compare(
        self, task: Task, model: Model, against: Model
    ) -> AsyncGenerator[Running | Comparison, None]:
        """Score two models on the same documents, one after the other, as `score` does.

        What each of the two finished is kept by itself. Raises what `score` raises.
        """
        return self._follow(lambda scoring: self._compare(scoring, task, model, against))

    async def _follow(
        self, work: Callable[[Scoring], Result]
    ) -> AsyncGenerator[Running | Result, None]:
        if self._busy:
            raise Overloaded(
                "another scoring is running, and they run one at a time", _RETRY_SECONDS
            )
        self._busy = True
        scoring = self._scoring = Scoring()
        running = asyncio.get_running_loop().run_in_executor(self._executor, work, scoring)
        running.add_done_callback(self._release)
        try:
            while not (await asyncio.wait({running}, timeout=_INTERVAL_SECONDS))[0]:
                yield scoring.running()
            yield running.result()
        finally:
            scoring.cancel()

    def _compare(self, scoring: Scoring, task: Task, model: Model, against: Model) -> Comparison:
        both = [(one, self._scorers.takes(one.name, task.definition)) for one in (model, against)]
        for wanted, definition in both:  # before hours of work, not after
            self._scorers.resolve(wanted.name, definition)
        ours, theirs = (
            self._score(scoring, replace(task, definition=definition), wanted)
            for wanted, definition in both
        )
        return Comparison(ours, theirs, differences(ours.scores, theirs.scores))

    def _score(self, scoring: Scoring, task: Task, wanted: Model) -> Final:
        info = self._scorers.describe(wanted.name)
        _require("version", wanted.version, info.version, info.name)
        _require("digest", wanted.digest, info.digest, info.name)
        definition = self._scorers.resolve(wanted.name, task.definition)
        loaded = self._scorers.start(wanted.name, task.compute)
        if loaded is not None:
            info = replace(info, engine=loaded.engine)
        facts = {**task.keeping.facts, **_facts(info, definition, task.sample)}
        facts["compute.precision"] = "" if loaded is None else loaded.precision.value
        with self._store.open(task.keeping, facts) as kept:
            cached, scores = kept.complete, kept.finished
            if not cached:
                score = self._scorers.score_one(wanted.name, loaded, definition)
                scores = scoring.run(
                    info.name, score, task.documents, sample=task.sample, kept=kept
                )
        return Final(info, definition, scores, cached, loaded)

    def _release(self, work: asyncio.Future[Any]) -> None:
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


def _facts(info: ModelInfo, definition: Definition | None, sample: Sample | None) -> dict[str, str]:
    """What decides the figures of documents, spelled out by the request's field names."""
    facts = {"model.digest": info.digest, "engine": info.engine}
    parts = (("definition", definition), ("selection.sample", sample))
    for name, part in parts:
        for each in fields(part) if part is not None else ():
            value = getattr(part, each.name)
            facts[f"{name}.{each.name}"] = str(value.value if isinstance(value, Enum) else value)
    return facts


def _require(what: str, wanted: str, actual: str, name: str) -> None:
    if wanted and wanted != actual:
        raise PreconditionFailed(
            f"the language model {name} has the {what} {actual}, not {wanted}; leave it empty to "
            "take what is served"
        )
