"""Runs one scoring at a time in a thread, with running figures about once a second."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from functools import cached_property, partial
from typing import TypeVar

from services.common.statistics.samples.sampling import METHOD
from services.corpus.bpb.compressors import COMPRESSORS
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.difference import Differences
from services.corpus.bpb.document_scoring import Progress, naming, score_after, score_document
from services.corpus.bpb.estimates import LEVEL, Scope
from services.corpus.bpb.figures import DocumentScore
from services.corpus.bpb.models.choice import Loaded
from services.corpus.bpb.models.compute import FASTEST, Compute
from services.corpus.bpb.models.language_model import ModelInfo
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.one_at_a_time import OneAtATime
from services.corpus.bpb.report import Drawing, Report
from services.corpus.bpb.sampling import Sample, Unit
from services.corpus.bpb.scoring import Running, ScoreOne, Scoring
from services.corpus.bpb.store import Keeping, ScoreStore
from services.corpus.shards.documents import Document
from services.errors import DigestMismatch, InvalidArgument, NotFound


@dataclass(frozen=True)
class Model:
    """A model that a caller requests; an empty version or digest accepts any."""

    name: str
    version: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Task:
    """The documents to score, how to score them, and how to store the scores.

    `documents` is called twice in the scoring's thread: documents are counted before they are
    scored, so that the time left is known and a sample can be drawn. `scope` is that of intervals,
    at `level`.
    With `contexts`, by document id, a context before a document is read but not scored, and the
    likelihood of every token is returned.
    """

    documents: Callable[[], Iterator[Document]]
    definition: Definition
    sample: Sample | None = None
    keeping: Keeping = field(default_factory=Keeping)
    compute: Compute = FASTEST
    scope: Scope = Scope.DOCUMENTS
    level: float = LEVEL
    contexts: Mapping[str, bytes] | None = None


@dataclass(frozen=True)
class Final:
    """The result of a scoring. `definition` is complete; a compressor has none.

    `cached` says that an earlier run had finished it; `loaded` is None for a compressor, `drawing`
    without a sample. `tokens_per_second` counts the tokens scored in this run, 0 for none. For a
    task with contexts `token_nats` has -log p of each scored token by document id, and
    `token_starts` its first byte.
    """

    model: ModelInfo
    definition: Definition | None
    scores: Sequence[DocumentScore]
    cached: bool
    loaded: Loaded | None
    drawing: Drawing | None = None
    scope: Scope = Scope.DOCUMENTS
    level: float = LEVEL
    tokens_per_second: float = 0.0
    token_nats: Mapping[str, Sequence[float]] = field(default_factory=dict)
    token_starts: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @cached_property
    def figures(self) -> Report:
        """The sums of the scores, and the figures of all documents."""
        return Report(self.scores, self.drawing, self.scope, self.level)


@dataclass(frozen=True)
class Comparison:
    """The results of two models on the same documents, and their difference."""

    model: Final
    against: Final
    differences: Differences


Result = TypeVar("Result")


class Scorers:
    """Describes and loads models and compressors."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def describe(self, name: str) -> ModelInfo:
        """Describe a model or a compressor. The first call on a model reads all of its files.

        Raises NotFound, listing the known names.
        """
        if name in COMPRESSORS:
            return COMPRESSORS[name].info
        try:
            return self._registry.describe(name)
        except NotFound as error:
            raise NotFound(error.kind, name, [*error.known, *COMPRESSORS], error.hint) from None

    def resolve(self, name: str, definition: Definition) -> Definition | None:
        """Resolve a definition for a model; None for a compressor, which has no windows.

        Raises InvalidArgument for parameters that do not fit the model, and for any of a
        compressor.
        """
        if name not in COMPRESSORS:
            return definition.resolve(self.describe(name))
        if definition != Definition():
            raise InvalidArgument(
                "definition", f"{name} compresses whole documents, without windows; leave it out"
            )
        return None

    def takes(self, name: str, definition: Definition) -> Definition:
        """Return the part of a shared definition that applies to this model or compressor."""
        return Definition() if name in COMPRESSORS else definition

    def start(self, name: str, compute: Compute) -> Loaded | None:
        """Load a model on its engine; None for a compressor. Blocks.

        Raises what `Registry.start` raises.
        """
        return None if name in COMPRESSORS else self._registry.start(name, compute)

    def score_one(
        self, name: str, loaded: Loaded | None, definition: Definition | None
    ) -> ScoreOne:
        """Return a function that scores a document by a resolved definition."""
        if loaded is None or definition is None:
            return COMPRESSORS[name].score
        return partial(score_document, loaded.model, definition)

    def score_after(
        self, loaded: Loaded, definition: Definition, contexts: Mapping[str, bytes]
    ) -> tuple[ScoreOne, dict[str, list[float]], dict[str, Sequence[int]]]:
        """Return a function that scores documents after their contexts, and its dictionaries.

        They get -log p of each scored token, and its first byte.
        """
        token_nats: dict[str, list[float]] = {}
        token_starts: dict[str, Sequence[int]] = {}

        def score(
            document: Document, progress: Progress, _: frozenset[int] | None
        ) -> DocumentScore:
            context = contexts.get(document.id, b"")
            found, nats = score_after(loaded.model, definition, document, context, progress)
            token_nats[document.id] = nats
            with naming(document):
                starts = loaded.model.token_starts(
                    document.text.decode("utf-8", "surrogatepass"),
                    special_tokens=bool(definition.special_tokens),
                )
            # The first is not scored without a prefix.
            token_starts[document.id] = starts[len(starts) - len(nats) :]
            return found

        return score, token_nats, token_starts


