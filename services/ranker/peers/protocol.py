"""What the ranker needs from segment and corpus: two protocols with the contract's messages.

Readers of the answers import the messages from here, since only this folder knows the contract's
package. Every call may raise `services.errors.Unavailable` if the peer does not answer in time, and
another `services.errors.AssayError` if it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assay_rpc.audit.v1alpha1.corpus_audit_pb2 import CorpusAudit
from assay_rpc.common.v1.common_pb2 import (
    WEIGHTS_KIND_RANDOM,
    WEIGHTS_KIND_REFERENCE,
    WEIGHTS_KIND_TRAINED,
    Engine,
    Environment,
    MachineLoad,
    ModelRef,
    Precision,
    WeightsKind,
)
from assay_rpc.corpus.v1.benchmark_pb2 import CodecResult, StorageResult
from assay_rpc.corpus.v1.describe_pb2 import (
    CORPUS_KIND_COMPLETE,
    CORPUS_KIND_REFERENCE,
    CORPUS_KIND_SAMPLE,
    Corpus,
    CorpusDescription,
    CorpusKind,
    CorpusSummary,
    SubsetInfo,
)
from assay_rpc.corpus.v1.scoring_pb2 import (
    SAMPLE_UNIT_UNSPECIFIED,
    STANDING_EXACT,
    STANDING_EXAMPLE,
    BitsPerByte,
    BPBComparison,
    BPBDifference,
    DefinitionPreset,
    FinalScore,
    LanguageModel,
)
from assay_rpc.corpus.v1.scoring_pb2 import Basis as ScoreBasis
from assay_rpc.corpus.v1.selection_pb2 import CorpusRef
from assay_rpc.segment.v1.benchmark_pb2 import (
    SCENARIO_OFFLINE,
    SCENARIO_SINGLE_STREAM,
    BenchmarkResult,
    Scenario,
)
from assay_rpc.segment.v1.models_pb2 import RESIZE_MODE_PAD, Model, SourceFacts
from google.protobuf import json_format

from services.ranker.claims.evidence import UNIDENTIFIED
from services.ranker.claims.model import Input, SubjectRelation
from services.ranker.measuring.labelled_images import LabelledImage

__all__ = [
    "CORPUS_KIND_COMPLETE",
    "CORPUS_KIND_REFERENCE",
    "CORPUS_KIND_SAMPLE",
    "RESIZE_MODE_PAD",
    "SAMPLE_UNIT_UNSPECIFIED",
    "SCENARIO_OFFLINE",
    "SCENARIO_SINGLE_STREAM",
    "STANDING_EXACT",
    "STANDING_EXAMPLE",
    "WEIGHTS_KIND_RANDOM",
    "WEIGHTS_KIND_REFERENCE",
    "WEIGHTS_KIND_TRAINED",
    "Accuracy",
    "BPBComparison",
    "BPBDifference",
    "BenchmarkResult",
    "BitsPerByte",
    "CodecResult",
    "CorpusAudit",
    "CorpusDescription",
    "CorpusPeer",
    "CorpusRef",
    "CorpusSummary",
    "FinalScore",
    "LanguageModel",
    "MachineLoad",
    "Model",
    "ModelRef",
    "ScoreBasis",
    "ScorePlan",
    "SegmentPeer",
    "SourceFacts",
    "SpeedPlan",
    "StorageResult",
    "SubsetInfo",
    "corpus_label",
    "corpus_subject",
    "definition_name",
    "engine",
    "environment",
    "input_of",
    "language_model_subject",
    "model_subject",
    "unidentified",
    "weights_digests",
]

_WEIGHTS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".h5", ".onnx")
_ONE_OF_SEVERAL = re.compile(r"-\d+-of-\d+\.")


@dataclass(frozen=True)
class SpeedPlan:
    """How a model is to be timed, by one of MLPerf's scenarios.

    `restarts` are processes that must have the machine for themselves. `seconds` ends it early with
    what it has. `engine` is what runs it; empty for what serves it. `against` is the name of a
    model that is timed in the same processes, run by run in turn; empty for none.
    """

    scenario: Scenario.ValueType
    batch_size: int
    runs: int
    restarts: int
    seconds: float
    engine: str = ""
    against: str = ""


@dataclass(frozen=True)
class ScorePlan:
    """Which documents of a corpus are scored: of a split, of some subsets or all.

    The first `documents` or `text_bytes` of them where those are not 0, or a random sample of so
    many `spans`. Intervals have `level`, 0 for the service's own. `fresh` scores what was scored.
    """

    split: str
    subsets: tuple[str, ...] = ()
    documents: int = 0
    text_bytes: int = 0
    spans: int = 0
    level: float = 0.0
    fresh: bool = False


@dataclass(frozen=True)
class Accuracy:
    """Labels against the masks of `pictures` pictures: shares in [0, 1], over all their pixels.

    `pictures_digest` is of the files that were sent.
    """

    pictures: int
    pictures_digest: str
    mean_iou: float
    pixel_accuracy: float


class SegmentPeer:
    """The segmentation service. Tests may implement only the methods that they use."""

    async def models(self) -> tuple[Model, ...]:
        """Every served model, described."""
        raise NotImplementedError

    async def time(self, model: Model, plan: SpeedPlan) -> BenchmarkResult:
        """Time a model in processes of its own. Cancelling ends the measurement."""
        raise NotImplementedError

    async def evaluate(self, model: Model, pictures: Sequence[LabelledImage]) -> Accuracy:
        """Compare a model's labels with masks. Cancelling ends it.

        Raises `UnreadableError` when a picture's file cannot be read.
        """
        raise NotImplementedError


class CorpusPeer:
    """The corpus service. Tests may implement only the methods that they use."""

    async def corpora(self) -> tuple[CorpusSummary, ...]:
        """Every registered corpus."""
        raise NotImplementedError

    async def describe(self, corpus: CorpusRef) -> CorpusDescription:
        """What a corpus holds."""
        raise NotImplementedError

    async def audit(self, corpus: CorpusRef) -> CorpusAudit:
        """What the texts of a corpus repeat and spell. Cancelling ends the work."""
        raise NotImplementedError

    async def storage(
        self, corpus: CorpusRef, split: str, sample_bytes: int, repetitions: int
    ) -> StorageResult:
        """Measure codecs and readers on bytes of a split. Cancelling ends the measurement."""
        raise NotImplementedError

    async def language_models(self) -> tuple[LanguageModel, ...]:
        """The language models that can be scored, by name."""
        raise NotImplementedError

    async def score(self, corpus: CorpusRef, model: LanguageModel, plan: ScorePlan) -> FinalScore:
        """Score a language model on documents. Cancelling ends it."""
        raise NotImplementedError

    async def compare(
        self, corpus: CorpusRef, model: LanguageModel, against: LanguageModel, plan: ScorePlan
    ) -> BPBComparison:
        """Score two language models on the same documents, paired. Cancelling ends it."""
        raise NotImplementedError


def corpus_label(corpus: CorpusSummary | Corpus) -> str:
    """A corpus's name, how much of it there is, and the start of its digest, for a reader."""
    algorithm, _, digits = corpus.ref.digest.partition(":")
    how_much = CorpusKind.Name(corpus.kind).removeprefix("CORPUS_KIND_").lower()
    return f"{corpus.ref.name} ({how_much}, {algorithm}:{digits[:12]})"


