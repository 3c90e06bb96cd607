"""Peers written by hand: what a segment and a corpus would say, without either."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from assay_rpc.audit.v1alpha1 import corpus_audit_pb2
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import benchmark_pb2 as corpus_benchmark_pb2
from assay_rpc.corpus.v1 import describe_pb2, scoring_pb2, selection_pb2
from assay_rpc.segment.v1 import benchmark_pb2 as segment_benchmark_pb2
from assay_rpc.segment.v1 import models_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from services.corpus.catalog import published
from services.errors import AssayError, InternalError
from services.ranker.claims.registry import packaged
from services.ranker.measuring import methods
from services.ranker.measuring.labelled_images import LabelledImage
from services.ranker.peers.protocol import Accuracy, CorpusPeer, ScorePlan, SegmentPeer, SpeedPlan

B4 = "segformer-b4-finetuned-ade-512-512"
PILE = "the-pile"

M = TypeVar("M", bound=Message)


def changed(message: M, **fields: object) -> M:
    """A copy of a message with other values in some of its fields; None leaves one unset."""
    copy = type(message)()
    copy.CopyFrom(message)
    for name in fields:
        copy.ClearField(name)
    copy.MergeFrom(
        type(message)(**{name: value for name, value in fields.items() if value is not None})
    )
    return copy


def stages(*sizes: tuple[int, int, int]) -> list[models_pb2.EncoderStage]:
    """Encoder stages from depth, width and downsampling."""
    return [models_pb2.EncoderStage(depth=d, width=w, downsampling=s) for d, w, s in sizes]


def ref(name: str, digits: str) -> common_pb2.ModelRef:
    """A model of version 1 whose digest repeats two digits."""
    return common_pb2.ModelRef(name=name, version="1", digest="sha256:" + digits * 32)


B4_FACTS = models_pb2.SourceFacts(
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
    stages=stages((3, 64, 4), (8, 128, 8), (27, 320, 16), (3, 512, 32)),
    logits_shape=(1, 150, 128, 128),
)

B4_RANDOM = models_pb2.Model(
    ref=ref("segformer-b4-random", "b4"),
    architecture="segformer-b4",
    weights=common_pb2.WEIGHTS_KIND_RANDOM,
    engine=common_pb2.Engine(id="onnxruntime-cpu"),
    classes=[models_pb2.ClassInfo(id=number) for number in range(150)],
    preprocessing=models_pb2.Preprocessing(height=512, width=512),
    source_facts=B4_FACTS,
    parity=models_pb2.ExportParity(label_agreement=0.99999),
)
B4_PUBLISHED = changed(B4_RANDOM, ref=ref(B4, "ab"), weights=common_pb2.WEIGHTS_KIND_TRAINED)
B4_CUDA = changed(B4_RANDOM, engine=common_pb2.Engine(id="onnxruntime-cuda"))
B0 = changed(
    B4_RANDOM,
    ref=ref("segformer-b0-finetuned-ade-512-512", "b0"),
    architecture="segformer-b0",
    weights=common_pb2.WEIGHTS_KIND_TRAINED,
    source_facts=changed(
        B4_FACTS,
        parameters=3_752_694,
        parameters_by_part={"encoder": 3_319_392, "decode_head": 433_302},
        stages=stages((2, 32, 4), (2, 64, 8), (2, 160, 16), (2, 256, 32)),
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

ENVIRONMENT = common_pb2.Environment()
json_format.ParseDict(
    {("read_time" if name == "time" else name): value for name, value in MACHINE.items()},
    ENVIRONMENT,
)


def times(*processes: Sequence[float]) -> list[segment_benchmark_pb2.RunTimes]:
    """The seconds of each process."""
    return [segment_benchmark_pb2.RunTimes(seconds=seconds) for seconds in processes]


def restarts(
    count: int, *, others: float = 0.0, kernel: float | None = 1.0, first: int = 0
) -> list[segment_benchmark_pb2.Restart]:
    """What so many processes saw of a machine, one an hour from 1970 on."""
    found = []
    for place in range(first, first + count):
        load = common_pb2.MachineLoad(
            others_cores=others, allowed_others_cores=0.1, kernel_ratio=kernel, steal=0.0
        )
        record = segment_benchmark_pb2.Restart(load=load)
        record.start_time.FromSeconds(3600 * (place + 1))
        found.append(record)
    return found


_EIGHT = ((1.00, 1.01, 1.02), (1.01, 1.00, 1.02), (1.02, 1.01, 1.00), (1.03, 1.02, 1.04)) * 2

QUIET = segment_benchmark_pb2.BenchmarkResult(
    samples=times(*_EIGHT),
    restart_records=restarts(8),
    batch_size=1,
    noise=0.01,
    engine=common_pb2.Engine(id="onnxruntime-cpu"),
    environment=ENVIRONMENT,
)

ACCURACY = Accuracy(0, "sha256:" + "a5" * 32, mean_iou=0.45, pixel_accuracy=0.8)
"""Of as many pictures as were sent."""

PICTURES = tuple(LabelledImage(Path(f"{n}.jpg"), Path(f"{n}.png")) for n in range(12))


@dataclass
class FakeSegment(SegmentPeer):
    """A segment that serves `served` and times batches as `by_batch` says, others by `figures`."""

    served: tuple[models_pb2.Model, ...] = (B4_RANDOM,)
    figures: segment_benchmark_pb2.BenchmarkResult = field(default_factory=lambda: QUIET)
    by_batch: Mapping[int, segment_benchmark_pb2.BenchmarkResult] = field(default_factory=dict)
    accuracy: Accuracy = ACCURACY
    evaluated: list[int] = field(default_factory=list)
    error: AssayError | None = None
    hangs: bool = False
    timed: list[SpeedPlan] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    listed: int = 0
    stopped: int = 0
    engines: Mapping[str, segment_benchmark_pb2.BenchmarkResult] = field(default_factory=dict)

    async def models(self) -> tuple[models_pb2.Model, ...]:
        self.listed += 1
        if self.error is not None:
            raise self.error
        return self.served

    async def evaluate(
        self, model: models_pb2.Model, pictures: Sequence[LabelledImage]
    ) -> Accuracy:
        self.evaluated.append(len(pictures))
        return replace(self.accuracy, pictures=self.accuracy.pictures or len(pictures))

    async def time(
        self, model: models_pb2.Model, plan: SpeedPlan
    ) -> segment_benchmark_pb2.BenchmarkResult:
        self.timed.append(plan)
        self.started.set()
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped += 1
        if plan.engine and plan.engine != self.figures.engine.id:
            if plan.engine not in self.engines:
                raise InternalError(f"{plan.engine} is not installed")
            return self.engines[plan.engine]
        figures = self.by_batch.get(plan.batch_size, self.figures)
        return changed(figures, batch_size=plan.batch_size)


def corpus(
    name: str, digits: str, kind: describe_pb2.CorpusKind.ValueType
) -> describe_pb2.CorpusSummary:
    """A corpus of three splits whose digest repeats two digits."""
    return describe_pb2.CorpusSummary(
        ref=selection_pb2.CorpusRef(name=name, digest="sha256:" + digits * 32),
        kind=kind,
        splits=["train", "val", "test"],
    )


SAMPLE = corpus(PILE, "5a", describe_pb2.CORPUS_KIND_SAMPLE)
COMPLETE = corpus(PILE, "c0", describe_pb2.CORPUS_KIND_COMPLETE)
REFERENCE = corpus("python-reference", "9e", describe_pb2.CORPUS_KIND_REFERENCE)

_STATED = packaged(methods.known()).artifact(PILE).configuration.files
PILE_FILES = list(_STATED.items())
"""Files that The Pile's manifest says to hold documents of it."""