class ScoringJobs:
    """Takes scorings one at a time. Made once; `close` ends it."""

    def __init__(self, registry: Registry, store: ScoreStore | None = None) -> None:
        self._scorers = Scorers(registry)
        self._store = store or ScoreStore()
        self._runner = OneAtATime("scoring")

    def score(self, task: Task, model: Model) -> AsyncGenerator[Running | Final, None]:
        """Score documents, yielding running figures about once a second and the final ones last.

        Leaving the iterator ends the work at the next batch: use `contextlib.aclosing`. Finished
        documents are stored as the task says.

        Raises Overloaded while another job runs; NotFound; InvalidArgument for the definition, an
        empty selection or spans of a compressor; DigestMismatch for another version or digest than
        the model's; EngineUnavailable if the engine is not installed or does not agree with the
        reference; ModelUnusable for a model whose figures could not be trusted and a likelihood
        that is not finite; CheckpointMismatch for a checkpoint that is in use, damaged or of
        another scoring, StorageFull for one that cannot be written; and the errors of reading the
        documents.
        """
        return self._follow(lambda scoring: self._score(scoring, task, model))

    def check(self, model: Model, definition: Definition) -> None:
        """Check that a model exists and takes a definition. Raises as `score` does."""
        require_ref(model, self._scorers.describe(model.name))
        self._scorers.resolve(model.name, definition)

    def compare(
        self, task: Task, model: Model, against: Model
    ) -> AsyncGenerator[Running | Comparison, None]:
        """Score two models on the same documents, one after the other, as `score` does.

        The finished documents of each model are stored separately. Raises what `score` raises.
        """
        return self._follow(lambda scoring: self._compare(scoring, task, model, against))

    async def _follow(
        self, work: Callable[[Scoring], Result]
    ) -> AsyncGenerator[Running | Result, None]:
        scoring = Scoring()
        steps = self._runner.follow(lambda: work(scoring), scoring.caller)
        async with aclosing(steps) as results:
            async for result in results:
                yield scoring.running() if result is None else result

    def _compare(self, scoring: Scoring, task: Task, model: Model, against: Model) -> Comparison:
        both = [(one, self._scorers.takes(one.name, task.definition)) for one in (model, against)]
        task.definition.require_whole_texts("two models")
        for wanted, definition in both:  # before hours of work, not after
            with scoring.caller.waiting():
                self._scorers.resolve(wanted.name, definition)
            _require_cut(task, wanted.name)
        ours, theirs = (
            self._score(scoring, replace(task, definition=definition), wanted)
            for wanted, definition in both
        )
        found = Differences(ours.scores, theirs.scores, ours.drawing, task.scope, task.level)
        return Comparison(ours, theirs, found)

    def _score(self, scoring: Scoring, task: Task, wanted: Model) -> Final:
        # The first call reads all files, and another may be loading a model.
        with scoring.caller.waiting():
            info = self._scorers.describe(wanted.name)
        require_ref(wanted, info)
        definition = self._scorers.resolve(wanted.name, task.definition)
        _require_cut(task, wanted.name)
        with scoring.caller.waiting():
            loaded = self._scorers.start(wanted.name, task.compute)
        if loaded is not None:
            info = replace(info, engine=loaded.engine)
        facts = {**task.keeping.facts, **_facts(info, definition, task.sample)}
        facts["compute.precision"] = "" if loaded is None else loaded.precision.value
        token_nats: dict[str, list[float]] = {}
        token_starts: dict[str, Sequence[int]] = {}
        with closing(self._store.open(task.keeping, facts)) as journal:
            cached, scores = journal.complete, journal.finished
            if not cached:
                if task.contexts is None or loaded is None or definition is None:
                    score = self._scorers.score_one(wanted.name, loaded, definition)
                else:
                    score, token_nats, token_starts = self._scorers.score_after(
                        loaded, definition, task.contexts
                    )
                scores = scoring.run(
                    info.name, score, task.documents, sample=task.sample, journal=journal
                )
            drawn = journal.drawn
        drawing = None
        if task.sample is not None and drawn is not None:
            drawing = Drawing(task.sample.unit, drawn)
        speed = 0.0 if cached else scoring.running().tokens_per_second
        return Final(
            info,
            definition,
            scores,
            cached,
            loaded,
            drawing,
            task.scope,
            task.level,
            speed,
            token_nats,
            token_starts,
        )

    async def close(self) -> None:
        """End the running scoring, if any, and the thread."""
        await self._runner.close()