def unidentified(
    relation: SubjectRelation, *named: CorpusRef | ModelRef, digest: str = ""
) -> Mapping[str, object]:
    """Return what a subject says of things that only their names say to be what is claimed of.

    `digest` is the one to state where it is not that of what is served.
    """
    if relation is not SubjectRelation.NAMED:
        return {}
    return {UNIDENTIFIED: [f"{one.name} {digest or one.digest}" for one in named]}


def input_of(ref: ModelRef | CorpusRef) -> Input:
    """What evidence was computed from: a model, or a corpus."""
    return Input(ref.digest, "corpus" if isinstance(ref, CorpusRef) else "model", ref.name)


def corpus_subject(
    corpus: CorpusSummary | Corpus, relation: SubjectRelation
) -> Mapping[str, object]:
    """Return a corpus as the JSON-like mapping that evidence keeps of what was measured."""
    return {
        "type": "DATASET",
        "name": corpus.ref.name,
        "splits": list(corpus.splits),
        **unidentified(relation, corpus.ref),
    }


def _revision(ref: ModelRef) -> Mapping[str, object]:
    return {"revision": ref.version} if ref.version else {}


def model_subject(model: Model, relation: SubjectRelation) -> Mapping[str, object]:
    """Return a model as the JSON-like mapping that evidence keeps of what was measured."""
    weights = weights_digests(model)
    return {
        "type": "SEGMENTATION_MODEL",
        "name": model.ref.name,
        **_revision(model.ref),
        "architecture": model.architecture,
        "classes": len(model.classes),
        "input_height": model.preprocessing.height,
        "input_width": model.preprocessing.width,
        "weights": WeightsKind.Name(model.weights).removeprefix("WEIGHTS_KIND_"),
        **unidentified(relation, model.ref, digest=weights[-1] if weights else ""),
    }


