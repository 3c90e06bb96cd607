"""segment and corpus written by hand over the real stubs, to serve on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import benchmark_pb2 as corpus_benchmark_pb2
from assay_rpc.corpus.v1 import benchmark_pb2_grpc as corpus_benchmark_pb2_grpc
from assay_rpc.corpus.v1 import (
    corpus_pb2_grpc,
    describe_pb2,
    scoring_pb2,
    scoring_pb2_grpc,
    selection_pb2,
    stream_pb2,
)
from assay_rpc.segment.v1 import benchmark_pb2 as segment_benchmark_pb2
from assay_rpc.segment.v1 import benchmark_pb2_grpc as segment_benchmark_pb2_grpc
from assay_rpc.segment.v1 import images_pb2, models_pb2, segment_pb2, segment_pb2_grpc

from tests.ranker.peers_fake import B4_FACTS, BPB, MACHINE, PILE_FILES, changed, restarts

Context = grpc.aio.ServicerContext[Any, Any]

ENVIRONMENT = common_pb2.Environment(
    cpu=str(MACHINE["cpu"]), cpu_count=2, versions={"onnxruntime": "1.32.0"}, load=0.1
)
MODEL = models_pb2.Model(
    ref=common_pb2.ModelRef(name="segformer-b4-random", version="1", digest="sha256:b4"),
    architecture="segformer-b4",
    weights=common_pb2.WEIGHTS_KIND_RANDOM,
    classes=[models_pb2.ClassInfo(id=number) for number in range(150)],
    preprocessing=models_pb2.Preprocessing(height=512, width=512),
    source_facts=B4_FACTS,
    parity=models_pb2.ExportParity(label_agreement=1.0, probes=5),
    engine=common_pb2.Engine(id="onnxruntime-cpu"),
)


@dataclass
class SegmentServer(
    segment_pb2_grpc.SegmentServiceServicer,
    segment_benchmark_pb2_grpc.SegmentBenchmarkServiceServicer,
):
    """One model a page, times of 1.0 s; `hangs` until it is cancelled, `fails` with a status.

    A picture is all sky, and `overlay` where that is given.
    """

    models: list[models_pb2.Model] = field(default_factory=lambda: [MODEL])
    seconds: tuple[float, ...] = (1.0, 1.01, 1.02)
    hangs: bool = False
    fails: grpc.StatusCode | None = None
    evaluations: list[list[segment_pb2.EvaluateSegmentationRequest]] = field(default_factory=list)
    overlay: bytes = b""
    refuses_pictures: bool = False
    pixels_are_ignored: bool = False
    benchmarks: list[segment_benchmark_pb2.BenchmarkModelRequest] = field(default_factory=list)
    remaining: list[float] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def SegmentImage(  # noqa: N802  # the contract's name
        self, request: segment_pb2.SegmentImageRequest, context: Context
    ) -> segment_pb2.SegmentImageResponse:
        return segment_pb2.SegmentImageResponse(
            model=self.models[0].ref,
            classes=[images_pb2.ClassShare(class_id=2, name="sky", pixels=1, share=1)],
            overlay=images_pb2.Picture(data=self.overlay),
        )

    async def SegmentImages(  # noqa: N802  # the contract's name
        self,
        request_iterator: AsyncIterator[segment_pb2.SegmentImagesRequest],
        context: Context,
    ) -> AsyncIterator[segment_pb2.SegmentImagesResponse]:
        raise NotImplementedError
        yield

    async def EvaluateSegmentation(  # noqa: N802  # the contract's name
        self,
        request_iterator: AsyncIterator[segment_pb2.EvaluateSegmentationRequest],
        context: Context,
    ) -> AsyncIterator[segment_pb2.EvaluateSegmentationResponse]:
        if self.refuses_pictures:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "pair 0: it is no picture")
        self.evaluations.append([])
        async for part in request_iterator:
            self.evaluations[-1].append(part)
            done = len(self.evaluations[-1]) - 1
            progress = segment_pb2.EvaluationProgress(done=done)
            yield segment_pb2.EvaluateSegmentationResponse(progress=progress)
        result = segment_pb2.EvaluationResult(pairs=len(self.evaluations[-1]) - 1, pixels=100)
        if not self.pixels_are_ignored:
            result.mean_iou, result.pixel_accuracy = 0.45, 0.8
        yield segment_pb2.EvaluateSegmentationResponse(result=result)

    async def ListModels(  # noqa: N802  # the contract's name
        self, request: segment_pb2.ListModelsRequest, context: Context
    ) -> segment_pb2.ListModelsResponse:
        self.remaining.append(context.time_remaining() or 0)
        if self.fails is not None:
            await context.abort(self.fails, "as the test asked")
        place = int(request.page_token or 0)
        more = str(place + 1) if place + 1 < len(self.models) else ""
        model = self.models[place]
        summary = models_pb2.ModelSummary(ref=model.ref, weights=model.weights)
        return segment_pb2.ListModelsResponse(models=[summary], next_page_token=more)

    async def GetModel(  # noqa: N802  # the contract's name
        self, request: segment_pb2.GetModelRequest, context: Context
    ) -> segment_pb2.GetModelResponse:
        (found,) = (one for one in self.models if one.ref == request.model)
        return segment_pb2.GetModelResponse(model=found)

    async def BenchmarkModel(  # noqa: N802  # the contract's name
        self, request: segment_benchmark_pb2.BenchmarkModelRequest, context: Context
    ) -> AsyncIterator[segment_benchmark_pb2.BenchmarkModelResponse]:
        self.benchmarks.append(request)
        self.started.set()
        yield segment_benchmark_pb2.BenchmarkModelResponse(
            progress=segment_benchmark_pb2.BenchmarkProgress(done=1, total=9)
        )
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        result = segment_benchmark_pb2.BenchmarkResult(
            model=request.model,
            scenario=request.scenario,
            batch_size=request.batch_size,
            runs=24,
            restarts=8,
            samples=[segment_benchmark_pb2.RunTimes(seconds=self.seconds) for _ in range(8)],
            restart_records=restarts(8),
            environment=ENVIRONMENT,
            engine=common_pb2.Engine(id="onnxruntime-cpu"),
        )
        yield segment_benchmark_pb2.BenchmarkModelResponse(result=result)


@dataclass
class CorpusServer(
    corpus_pb2_grpc.CorpusServiceServicer,
    scoring_pb2_grpc.ScoringServiceServicer,
    corpus_benchmark_pb2_grpc.CorpusBenchmarkServiceServicer,
):
    """A sample of the Pile with two subsets; `speed` is gzip's over zstd's."""

    speed: float = 3.0
    seconds: float = 0.01
    storage_calls: int = 0

    async def StreamCorpus(  # noqa: N802  # the contract's name
        self, request: stream_pb2.StreamCorpusRequest, context: Context
    ) -> AsyncIterator[stream_pb2.StreamCorpusResponse]:
        raise NotImplementedError
        yield

    async def GetDocuments(  # noqa: N802  # the contract's name
        self, request: stream_pb2.GetDocumentsRequest, context: Context
    ) -> stream_pb2.GetDocumentsResponse:
        raise NotImplementedError

    async def ListCorpora(  # noqa: N802  # the contract's name
        self, request: describe_pb2.ListCorporaRequest, context: Context
    ) -> describe_pb2.ListCorporaResponse:
        summary = describe_pb2.CorpusSummary(
            ref=selection_pb2.CorpusRef(name="the-pile", digest="sha256:5a"),
            kind=describe_pb2.CORPUS_KIND_SAMPLE,
            splits=["train", "test"],
        )
        return describe_pb2.ListCorporaResponse(corpora=[summary])

    async def DescribeCorpus(  # noqa: N802  # the contract's name
        self, request: describe_pb2.DescribeCorpusRequest, context: Context
    ) -> AsyncIterator[describe_pb2.DescribeCorpusResponse]:
        assert request.corpus.digest == "sha256:5a"
        published = describe_pb2.PublishedSubset(weight=0.5)
        yield describe_pb2.DescribeCorpusResponse(
            progress=describe_pb2.CountProgress(shards_done=1, shards_total=2)
        )
        result = describe_pb2.CorpusDescription(
            corpus=describe_pb2.Corpus(
                ref=request.corpus,
                kind=describe_pb2.CORPUS_KIND_SAMPLE,
                splits=["train", "test"],
                shards=[
                    describe_pb2.Shard(
                        path=path, stored_bytes=1000, content_bytes=3000 + extra, digest=digest
                    )
                    for extra, (path, digest) in enumerate(PILE_FILES)
                ],
            ),
            subsets=[
                describe_pb2.SubsetInfo(
                    name=name, documents=500, text_bytes=5000, published=published
                )
                for name in ("ArXiv", "Github")
            ],
            documents=1000,
            text_bytes=10000,
        )
        yield describe_pb2.DescribeCorpusResponse(result=result)

    async def GetCorpus(  # noqa: N802  # the contract's name
        self, request: describe_pb2.GetCorpusRequest, context: Context
    ) -> describe_pb2.GetCorpusResponse:
        raise NotImplementedError

    async def ListLanguageModels(  # noqa: N802  # the contract's name
        self, request: scoring_pb2.ListLanguageModelsRequest, context: Context
    ) -> scoring_pb2.ListLanguageModelsResponse:
        names = ("another-model", "byte-reference")
        return scoring_pb2.ListLanguageModelsResponse(
            models=[scoring_pb2.LanguageModel(ref=common_pb2.ModelRef(name=name)) for name in names]
        )

    async def ScoreBPB(  # noqa: N802  # the contract's name
        self, request: scoring_pb2.ScoreBPBRequest, context: Context
    ) -> AsyncIterator[scoring_pb2.ScoreBPBResponse]:
        assert request.model.name == "byte-reference"
        assert request.selection.splits == ["test"]
        yield scoring_pb2.ScoreBPBResponse(progress=scoring_pb2.RunningScore())
        final = changed(
            BPB,
            corpus=request.corpus,
            overall=changed(BPB.overall, documents=1),
            model=common_pb2.ModelRef(name="byte-reference", digest="sha256:1a"),
            environment=ENVIRONMENT,
        )
        yield scoring_pb2.ScoreBPBResponse(result=final)

    async def CompareBPB(  # noqa: N802  # the contract's name
        self, request: scoring_pb2.CompareBPBRequest, context: Context
    ) -> AsyncIterator[scoring_pb2.CompareBPBResponse]:
        raise NotImplementedError
        yield

    async def ScoreTexts(  # noqa: N802  # the contract's name
        self, request: scoring_pb2.ScoreTextsRequest, context: Context
    ) -> scoring_pb2.ScoreTextsResponse:
        raise NotImplementedError

    async def BenchmarkStorage(  # noqa: N802  # the contract's name
        self, request: corpus_benchmark_pb2.BenchmarkStorageRequest, context: Context
    ) -> AsyncIterator[corpus_benchmark_pb2.BenchmarkStorageResponse]:
        self.storage_calls += 1

        def codec(name: str, ratio: float, seconds: float) -> corpus_benchmark_pb2.CodecResult:
            ratio += 0.001 * len(request.split) if name.startswith("zstd") else 0
            return corpus_benchmark_pb2.CodecResult(codec=name, ratio=ratio, seconds=[seconds] * 9)

        result = corpus_benchmark_pb2.StorageResult(
            corpus=request.corpus,
            sample_bytes=request.sample_bytes,
            codecs=[
                codec("gzip-6", 2.8, self.speed * self.seconds),
                codec("zstd-3", 2.8, self.seconds),
            ],
            streaming=corpus_benchmark_pb2.StreamingMemory(
                content_bytes=1000, peak_growth_bytes=10
            ),
            plain_parse=corpus_benchmark_pb2.PlainParse(lines=1000, parsed=1000),
            environment=ENVIRONMENT,
        )
        yield corpus_benchmark_pb2.BenchmarkStorageResponse(result=result)