def _facts(info: ModelInfo, definition: Definition | None, sample: Sample | None) -> dict[str, str]:
    """The facts that decide the figures of documents, by the request's field names."""
    facts = {"model.digest": info.digest, "engine": info.engine}
    parts = (("definition", definition), ("selection.sample", sample))
    for name, part in parts:
        for each in fields(part) if part is not None else ():
            value = getattr(part, each.name)
            facts[f"{name}.{each.name}"] = str(value.value if isinstance(value, Enum) else value)
    if sample is not None:
        facts["selection.sample.method"] = METHOD
    return facts


def _require_cut(task: Task, name: str) -> None:
    """Raise InvalidArgument for parts of texts that a scorer or definition cannot score."""
    sample = task.sample
    if sample is not None:
        task.definition.require_whole_texts("a sample")
    if task.contexts is not None:
        task.definition.require_whole_texts("a text with a context, or likelihoods of tokens,")
        if name in COMPRESSORS:
            raise InvalidArgument(
                "texts",
                f"{name} has no likelihoods of tokens, nor after a context; leave these out",
            )
        if task.definition.special_tokens:
            raise InvalidArgument(
                "definition.special_tokens", "are not put around a text with a context"
            )
    if sample is not None and sample.unit is Unit.SPANS and name in COMPRESSORS:
        raise InvalidArgument(
            "selection.sample.spans",
            f"{name} compresses whole documents and cannot score spans; give "
            "selection.sample.documents (--sample-documents)",
        )


def require_ref(wanted: Model, info: ModelInfo) -> None:
    """Raise DigestMismatch if a model's version or digest differs from the requested one."""
    _require("version", wanted.version, info.version, info.name)
    _require("digest", wanted.digest, info.digest, info.name)


def _require(what: str, wanted: str, actual: str, name: str) -> None:
    if wanted and wanted != actual:
        raise DigestMismatch(
            f"the language model {name} has the {what} {actual}, not {wanted}; leave it empty to "
            "take what is served"
        )
