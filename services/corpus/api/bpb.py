"""Bits per byte: reads the requests, runs them one at a time, and yields their replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import scoring_pb2, selection_pb2

from services.corpus.api import bpb_replies
from services.corpus.api.bpb_replies import PREFIXES, PRESETS
from services.corpus.api.selections import Source
from services.corpus.bpb.definition import Definition
from services.corpus.bpb.estimates import LEVEL, Scope
from services.corpus.bpb.jobs import Comparison, Final, Model, ScoringJobs, Task
from services.corpus.bpb.models.compute import Compute, Precision
from services.corpus.bpb.models.registry import Registry
from services.corpus.bpb.sampling import Allocation, Sample, Unit
from services.corpus.bpb.store import Keeping, ScoreStore
from services.corpus.shards.documents import Document
from services.errors import InternalError, InvalidArgument
from services.rpc.environment import environment

_MAX_SAMPLE = 10_000_000
"""Most spans or documents of a sample: they are held in memory."""

_PACKAGES = ("numpy", "onnxruntime", "openvino", "tokenizers", "torch", "transformers", "zstandard")
_ALLOCATIONS = {
    selection_pb2.SAMPLE_ALLOCATION_UNSPECIFIED: Allocation.BYTES,
    selection_pb2.SAMPLE_ALLOCATION_PROPORTIONAL: Allocation.BYTES,
    selection_pb2.SAMPLE_ALLOCATION_EQUAL: Allocation.EQUAL,
}
_SCOPES = {
    scoring_pb2.INTERVAL_SCOPE_UNSPECIFIED: Scope.DOCUMENTS,
    scoring_pb2.INTERVAL_SCOPE_DOCUMENTS: Scope.DOCUMENTS,
    scoring_pb2.INTERVAL_SCOPE_CORPUS_BEHIND: Scope.CORPUS,
}
_PRECISIONS = {
    common_pb2.PRECISION_UNSPECIFIED: Precision.FP32,
    common_pb2.PRECISION_FP32: Precision.FP32,
    common_pb2.PRECISION_BF16: Precision.BF16,
    common_pb2.PRECISION_FP16: Precision.FP16,
}


_LEAST_LEVEL, _MOST_LEVEL = 0.5, 0.9999


class BpbScorer:
    """The registered language models and their scoring, one job at a time."""

    def __init__(self, registry: Registry, store: ScoreStore | None = None) -> None:
        """Score the models of a registry; without a store no score is kept."""
        self._registry = registry
        self._jobs = ScoringJobs(self._registry, store)

    async def open(self) -> None:
        """Check the models' directories.

        Raises InvalidArgument, naming what is missing, if a directory is not a model's.
        """
        await asyncio.to_thread(self._registry.check)

    async def close(self) -> None:
        """End the scoring that runs, if any, and the thread."""
        await self._jobs.close()

    async def list_models(self) -> list[scoring_pb2.LanguageModel]:
        """Describe every model, by name. The first call reads all of their files."""
        infos = await asyncio.to_thread(self._registry.list)
        return [bpb_replies.language_model(info) for info in infos]

    def check(self, model: common_pb2.ModelRef, definition: scoring_pb2.Definition) -> None:
        """Check that a model exists and takes a definition. Blocks. Raises as `score` does."""
        self._jobs.check(model_of("model", model), definition_of(definition))

    async def score(
        self, request: scoring_pb2.ScoreBPBRequest, source: Source
    ) -> AsyncGenerator[scoring_pb2.ScoreBPBResponse, None]:
        """Score the request's model on documents.

        Yields running figures about once a second, figures of each document if requested, and the
        final figures last. Leaving the iterator ends the work at the next batch: use
        `contextlib.aclosing`.

        Raises what `ScoringJobs.score` raises.
        """
        model = model_of("model", request.model)
        machine = await asyncio.to_thread(environment, *_PACKAGES)
        task = _task(request, source, machine, request.checkpoint)
        async with aclosing(self._jobs.score(task, model)) as updates:
            async for update in updates:
                if isinstance(update, Final):
                    for score in update.scores if request.per_document else ():
                        found = bpb_replies.document_score(score)
                        yield scoring_pb2.ScoreBPBResponse(document=found)
                    final = bpb_replies.final(update, source.corpus, machine)
                    yield scoring_pb2.ScoreBPBResponse(result=final)
                else:
                    yield scoring_pb2.ScoreBPBResponse(progress=bpb_replies.running(update))

    async def compare(
        self, request: scoring_pb2.CompareBPBRequest, source: Source
    ) -> AsyncGenerator[scoring_pb2.CompareBPBResponse, None]:
        """Score the request's two models on the same documents, as `score` does.

        Yields both models' figures of each document where they are requested.

        Raises what `ScoringJobs.compare` raises.
        """
        model = model_of("model", request.model)
        against = model_of("against", request.against)
        machine = await asyncio.to_thread(environment, *_PACKAGES)
        task = _task(request, source, machine)
        async with aclosing(self._jobs.compare(task, model, against)) as updates:
            async for update in updates:
                if isinstance(update, Comparison):
                    if request.per_document:
                        for document in bpb_replies.document_comparisons(update):
                            yield scoring_pb2.CompareBPBResponse(document=document)
                    final = bpb_replies.comparison(update, source.corpus, machine)
                    yield scoring_pb2.CompareBPBResponse(result=final)
                else:
                    yield scoring_pb2.CompareBPBResponse(progress=bpb_replies.running(update))

    async def score_texts(
        self, request: scoring_pb2.ScoreTextsRequest
    ) -> scoring_pb2.ScoreTextsResponse:
        """Score the request's model on its texts; nothing is kept. Raises what `score` raises."""
        model = model_of("model", request.model)
        documents, contexts = _documents_of(request.texts)
        after = request.token_likelihoods or any(contexts.values())
        task = Task(
            lambda: iter(documents),
            definition_of(request.definition),
            compute=_compute_of(request.compute),
            contexts=contexts if after else None,
        )
        machine = await asyncio.to_thread(environment, *_PACKAGES)
        async with aclosing(self._jobs.score(task, model)) as updates:
            async for update in updates:
                if isinstance(update, Final):
                    return bpb_replies.texts(update, machine, token_nats=request.token_likelihoods)
        raise InternalError("the scoring ended without final figures")


