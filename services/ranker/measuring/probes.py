"""What the methods of one verification may ask, each thing asked once.

Pure over the two peers. An answer, or the failure to get one, is kept for the run: nothing is
measured twice, and a service that is down costs one timeout and not one a claim. Every answer
passes `plausibility` before a method sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from enum import StrEnum
from typing import TypeVar, cast

from services.errors import AssayError
from services.ranker.claims.facts import Facts
from services.ranker.claims.labelled import LabelledPicture, UnreadableError
from services.ranker.claims.model import SubjectRelation
from services.ranker.claims.registry import Registry
from services.ranker.measuring import plausibility
from services.ranker.peers.protocol import (
    AccuracyFigures,
    BpbFigures,
    CorpusFacts,
    CorpusKind,
    CorpusPeer,
    SegmentPeer,
    ServedCorpus,
    ServedModel,
    SpeedFigures,
    SpeedPlan,
    StorageFigures,
    StoragePlan,
    Weights,
)

T = TypeVar("T")

_HELD_OUT = ("test", "val")
_MEGABYTE = 1 << 20

_REPETITIONS = 9
"""The least with which all repetitions span a median at 99.5 %, and two medians' ratio at 99 %."""


_QUICK_PICTURES = 10


class Budget(StrEnum):
    """How much a verification may cost: about a minute an artifact, or what intervals need."""

    QUICK = "quick"
    FULL = "full"


class UnobservableError(Exception):
    """A method that has nothing to observe here; the message says what is missing."""


class Probes:
    """The questions of one verification, with their answers once they were asked."""

    def __init__(
        self,
        registry: Registry,
        facts: Facts,
        segment: SegmentPeer,
        corpus: CorpusPeer,
        budget: Budget,
        *,
        pictures: Sequence[LabelledPicture] = (),
    ) -> None:
        self.registry = registry
        self.facts = facts
        self.budget = budget
        self._segment = segment
        self._corpus = corpus
        self._pictures = pictures
        self._answers: dict[Hashable, object] = {}

    async def model(self, artifact: str) -> tuple[ServedModel, SubjectRelation]:
        """Return the served model nearest to an artifact, and how near it is.

        Raises `UnobservableError` when none is served or segment does not answer.
        """
        wanted = self.registry.artifact(artifact)
        models = await self._once("models", "segment", self._models)
        ranked = sorted(
            ((_model_relation(one, wanted.id, wanted.subject), one) for one in models),
            key=lambda pair: (
                list(SubjectRelation).index(pair[0]),
                pair[1].weights is not Weights.PUBLISHED,
                pair[1].name,
            ),
        )
        if not ranked:
            raise UnobservableError("segment serves no model")
        relation, model = ranked[0]
        return model, relation

    async def speed(self, model: ServedModel, plan: SpeedPlan) -> SpeedFigures:
        """Time a model."""

        async def ask() -> SpeedFigures:
            figures = await self._segment.time(model, plan)
            plausibility.check_speed(figures)
            return figures

        return await self._once(("speed", model.digest, plan), "segment", ask)

    async def accuracy(self, model: ServedModel) -> AccuracyFigures:
        """Compare a model's labels with masks: of a few pictures on the quick budget, else of all.

        Raises `UnobservableError` when no labelled pictures are at hand.
        """
        if not self._pictures:
            raise UnobservableError(
                "no labelled pictures are at hand: ASSAY_RANKER_LABELLED_PICTURES names a folder"
            )
        pictures = self._pictures
        if self.budget is Budget.QUICK:
            pictures = pictures[:_QUICK_PICTURES]

        async def ask() -> AccuracyFigures:
            try:
                figures = await self._segment.evaluate(model, pictures)
            except UnreadableError as error:
                raise UnobservableError(str(error)) from error
            plausibility.check_accuracy(figures, len(pictures))
            return figures

        return await self._once(("accuracy", model.digest), "segment", ask)

    async def corpus(self, artifact: str) -> tuple[ServedCorpus, SubjectRelation]:
        """Return the served corpus nearest to an artifact, and how near it is.

        Raises `UnobservableError` when none is served or corpus does not answer.
        """
        wanted = self.registry.artifact(artifact).subject
        corpora = await self._once("corpora", "corpus", self._corpus.corpora)
        for one in corpora:
            if one.name == wanted and one.kind is not CorpusKind.REFERENCE:
                complete = one.kind is CorpusKind.COMPLETE
                return one, SubjectRelation.EXACT if complete else SubjectRelation.SAMPLE
        if not corpora:
            raise UnobservableError("corpus serves no corpus")
        return min(corpora, key=lambda one: one.name), SubjectRelation.PROXY

    async def holdings(self, corpus: ServedCorpus) -> CorpusFacts:
        """Return what a corpus holds."""

        async def ask() -> CorpusFacts:
            facts = await self._corpus.describe(corpus)
            plausibility.check_corpus(facts)
            return facts

        return await self._once(("holdings", corpus.digest), "corpus", ask)

    async def storage(self, corpus: ServedCorpus) -> Sequence[StorageFigures]:
        """Measure codecs and readers on every split of a corpus."""
        full = self.budget is Budget.FULL
        size, repetitions = (16 * _MEGABYTE, 25) if full else (2 * _MEGABYTE, _REPETITIONS)

        async def ask() -> Sequence[StorageFigures]:
            found = []
            for split in corpus.splits:
                plan = StoragePlan(split, size, repetitions)
                figures = await self._corpus.storage(corpus, plan)
                plausibility.check_storage(figures)
                found.append(figures)
            return found

        return await self._once(("storage", corpus.digest), "corpus", ask)

    async def bits_per_byte(self, corpus: ServedCorpus) -> BpbFigures:
        """Score a language model on held-out documents of a corpus."""
        split = next((one for one in _HELD_OUT if one in corpus.splits), None)
        if split is None:
            raise UnobservableError(f"{corpus.name} has no held-out split here")
        documents = 60 if self.budget is Budget.FULL else 6

        async def ask() -> BpbFigures:
            models = await self._corpus.language_models()
            if not models:
                raise UnobservableError("corpus has no language model to score")
            figures = await self._corpus.score(corpus, split, models[0], documents)
            plausibility.check_score(figures)
            return figures

        return await self._once(("bits_per_byte", corpus.digest), "corpus", ask)

    async def _models(self) -> tuple[ServedModel, ...]:
        models = await self._segment.models()
        for model in models:
            plausibility.check_model(model)
        return models

    async def _once(self, key: Hashable, peer: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, or give the answer of the first time; a failure is an answer too."""
        if key not in self._answers:
            try:
                self._answers[key] = await ask()
            except UnobservableError as error:
                self._answers[key] = error
            except plausibility.ImplausibleError as error:
                problem = f"{error}; that is outside physics, so it is refused as evidence"
                self._answers[key] = UnobservableError(problem)
            except AssayError as error:
                self._answers[key] = UnobservableError(f"{peer} gave no answer: {error}")
        answer = self._answers[key]
        if isinstance(answer, UnobservableError):
            raise answer
        return cast("T", answer)


def _model_relation(model: ServedModel, artifact: str, architecture: str) -> SubjectRelation:
    if model.architecture != architecture:
        return SubjectRelation.PROXY
    if model.weights is Weights.PUBLISHED and model.name == artifact:
        return SubjectRelation.EXACT
    if model.weights is Weights.RANDOM:
        return SubjectRelation.SAME_ARCHITECTURE_RANDOM_WEIGHTS
    return SubjectRelation.PROXY