SUBSETS = [
    describe_pb2.SubsetInfo(
        name=name,
        documents=100,
        text_bytes=1000,
        published=describe_pb2.PublishedSubset(weight=1 / 22),
    )
    for name in sorted(published.NAMES)
]
DESCRIPTION = describe_pb2.CorpusDescription(
    corpus=describe_pb2.Corpus(
        ref=SAMPLE.ref,
        kind=SAMPLE.kind,
        splits=SAMPLE.splits,
        shards=[
            describe_pb2.Shard(path=path, stored_bytes=1000, content_bytes=size, digest=digest)
            for (path, digest), size in zip(PILE_FILES, (3000, 3100, 3050, 3000, 3100), strict=True)
        ],
    ),
    subsets=SUBSETS,
    documents=2200,
    text_bytes=22000,
    documents_without_subset=0,
    duplicate_documents=3,
)


FOREIGN = changed(
    DESCRIPTION,
    corpus=changed(
        DESCRIPTION.corpus,
        shards=[changed(one, digest="sha256:" + "f0" * 32) for one in DESCRIPTION.corpus.shards],
    ),
)
"""The same figures of files that no manifest names."""


def codec(
    name: str, ratio: float, speed: float, tool: float | None = None
) -> corpus_benchmark_pb2.CodecResult:
    """A codec that decompresses `speed` MB a second, give or take a hundredth; so does its tool."""
    seconds = (2 << 20) / 1e6 / speed
    runs = [seconds * (0.99 + 0.0025 * step) for step in range(9)]
    by_tool = [one * speed / tool for one in runs] if tool else []
    return corpus_benchmark_pb2.CodecResult(
        codec=name, ratio=ratio, seconds=runs, tool_seconds=by_tool
    )


