"""Peers written by hand: what a segment and a corpus would say, without either."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.errors import AssayError
from services.ranker.claims.labelled import LabelledPicture
from services.ranker.peers.protocol import (
    AccuracyFigures,
    BpbFigures,
    Codec,
    CorpusFacts,
    CorpusKind,
    ServedCorpus,
    ServedModel,
    Shard,
    SourceFacts,
    SpeedFigures,
    SpeedPlan,
    Stage,
    StorageFigures,
    StoragePlan,
    Subset,
    SubsetScore,
    Weights,
)

B4 = "segformer-b4-finetuned-ade-512-512"
PILE = "the-pile"

B4_FACTS = SourceFacts(
    parameters=64_108_374,
    parameters_by_part={"encoder": 60_842_688, "decode_head": 3_265_686},
    modules={"Conv2d": 85, "Linear": 288, "LayerNorm": 124, "BatchNorm2d": 1},
    convolutions={
        "depthwise": 41,
        "patch_embedding": 4,
        "spatial_reduction": 38,
        "decode_head": 2,
    },
    head_modules={"Linear": 4, "Conv2d": 2, "BatchNorm2d": 1, "ReLU": 1},
    stages=(Stage(3, 64, 4), Stage(8, 128, 8), Stage(27, 320, 16), Stage(3, 512, 32)),
    logits_shape=(1, 150, 128, 128),
)

B4_RANDOM = ServedModel(
    name="segformer-b4-random",
    version="1",
    digest="sha256:" + "b4" * 32,
    architecture="segformer-b4",
    weights=Weights.RANDOM,
    engine="onnxruntime-cpu",
    class_ids=tuple(range(150)),
    input_size=(512, 512),
    pads=False,
    facts=B4_FACTS,
    label_agreement=0.99999,
)
B4_PUBLISHED = replace(B4_RANDOM, name=B4, digest="sha256:" + "ab" * 32, weights=Weights.PUBLISHED)
B0 = replace(
    B4_RANDOM,
    name="segformer-b0-finetuned-ade-512-512",
    digest="sha256:" + "b0" * 32,
    architecture="segformer-b0",
    weights=Weights.PUBLISHED,
    facts=replace(
        B4_FACTS,
        parameters=3_752_694,
        parameters_by_part={"encoder": 3_319_392, "decode_head": 433_302},
        stages=(Stage(2, 32, 4), Stage(2, 64, 8), Stage(2, 160, 16), Stage(2, 256, 32)),
    ),
)

MACHINE: Mapping[str, object] = {
    "cpu": "a processor",
    "cpu_count": 2,
    "memory_bytes": 8 << 30,
    "accelerators": [],
    "os": "an operating system",
    "versions": {"onnxruntime": "1.32.0"},
    "load": 0.1,
    "time": "2026-11-23T12:00:00Z",
}

QUIET = SpeedFigures(
    seconds=((1.00, 1.01, 1.02), (1.01, 1.00, 1.02), (1.02, 1.01, 1.00)),
    batch_size=1,
    noisy=False,
    noise=0.01,
    engine="onnxruntime-cpu",
    environment=MACHINE,
)


ACCURACY = AccuracyFigures(0, "sha256:" + "a5" * 32, mean_iou=0.45, pixel_accuracy=0.8)
"""Of as many pictures as were sent."""

PICTURES = tuple(LabelledPicture(Path(f"{n}.jpg"), Path(f"{n}.png")) for n in range(12))


@dataclass
class FakeSegment:
    """A segment that serves `served` and times batches as `by_batch` says, others by `figures`."""

    served: tuple[ServedModel, ...] = (B4_RANDOM,)
    figures: SpeedFigures = QUIET
    by_batch: Mapping[int, SpeedFigures] = field(default_factory=dict)
    accuracy: AccuracyFigures = ACCURACY
    evaluated: list[int] = field(default_factory=list)
    error: AssayError | None = None
    hangs: bool = False
    timed: list[SpeedPlan] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    listed: int = 0
    stopped: int = 0

    async def models(self) -> tuple[ServedModel, ...]:
        self.listed += 1
        if self.error is not None:
            raise self.error
        return self.served

    async def evaluate(
        self, model: ServedModel, pictures: Sequence[LabelledPicture]
    ) -> AccuracyFigures:
        self.evaluated.append(len(pictures))
        return replace(self.accuracy, pictures=self.accuracy.pictures or len(pictures))

    async def time(self, model: ServedModel, plan: SpeedPlan) -> SpeedFigures:
        self.timed.append(plan)
        self.started.set()
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped += 1
        figures = self.by_batch.get(plan.batch_size, self.figures)
        return replace(figures, batch_size=plan.batch_size)


SAMPLE = ServedCorpus(PILE, "sha256:" + "5a" * 32, CorpusKind.SAMPLE, ("train", "val", "test"))
COMPLETE = replace(SAMPLE, kind=CorpusKind.COMPLETE, digest="sha256:" + "c0" * 32)
REFERENCE = ServedCorpus(
    "python-reference", "sha256:" + "9e" * 32, CorpusKind.REFERENCE, ("train", "val", "test")
)

SUBSETS = tuple(Subset(f"subset {number}", 100, 1000, 1 / 22) for number in range(22))
HOLDINGS = CorpusFacts(
    corpus=SAMPLE,
    shards=(
        Shard("train/00.jsonl.zst", 1000, 3000, "sha256:" + "00" * 32),
        Shard("test.jsonl.zst", 1000, 3100, "sha256:" + "01" * 32),
    ),
    subsets=SUBSETS,
    documents=2200,
    text_bytes=22000,
    documents_without_subset=0,
    duplicate_documents=3,
)


def codec(ratio: float, speed: float) -> Codec:
    """A codec that decompresses `speed` MB a second, give or take a hundredth."""
    seconds = (2 << 20) / 1e6 / speed
    return Codec(ratio, tuple(seconds * (0.99 + 0.0025 * step) for step in range(9)))


STORAGE = StorageFigures(
    split="train",
    sample_bytes=2 << 20,
    codecs={
        "stored": codec(3.4, 500),
        "gzip-6": codec(2.8, 300),
        "zstd-1": codec(2.5, 1000),
        "zstd-3": codec(2.8, 900),
        "zstd-19": codec(3.4, 700),
    },
    streamed_bytes=1 << 30,
    streaming_growth_bytes=16 << 20,
    lines=2000,
    lines_parsed=2000,
    environment=MACHINE,
)

_NATS = 1386.2943611198906  # 2,000 bits: 2 bits per byte of 1,000 bytes
BPB = BpbFigures(
    model="byte-reference",
    model_digest="sha256:" + "1a" * 32,
    overall=SubsetScore(2 * _NATS, 2000, 20, 2.0),
    subsets={"a": SubsetScore(_NATS, 1000, 10, 2.0), "b": SubsetScore(_NATS, 1000, 10, 2.0)},
    environment=MACHINE,
)


@dataclass
class FakeCorpus:
    """A corpus service that serves `served`, all of it like `holdings` and `figures`."""

    served: tuple[ServedCorpus, ...] = (SAMPLE,)
    holdings: CorpusFacts = HOLDINGS
    figures: StorageFigures = STORAGE
    scores: BpbFigures = BPB
    error: AssayError | None = None
    measured: list[StoragePlan] = field(default_factory=list)
    described: int = 0
    scored: int = 0

    async def corpora(self) -> tuple[ServedCorpus, ...]:
        if self.error is not None:
            raise self.error
        return self.served

    async def describe(self, corpus: ServedCorpus) -> CorpusFacts:
        self.described += 1
        return replace(self.holdings, corpus=corpus)

    async def storage(self, corpus: ServedCorpus, plan: StoragePlan) -> StorageFigures:
        self.measured.append(plan)
        # Ratios differ a little from split to split, as those of real texts do.
        shift = 1 + 0.001 * len(plan.split)
        codecs = {
            name: replace(one, ratio=one.ratio * (shift if name == "zstd-3" else 1))
            for name, one in self.figures.codecs.items()
        }
        return replace(self.figures, split=plan.split, codecs=codecs)

    async def language_models(self) -> tuple[str, ...]:
        return ("byte-reference",)

    async def score(
        self, corpus: ServedCorpus, split: str, model: str, documents: int
    ) -> BpbFigures:
        self.scored += 1
        return self.scores
