"""What the ranker asks of segment and corpus, as plain values and two protocols.

Pure. `segment_client` and `corpus_client` implement the protocols over the stubs. Every call may
raise `services.errors.Unavailable` when the peer does not answer in time, and another
`services.errors.AssayError` when it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from services.ranker.claims.labelled import LabelledPicture


class Weights(StrEnum):
    """Where a model's weights come from."""

    PUBLISHED = "PUBLISHED"
    RANDOM = "RANDOM"
    REFERENCE = "REFERENCE"


@dataclass(frozen=True)
class Stage:
    """An encoder stage: transformer blocks, channels, input pixels a side for one of its own."""

    depth: int
    width: int
    downsampling: int


@dataclass(frozen=True)
class SourceFacts:
    """Counts and shapes of the unmodified source model, recorded when it was exported."""

    parameters: int
    parameters_by_part: Mapping[str, int]
    modules: Mapping[str, int]
    convolutions: Mapping[str, int]
    head_modules: Mapping[str, int]
    stages: tuple[Stage, ...]
    logits_shape: tuple[int, ...]


@dataclass(frozen=True)
class ServedModel:
    """A segmentation model as its server describes it. Sizes in pixels."""

    name: str
    version: str
    digest: str
    architecture: str
    weights: Weights
    engine: str
    class_ids: tuple[int, ...]
    input_size: tuple[int, int]
    pads: bool
    facts: SourceFacts | None
    label_agreement: float | None
    """Share of labels on which the exported graph agrees with its source, in [0, 1]."""


class Scenario(StrEnum):
    """How load is offered: MLPerf's scenarios."""

    SINGLE_STREAM = "SINGLE_STREAM"
    OFFLINE = "OFFLINE"


@dataclass(frozen=True)
class SpeedPlan:
    """How a model is to be timed; `seconds` ends it early with what it has."""

    scenario: Scenario
    batch_size: int
    runs: int
    restarts: int
    seconds: float


@dataclass(frozen=True)
class SpeedFigures:
    """Timed runs in seconds a batch, by process, and what they were made on.

    `noise` is the median absolute deviation over the median.
    """

    seconds: tuple[tuple[float, ...], ...]
    batch_size: int
    noisy: bool
    noise: float
    engine: str
    environment: Mapping[str, object]


@dataclass(frozen=True)
class AccuracyFigures:
    """Labels against the masks of `pictures` pictures: shares in [0, 1], over all their pixels."""

    pictures: int
    pictures_digest: str
    mean_iou: float
    pixel_accuracy: float


class SegmentPeer(Protocol):
    """The segmentation service."""

    async def models(self) -> tuple[ServedModel, ...]:
        """Every served model, described."""
        ...

    async def time(self, model: ServedModel, plan: SpeedPlan) -> SpeedFigures:
        """Time a model in processes of its own. Cancelling ends the measurement."""
        ...

    async def evaluate(
        self, model: ServedModel, pictures: Sequence[LabelledPicture]
    ) -> AccuracyFigures:
        """Compare a model's labels with masks. Cancelling ends it.

        Raises `UnreadableError` when a picture's file cannot be read.
        """
        ...


class CorpusKind(StrEnum):
    """How a served corpus relates to the one that it is named after."""

    COMPLETE = "COMPLETE"
    SAMPLE = "SAMPLE"
    REFERENCE = "REFERENCE"


@dataclass(frozen=True)
class ServedCorpus:
    """One line about a corpus."""

    name: str
    digest: str
    kind: CorpusKind
    splits: tuple[str, ...]

    @property
    def label(self) -> str:
        """Its name, how much of it there is, and the start of its digest, for a reader."""
        algorithm, _, digits = self.digest.partition(":")
        return f"{self.name} ({self.kind.value.lower()}, {algorithm}:{digits[:12]})"


@dataclass(frozen=True)
class Shard:
    """One file of a corpus; sizes in bytes."""

    path: str
    compressed_bytes: int
    jsonl_bytes: int
    digest: str


@dataclass(frozen=True)
class Subset:
    """A subset: what is here, and the published share of the whole, in [0, 1], if there is one."""

    name: str
    documents: int
    text_bytes: int
    published_share: float | None


@dataclass(frozen=True)
class CorpusFacts:
    """What a corpus holds."""

    corpus: ServedCorpus
    shards: tuple[Shard, ...]
    subsets: tuple[Subset, ...]
    documents: int
    text_bytes: int
    documents_without_subset: int
    duplicate_documents: int


@dataclass(frozen=True)
class StoragePlan:
    """What storage is measured on: a split, bytes of jsonl, timed repetitions of each codec."""

    split: str
    sample_bytes: int
    repetitions: int


@dataclass(frozen=True)
class Codec:
    """One codec on the sample: uncompressed over compressed size, seconds of each repetition."""

    ratio: float
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class StorageFigures:
    """What a storage benchmark found on one split. Sizes in bytes."""

    split: str
    sample_bytes: int
    codecs: Mapping[str, Codec]
    streamed_bytes: int
    streaming_growth_bytes: int
    lines: int
    lines_parsed: int
    environment: Mapping[str, object]


@dataclass(frozen=True)
class SubsetScore:
    """Sums of one subset: nats, UTF-8 bytes, documents, and bits per byte."""

    nats: float
    text_bytes: int
    documents: int
    bits_per_byte: float


@dataclass(frozen=True)
class BpbFigures:
    """Bits per byte of a language model over a selection."""

    model: str
    model_digest: str
    overall: SubsetScore
    subsets: Mapping[str, SubsetScore]
    environment: Mapping[str, object] = field(default_factory=dict)


class CorpusPeer(Protocol):
    """The corpus service."""

    async def corpora(self) -> tuple[ServedCorpus, ...]:
        """Every registered corpus."""
        ...

    async def describe(self, corpus: ServedCorpus) -> CorpusFacts:
        """What a corpus holds."""
        ...

    async def storage(self, corpus: ServedCorpus, plan: StoragePlan) -> StorageFigures:
        """Measure codecs and readers on a corpus. Cancelling ends the measurement."""
        ...

    async def language_models(self) -> tuple[str, ...]:
        """Names of the language models that can be scored."""
        ...

    async def score(
        self, corpus: ServedCorpus, split: str, model: str, documents: int
    ) -> BpbFigures:
        """Score a language model on the first documents of a split. Cancelling ends it."""
        ...
