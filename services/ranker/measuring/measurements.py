"""Measurements of one verification's methods, each made once.

Pure over the two peers. An answer, or the failure to get one, is kept for the run: nothing is
measured twice, and a service that is down costs one timeout instead of one for each claim. Every
answer passes `plausibility` before a method sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar, cast

from services.errors import AssayError, LicenseNotAccepted, Unsupported
from services.ranker.claims.definition import Part
from services.ranker.claims.evidence import Observation
from services.ranker.claims.facts import Facts, quoted
from services.ranker.claims.findings import Evidence, UnmeasuredReason
from services.ranker.claims.model import Artifact, Claim, SubjectRelation
from services.ranker.claims.registry import Registry
from services.ranker.measuring import plausibility, served, subjects
from services.ranker.measuring.labelled_images import LabelledImage, UnreadableError
from services.ranker.measuring.unobservable import UnobservableError
from services.ranker.peers.protocol import (
    WEIGHTS_KIND_REFERENCE,
    Accuracy,
    BenchmarkResult,
    BPBComparison,
    CorpusAudit,
    CorpusDescription,
    CorpusPeer,
    CorpusSummary,
    FinalScore,
    LanguageModel,
    Model,
    ScorePlan,
    SegmentPeer,
    SpeedPlan,
    StorageResult,
)

T = TypeVar("T")
Earlier = Callable[[Claim], Awaitable[Sequence[Evidence]]]

_MEBIBYTE = 1 << 20

_MIN_REPETITIONS = 9
"""Least repetitions whose range covers a median at 99.5 %, and a ratio of medians at 99 %."""


_MAX_QUICK_PICTURES = 10
_MAX_QUICK_TEXT_BYTES = 256 * _MEBIBYTE


class Measurement(StrEnum):
    """Kinds of measurement; methods of one kind share its result within a run."""

    NONE = "none"
    MODEL_FACTS = "the model's recorded facts"
    SINGLE_STREAM = "latency, one picture at a time"
    OFFLINE = "throughput by batch"
    ACCURACY = "labels against masks"
    CORPUS_FACTS = "what the corpus holds"
    CORPUS_AUDIT = "what the texts of the corpus are made of"
    STORAGE = "compression and reading of the corpus"
    LANGUAGE_MODEL_FACTS = "what the language model is"
    BITS_PER_BYTE = "bits per byte of held-out documents"
    TOKENS_PER_SECOND = "tokens a second"


class Budget(StrEnum):
    """Cost limit of a verification: about a minute an artifact, or what intervals need."""

    QUICK = "quick"
    FULL = "full"


class Measurements:
    """Asks the peers for measurements, and keeps the answers of one verification."""

    def __init__(
        self,
        registry: Registry,
        facts: Facts,
        segment: SegmentPeer,
        corpus: CorpusPeer,
        budget: Budget,
        *,
        pictures: Sequence[LabelledImage] = (),
        earlier: Earlier | None = None,
    ) -> None:
        """`earlier` returns stored evidence on a claim; by default there is none."""
        self.registry = registry
        self.facts = facts
        self.budget = budget
        self._earlier = earlier
        self._segment = segment
        self._corpus = corpus
        self._pictures = pictures
        self._answers: dict[Hashable, object] = {}

    def published(self, claim: Claim) -> Observation | None:
        """What is published of a claim, or quoted by its manifest; None without either.

        Published facts exist only for claims that come with the ranker.
        """
        if self.registry.is_packaged(claim):
            return self.facts.of(claim.id)
        return quoted(claim)

    async def earlier(self, claim: Claim) -> Sequence[Evidence]:
        """Return what earlier verifications observed of a claim; nothing if it cannot be read.

        Earlier timings are pooled with new ones, and never replace them.
        """
        return await self._earlier(claim) if self._earlier else ()

    def _artifact(self, name: str) -> Artifact:
        if not name:
            raise UnobservableError("the claim is about a page and names no artifact to measure")
        if gone := self.registry.aside(name):
            raise UnobservableError(f"{name} was {gone}", UnmeasuredReason.OTHER_SUBJECT)
        return self.registry.artifact(name)

    async def model(
        self, artifact: str, depends_on: Collection[Part]
    ) -> tuple[Model, SubjectRelation]:
        """Return the served model that shows a fact of an artifact, and its relation to it.

        `depends_on` are the parts of a configuration that the fact depends on. Raises
        `UnobservableError` if none is served or segment does not answer.
        """
        wanted = self._artifact(artifact)
        models = await self._once("models", "segment", self._models)
        return subjects.nearest_model(models, wanted, depends_on)

    async def speed(self, model: Model, plan: SpeedPlan) -> BenchmarkResult:
        """Time a model."""

        async def ask() -> BenchmarkResult:
            result = await self._segment.time(model, plan)
            plausibility.check_speed(result)
            return result

        return await self._once(("speed", model.ref.digest, plan), "segment", ask)

    async def accuracy(self, model: Model) -> Accuracy:
        """Compare a model's labels with masks: for a few pictures on the quick budget, else all.

        Raises `UnobservableError` if no labelled pictures are given.
        """
        if not self._pictures:
            raise UnobservableError(
                "no labelled pictures are given: ASSAY_RANKER_LABELLED_PICTURES names a folder",
                UnmeasuredReason.DATA_MISSING,
                "set ASSAY_RANKER_LABELLED_PICTURES to a folder of them",
            )
        pictures = self._pictures
        if self.budget is Budget.QUICK:
            pictures = pictures[:_MAX_QUICK_PICTURES]

        async def ask() -> Accuracy:
            try:
                accuracy = await self._segment.evaluate(model, pictures)
            except UnreadableError as error:
                raise UnobservableError(str(error)) from error
            plausibility.check_accuracy(accuracy, len(pictures))
            return accuracy

        return await self._once(("accuracy", model.ref.digest), "segment", ask)

    async def corpus(self, artifact: str) -> tuple[CorpusSummary, SubjectRelation]:
        """Return the served corpus that is an artifact, or part of one, and its relation to it.

        Raises `UnobservableError` if none is served or corpus does not answer.
        """
        wanted = self._artifact(artifact)
        corpora = await self._once("corpora", "corpus", self._corpus.corpora)
        corpus = served.corpus_named(corpora, wanted.id, UnmeasuredReason.NOT_SERVED)
        description = await self.description(corpus)
        return corpus, served.corpus_relation(description, wanted.configuration, wanted.id)

    async def files_elsewhere(self, artifact: str) -> int:
        """Return how many files in a dataset's manifest are not served."""
        corpus, _ = await self.corpus(artifact)
        stated = self._artifact(artifact).configuration
        return served.files_elsewhere(await self.description(corpus), stated)

    async def description(self, corpus: CorpusSummary) -> CorpusDescription:
        """Return a corpus's contents."""

        async def ask() -> CorpusDescription:
            description = await self._corpus.describe(corpus.ref)
            plausibility.check_corpus(description)
            return description

        return await self._once(("description", corpus.ref.digest), "corpus", ask)

    async def audit(self, corpus: CorpusSummary) -> tuple[CorpusDescription, CorpusAudit]:
        """Return a corpus's contents, repeated texts and personal data.

        Raises `UnobservableError` if it has no documents, or too much text for a quick budget.
        """
        description = await self.description(corpus)
        if self.budget is Budget.QUICK and description.text_bytes > _MAX_QUICK_TEXT_BYTES:
            raise UnobservableError(
                f"auditing the {description.text_bytes / 1e6:,.0f} MB of {corpus.ref.name} takes "
                "longer than a quick verification may",
                remedy="verify it on the full budget",
            )

        async def ask() -> CorpusAudit:
            audit = await self._corpus.audit(corpus.ref)
            plausibility.check_audit(audit, description)
            return audit

        audit = await self._once(("audit", corpus.ref.digest), "corpus", ask)
        if not audit.whole.documents:
            raise UnobservableError(f"{corpus.ref.name} has no documents that an audit reads")
        return description, audit

    async def storage(self, corpus: CorpusSummary) -> Mapping[str, StorageResult]:
        """Measure codecs and readers on every split of a corpus."""
        full = self.budget is Budget.FULL
        size, repetitions = (16 * _MEBIBYTE, 25) if full else (2 * _MEBIBYTE, _MIN_REPETITIONS)

        async def ask() -> Mapping[str, StorageResult]:
            found = {}
            for split in corpus.splits:
                result = await self._corpus.storage(corpus.ref, split, size, repetitions)
                plausibility.check_storage(result)
                found[split] = result
            return found

        return await self._once(("storage", corpus.ref.digest), "corpus", ask)

    async def language_model(self, artifact: str) -> tuple[LanguageModel, SubjectRelation]:
        """Return the language model served as an artifact, and its known relation to it.

        Raises `UnobservableError` if it is not served or corpus does not answer.
        """
        wanted = self._artifact(artifact)
        return served.language_model(await self._language_models(), wanted)

    async def reference_model(self) -> LanguageModel:
        """Return the language model for testing a corpus: the project's own, if served."""
        models = await self._language_models()
        if not models:
            raise UnobservableError("corpus has no language model to score")
        return min(models, key=lambda one: (one.weights != WEIGHTS_KIND_REFERENCE, one.ref.name))

    async def dataset(self, claim: Claim) -> tuple[CorpusSummary, SubjectRelation]:
        """Return the corpus served as a claim's dataset, and its known relation to it.

        Raises `UnobservableError` if there is none, or it lacks the claim's subset.
        """
        corpora = await self._once("corpora", "corpus", self._corpus.corpora)
        corpus = served.corpus_named(corpora, claim.dataset, UnmeasuredReason.DATA_MISSING)
        stated = served.dataset_stated(claim, self.registry.find(claim.dataset))
        if served.comes_with_it(corpus) and not stated.digest:
            return corpus, SubjectRelation.EXACT
        description = await self.description(corpus)
        served.check_subset(claim, description)
        return corpus, served.corpus_relation(description, stated, claim.dataset)

    async def score(
        self, corpus: CorpusSummary, model: LanguageModel, plan: ScorePlan
    ) -> FinalScore:
        """Score a language model on documents of a corpus."""

        async def ask() -> FinalScore:
            score = await self._corpus.score(corpus.ref, model, plan)
            plausibility.check_score(score)
            return score

        key = ("score", corpus.ref.digest, model.ref.digest, plan)
        return await self._once(key, "corpus", ask)

    async def tokens_per_second(
        self, corpus: CorpusSummary, model: LanguageModel, plan: ScorePlan, times: int
    ) -> tuple[FinalScore, ...]:
        """Score the same documents `runs` more times, to measure the speed."""

        async def ask() -> tuple[FinalScore, ...]:
            found = [await self._corpus.score(corpus.ref, model, plan) for _ in range(times)]
            for score in found:
                plausibility.check_score(score)
            return tuple(found)

        key = ("tokens per second", corpus.ref.digest, model.ref.digest, plan)
        return await self._once(key, "corpus", ask)

    async def difference(
        self, corpus: CorpusSummary, model: LanguageModel, against: LanguageModel, plan: ScorePlan
    ) -> BPBComparison:
        """Score two language models on the same documents."""

        async def ask() -> BPBComparison:
            found = await self._corpus.compare(corpus.ref, model, against, plan)
            plausibility.check_score(found.model)
            plausibility.check_score(found.against)
            return found

        key = ("difference", corpus.ref.digest, model.ref.digest, against.ref.digest, plan)
        return await self._once(key, "corpus", ask)

    async def _language_models(self) -> tuple[LanguageModel, ...]:
        return await self._once("language models", "corpus", self._corpus.language_models)

    async def _models(self) -> tuple[Model, ...]:
        models = await self._segment.models()
        for model in models:
            plausibility.check_model(model)
        return models

    async def _once(self, key: Hashable, peer: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, or return the first answer; a failure is an answer too."""
        if key not in self._answers:
            try:
                self._answers[key] = await ask()
            except UnobservableError as error:
                self._answers[key] = error
            except plausibility.ImplausibleError as error:
                problem = f"{error}; that is outside physics, so it is refused as evidence"
                self._answers[key] = UnobservableError(problem, UnmeasuredReason.FAILED)
            except Unsupported as error:
                # The peer answered that it cannot measure this; asking again changes nothing.
                self._answers[key] = UnobservableError(
                    f"{peer} cannot measure it: {error}", UnmeasuredReason.DATA_MISSING
                )
            except LicenseNotAccepted as error:
                self._answers[key] = UnobservableError(
                    f"{peer} refuses it: {error}", UnmeasuredReason.LICENSE_NOT_ACCEPTED
                )
            except AssayError as error:
                self._answers[key] = UnobservableError(
                    f"{peer} gave no answer: {error}", UnmeasuredReason.SERVICE_UNAVAILABLE
                )
        answer = self._answers[key]
        if isinstance(answer, UnobservableError):
            raise answer
        return cast("T", answer)