def weights_digests(model: Model) -> list[str]:
    """Digests of the files that hold a model's weights: the graph that is served, then its source.

    Those of its classes, its preprocessing and its licence say nothing of which model it is, and
    one of several files that hold the weights together says no more than that a part is the same.
    """
    return [
        one
        for name, one in sorted(model.digests.items())
        if name.endswith(_WEIGHTS) and not _ONE_OF_SEVERAL.search(name)
    ]


def language_model_subject(model: LanguageModel, relation: SubjectRelation) -> Mapping[str, object]:
    """Return a language model as the JSON-like mapping that evidence keeps of what was measured."""
    return {
        "type": "LANGUAGE_MODEL",
        "name": model.ref.name,
        **_revision(model.ref),
        "architecture": model.architecture,
        "weights": WeightsKind.Name(model.weights).removeprefix("WEIGHTS_KIND_"),
        **unidentified(relation, model.ref),
    }


def definition_name(result: FinalScore) -> str:
    """By which definition it was scored, with its window: "lm_eval, 512 tokens"."""
    used = result.definition
    name = DefinitionPreset.Name(used.preset).removeprefix("DEFINITION_PRESET_").lower()
    return f"{name}, windows of {used.max_length} tokens, {used.context_length} of context"


def engine(message: Engine) -> Mapping[str, object]:
    """Return an engine as the JSON-like mapping that evidence keeps; empty for none."""
    if not message.id:
        return {}
    return {
        "id": message.id,
        "precision": Precision.Name(message.precision).removeprefix("PRECISION_"),
        "threads": message.threads,
        "version": message.version,
        "instruction_set": message.instruction_set,
    }


def environment(message: Environment) -> Mapping[str, object]:
    """Return an environment as the JSON-like mapping that evidence keeps."""
    found: dict[str, object] = {
        "cpu": message.cpu,
        "cpu_count": message.cpu_count,
        "memory_bytes": message.memory_bytes,
        "accelerators": [one.name for one in message.accelerators],
        "os": message.os,
        "versions": dict(sorted(message.versions.items())),
    }
    if message.HasField("load"):
        found["load"] = round(message.load, 3)
    if message.HasField("read_time"):
        found["time"] = json_format.MessageToDict(message)["readTime"]
    if message.HasField("cpu_quota"):
        found["cpu_quota"] = message.cpu_quota
    if message.instruction_set:
        found["instruction_set"] = message.instruction_set
    if message.machine:
        found["machine"] = message.machine
    details = [one for one in message.accelerators if one.driver or one.memory_bytes]
    if details:
        found["accelerator_details"] = [
            json_format.MessageToDict(one, preserving_proto_field_name=True) for one in details
        ]
    return found