def _task(
    request: scoring_pb2.ScoreBPBRequest | scoring_pb2.CompareBPBRequest,
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
    sample = _sample_of(request.selection)
    if sample is not None:
        _require_once(request.selection, "a sample")
    if isinstance(request, scoring_pb2.CompareBPBRequest):
        _require_once(request.selection, "a comparison")
    return Task(
        source.documents,
        definition_of(request.definition),
        sample,
        Keeping(facts, checkpoint, request.fresh),
        _compute_of(request.compute),
        _scope_of(request, sample),
        _level_of(request),
    )


def _level_of(request: scoring_pb2.ScoreBPBRequest | scoring_pb2.CompareBPBRequest) -> float:
    """Read the level of intervals. Raises InvalidArgument for a level that no sample reaches."""
    level = request.interval_level or LEVEL
    if not _LEAST_LEVEL <= level <= _MOST_LEVEL:
        raise InvalidArgument(
            "interval_level", f"{level:g}; {_LEAST_LEVEL:g} to {_MOST_LEVEL:g} is allowed"
        )
    return level


def _require_once(selection: selection_pb2.Selection, what: str) -> None:
    """Raise InvalidArgument for a selection that may contain a document or an id twice."""
    repeating = {
        "epochs": selection.epochs > 1,
        "mixture": selection.HasField("mixture"),
        "corpora": len(selection.corpora) > 1,
    }
    for name, repeats in repeating.items():
        if repeats:
            raise InvalidArgument(
                f"selection.{name}",
                f"may have documents of one id twice, and {what} is of documents that come once; "
                "leave it out",
            )


def _scope_of(
    request: scoring_pb2.ScoreBPBRequest | scoring_pb2.CompareBPBRequest, sample: Sample | None
) -> Scope:
    """Read the scope of intervals. Raises InvalidArgument if the sample does not allow it."""
    if request.interval_scope not in _SCOPES:
        raise InvalidArgument("interval_scope", f"{request.interval_scope} is not a scope")
    scope = _SCOPES[request.interval_scope]
    if scope is Scope.CORPUS and sample is not None and sample.unit is Unit.SPANS:
        raise InvalidArgument(
            "interval_scope",
            "intervals about the corpus behind the documents need whole documents; give "
            "selection.sample.documents (--sample-documents) instead of spans",
        )
    return scope


def _compute_of(message: scoring_pb2.Compute) -> Compute:
    """Read a request's options for running the model.

    Raises InvalidArgument for a precision that this version does not know.
    """
    if message.precision not in _PRECISIONS:
        raise InvalidArgument("compute.precision", f"{message.precision} is not a precision")
    return Compute(message.engine, _PRECISIONS[message.precision])


def definition_of(message: scoring_pb2.Definition) -> Definition:
    """Read a request's definition.

    Raises InvalidArgument for a preset or a prefix that this version does not know.
    """
    if message.preset not in PRESETS:
        raise InvalidArgument("definition.preset", f"{message.preset} is not a preset")
    if message.prefix not in PREFIXES:
        raise InvalidArgument("definition.prefix", f"{message.prefix} is not a prefix token")
    return Definition(
        max_length=message.max_length,
        special_tokens=message.special_tokens if message.HasField("special_tokens") else None,
        preset=PRESETS[message.preset],
        context_length=message.context_length,
        stride=message.stride,
        prefix=PREFIXES[message.prefix],
        prefix_token=message.prefix_token if message.HasField("prefix_token") else None,
        prefix_everywhere=message.prefix_everywhere,
    )


def model_of(field: str, message: common_pb2.ModelRef) -> Model:
    """Read the model that a request's field names. Raises InvalidArgument if it names none."""
    if not message.name:
        raise InvalidArgument(f"{field}.name", "is empty; ListLanguageModels lists the names")
    return Model(message.name, message.version, message.digest)


def _sample_of(message: selection_pb2.Selection) -> Sample | None:
    """Read the sample of a request's selection. Raises InvalidArgument for an empty one."""
    if not message.HasField("sample"):
        return None
    if message.sample.allocation not in _ALLOCATIONS:
        raise InvalidArgument(
            "selection.sample.allocation", f"{message.sample.allocation} is not an allocation"
        )
    sample = message.sample
    if bool(sample.documents) == bool(sample.spans):
        problem = "is 0" if not sample.documents else "and selection.sample.spans are both given"
        raise InvalidArgument(
            "selection.sample.documents", f"{problem}; say how many documents, or how many spans"
        )
    if max(sample.documents, sample.spans) > _MAX_SAMPLE:
        raise InvalidArgument(
            "selection.sample",
            f"draws more than {_MAX_SAMPLE:,}; score all of the selection, or draw fewer",
        )
    return Sample(sample.spans, sample.documents, sample.seed, _ALLOCATIONS[sample.allocation])


def _documents_of(
    messages: Sequence[scoring_pb2.ScoredText],
) -> tuple[list[Document], dict[str, bytes]]:
    """Read the texts of a request, and the context before each, by its id.

    Raises InvalidArgument if there are no texts, or one is not UTF-8.
    """
    if not messages:
        raise InvalidArgument("texts", "is empty; send at least one")
    for place, message in enumerate(messages):
        for name, data in (("text", message.text), ("context", message.context)):
            try:
                data.decode("utf-8", "surrogatepass")
            except UnicodeDecodeError as error:
                raise InvalidArgument(
                    f"texts[{place}].{name}", f"is not UTF-8: {error.reason} at byte {error.start}"
                ) from None
    documents = [
        Document(str(place), message.subset, message.text, b"", "", place)
        for place, message in enumerate(messages)
    ]
    return documents, {str(place): message.context for place, message in enumerate(messages)}