STORAGE = corpus_benchmark_pb2.StorageResult(
    sample_bytes=2 << 20,
    codecs=[
        codec("stored", 3.4, 500),
        codec("gzip-6", 2.8, 300, tool=200),
        codec("zstd-1", 2.5, 1000),
        codec("zstd-3", 2.8, 900, tool=800),
        codec("zstd-19", 3.4, 700),
    ],
    streaming=corpus_benchmark_pb2.StreamingMemory(
        content_bytes=1 << 30, peak_growth_bytes=16 << 20
    ),
    plain_parse=corpus_benchmark_pb2.PlainParse(lines=2000, parsed=2000),
    environment=ENVIRONMENT,
    load=common_pb2.MachineLoad(
        others_cores=0.0, allowed_others_cores=0.1, kernel_ratio=1.0, steal=0.0, clean=True
    ),
)

_NATS = 1386.2943611198906  # 2,000 bits: 2 bits per byte of 1,000 bytes
_OF_EACH = scoring_pb2.BitsPerByte(nats=_NATS, text_bytes=1000, documents=10, bits_per_byte=2.0)
BPB = scoring_pb2.FinalScore(
    model=ref("byte-reference", "1a"),
    overall=scoring_pb2.BitsPerByte(
        nats=2 * _NATS, text_bytes=2000, documents=20, bits_per_byte=2.0
    ),
    subsets=[scoring_pb2.SubsetScore(subset=name, score=_OF_EACH) for name in ("a", "b")],
    environment=ENVIRONMENT,
)


BYTES = scoring_pb2.LanguageModel(
    ref=ref("byte-reference", "1a"), weights=common_pb2.WEIGHTS_KIND_REFERENCE
)
TINY = scoring_pb2.LanguageModel(
    ref=ref("tiny", "7e"),
    architecture="llama",
    max_length=512,
    parameters=656_000,
    vocabulary=2048,
    weights=common_pb2.WEIGHTS_KIND_TRAINED,
)


@dataclass
class FakeCorpus(CorpusPeer):
    """A corpus service that serves `served`, all of it like `description` and `figures`."""

    served: tuple[describe_pb2.CorpusSummary, ...] = (SAMPLE,)
    description: describe_pb2.CorpusDescription = field(default_factory=lambda: DESCRIPTION)
    figures: corpus_benchmark_pb2.StorageResult = field(default_factory=lambda: STORAGE)
    scores: scoring_pb2.FinalScore = field(default_factory=lambda: BPB)
    error: AssayError | None = None
    measured: list[str] = field(default_factory=list)
    described: int = 0
    audit_result: corpus_audit_pb2.CorpusAudit = field(default_factory=corpus_audit_pb2.CorpusAudit)
    audited: int = 0
    scored: int = 0
    models: tuple[scoring_pb2.LanguageModel, ...] = (BYTES, TINY)
    comparison: scoring_pb2.BPBComparison = field(default_factory=scoring_pb2.BPBComparison)
    plans: list[tuple[str, ScorePlan]] = field(default_factory=list)

    async def corpora(self) -> tuple[describe_pb2.CorpusSummary, ...]:
        if self.error is not None:
            raise self.error
        return self.served

    async def describe(self, corpus: selection_pb2.CorpusRef) -> describe_pb2.CorpusDescription:
        self.described += 1
        (kind,) = {one.kind for one in self.served if one.ref == corpus}
        return changed(
            self.description, corpus=changed(self.description.corpus, ref=corpus, kind=kind)
        )

    async def audit(self, corpus: selection_pb2.CorpusRef) -> corpus_audit_pb2.CorpusAudit:
        self.audited += 1
        return self.audit_result

    async def storage(
        self, corpus: selection_pb2.CorpusRef, split: str, sample_bytes: int, repetitions: int
    ) -> corpus_benchmark_pb2.StorageResult:
        self.measured.append(split)
        # Ratios differ a little from split to split, as those of real texts do.
        shift = 1 + 0.001 * len(split)
        codecs = [
            changed(one, ratio=one.ratio * (shift if one.codec == "zstd-3" else 1))
            for one in self.figures.codecs
        ]
        return changed(self.figures, codecs=codecs)

    async def language_models(self) -> tuple[scoring_pb2.LanguageModel, ...]:
        if self.error is not None:
            raise self.error
        return self.models

    async def score(
        self, corpus: selection_pb2.CorpusRef, model: scoring_pb2.LanguageModel, plan: ScorePlan
    ) -> scoring_pb2.FinalScore:
        self.scored += 1
        self.plans.append((model.ref.name, plan))
        return self.scores

    async def compare(
        self,
        corpus: selection_pb2.CorpusRef,
        model: scoring_pb2.LanguageModel,
        against: scoring_pb2.LanguageModel,
        plan: ScorePlan,
    ) -> scoring_pb2.BPBComparison:
        self.plans.append((f"{model.ref.name} against {against.ref.name}", plan))
        return self.comparison
