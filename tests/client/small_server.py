"""A server in this process that speaks the contract, over data of a few lines.

It answers what the real services answer, and fails on request: with the reason that a
corpus's name spells, or with UNAVAILABLE after `cut` messages of a stream, once.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, NoReturn

import grpc
import zstandard
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import (
    corpus_pb2_grpc,
    describe_pb2,
    scoring_pb2,
    scoring_pb2_grpc,
    selection_pb2,
    stream_pb2,
)
from assay_rpc.ranker.v1 import (
    artifact_pb2,
    compare_pb2,
    evidence_pb2,
    rank_pb2,
    ranker_pb2_grpc,
    score_pb2,
    verification_pb2,
    verification_pb2_grpc,
)
from assay_rpc.segment.v1 import images_pb2, models_pb2, segment_pb2, segment_pb2_grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

CODES = {
    "INVALID_ARGUMENT": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "OVERLOADED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "INDEX_REQUIRED": grpc.StatusCode.FAILED_PRECONDITION,
    "UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
}
TEXTS = [f"document {number}" for number in range(20)]
TEXTS[3] = "a lone \ud800 surrogate"
DIGEST = "sha256:" + hashlib.sha256(repr(TEXTS).encode()).hexdigest()


def fail(context: grpc.ServicerContext, reason: str, *more: Message) -> NoReturn:
    """End the call with a reason and its details."""
    code = CODES.get(reason, grpc.StatusCode.FAILED_PRECONDITION)
    status = status_pb2.Status(code=code.value[0], message=f"it was {reason}")
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain="assay"), *more):
        status.details.add().Pack(detail)
    context.set_trailing_metadata(
        (
            ("grpc-status-details-bin", status.SerializeToString()),
            ("x-request-id", "r-1"),
            ("grpc-retry-pushback-ms", "-1"),
        )
    )
    context.abort(code, status.message)


# Their types ask for every method; what Small lacks answers UNIMPLEMENTED.
_CORPUS: Any = corpus_pb2_grpc.CorpusServiceServicer
_SCORING: Any = scoring_pb2_grpc.ScoringServiceServicer
_SEGMENT: Any = segment_pb2_grpc.SegmentServiceServicer
_RANKER: Any = ranker_pb2_grpc.RankerServiceServicer
_VERIFICATION: Any = verification_pb2_grpc.VerificationServiceServicer


class Small(_CORPUS, _SCORING, _SEGMENT, _RANKER, _VERIFICATION):  # type: ignore[misc]
    """All the services. `cut` ends each stream once, after as many messages."""

    def __init__(self, cut: int | None = None) -> None:
        self.cut = cut
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.cancelled: list[str] = []
        self.left = threading.Event()

    def _seen(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))

    def _cutting(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        for number, message in enumerate(messages):
            if self.cut is not None and number == self.cut:
                self.cut = None
                fail(context, "UNAVAILABLE")
            yield message

    # Corpus

    def ListCorpora(self, request: Any, context: Any) -> Any:  # noqa: N802  # the contract's name
        """Two pages."""
        self._seen(request, context)
        name = "second" if request.page_token else "first"
        return describe_pb2.ListCorporaResponse(
            corpora=[describe_pb2.CorpusSummary(ref=selection_pb2.CorpusRef(name=name))],
            next_page_token="" if request.page_token else "2",
        )

    def GetCorpus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The corpus, or the error that its name spells."""
        self._seen(request, context)
        name = request.corpus.name
        if name.isupper():
            violation = error_details_pb2.BadRequest.FieldViolation
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromMilliseconds(1500)
            fail(
                context,
                name,
                error_details_pb2.BadRequest(
                    field_violations=[
                        violation(field="a", description="is wrong"),
                        violation(field="b", description="is wrong too"),
                    ]
                ),
                retry,
            )
        return describe_pb2.GetCorpusResponse(corpus=describe_pb2.Corpus(ref=request.corpus))

    def DescribeCorpus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Progress, then the result."""
        self._seen(request, context)
        messages = [
            describe_pb2.DescribeCorpusResponse(
                progress=describe_pb2.CountProgress(shards_done=number, shards_total=2)
            )
            for number in range(3)
        ]
        result = describe_pb2.CorpusDescription(documents=len(TEXTS))
        messages.append(describe_pb2.DescribeCorpusResponse(result=result))
        yield from self._cutting(iter(messages), context)

    def GetDocuments(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The documents."""
        self._seen(request, context)
        numbers = [int(one.rpartition(":")[2]) for one in request.ids]
        return stream_pb2.GetDocumentsResponse(documents=[document(one) for one in numbers])

    def StreamCorpus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Five documents a batch; "plain" has no index, and "endless" begins again and again."""
        self._seen(request, context)
        corpus = request.corpus.name
        frames = request.delivery == stream_pb2.DELIVERY_FRAMES
        if corpus == "plain" and (frames or request.resume or request.selection.HasField("seed")):
            fail(context, "INDEX_REQUIRED")
        yield from self._cutting(self._chunks(request, frames), context)
        while corpus == "endless":
            yield from self._chunks(request, frames)

    def _chunks(self, request: Any, frames: bool) -> Iterator[stream_pb2.StreamCorpusResponse]:
        cursor, taken = request.cursor, 0
        if request.resume:
            (point,) = request.resume
            cursor, taken = point.cursor, point.documents
        first = int(cursor or b"0") + taken
        # Batches of documents are smaller than those of frames.
        size = 5 if frames else 3
        ref = selection_pb2.CorpusRef(name=request.corpus.name, digest=DIGEST)
        for start in range(first, len(TEXTS), size):
            numbers = range(start, min(start + size, len(TEXTS)))
            chunk = stream_pb2.StreamCorpusResponse(cursor=str(numbers.stop).encode())
            if start == first:
                chunk.corpus.CopyFrom(ref)
            if frames:
                chunk.frames.frames.append(frame(numbers, request.corpus.name))
            else:
                chunk.documents.documents.extend(document(number) for number in numbers)
            yield chunk

    # Scoring

    def ScoreBPB(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Progress, then the result."""
        self._seen(request, context)
        running = scoring_pb2.ScoreBPBResponse(progress=scoring_pb2.RunningScore())
        later = scoring_pb2.ScoreBPBResponse.FromString(b"\x7a\x00")  # an update of a later server
        figure = scoring_pb2.BitsPerByte(bits_per_byte=1.5)
        final = scoring_pb2.FinalScore(model=request.model, overall=figure)
        yield from self._cutting(
            iter([running, later, running, scoring_pb2.ScoreBPBResponse(result=final)]), context
        )

    def CompareBPB(self, request: Any, context: Any) -> Any:  # noqa: N802
        """No result: the stream ends early; that of "endless" when its caller has left."""
        self._seen(request, context)
        if request.corpus.name == "endless":
            context.add_callback(self.left.set)
            while context.is_active():
                yield scoring_pb2.CompareBPBResponse(progress=scoring_pb2.RunningScore())
        yield scoring_pb2.CompareBPBResponse(progress=scoring_pb2.RunningScore())

    def ScoreTexts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A figure for each text."""
        self._seen(request, context)
        return scoring_pb2.ScoreTextsResponse(
            texts=[scoring_pb2.TextScore() for _ in request.texts]
        )

    # Segment

    def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802
        """One model."""
        self._seen(request, context)
        model = models_pb2.ModelSummary(ref=common_pb2.ModelRef(name="small"))
        return segment_pb2.ListModelsResponse(models=[model])

    def SegmentImage(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A map of 2 x 3 whose labels are the image's length."""
        self._seen(request, context)
        return answer(request)

    def SegmentImages(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        """Answers; an image "bad" is none, and "lost" gets none."""
        context.send_initial_metadata(())
        items = (one for one in request_iterator if one.item.image.encoded != b"lost")
        yield from self._cutting(map(self._item, items), context)

    def _item(self, request: Any) -> segment_pb2.SegmentImagesResponse:
        self.requests.append(request)
        if request.item.image.encoded == b"bad":
            error = common_pb2.ItemError(
                code=3,
                reason=common_pb2.ERROR_REASON_BAD_IMAGE,
                message="no image",
                violations=[common_pb2.FieldViolation(field="image", description="no image")],
            )
            return segment_pb2.SegmentImagesResponse(id=request.id, error=error)
        return segment_pb2.SegmentImagesResponse(id=request.id, result=answer(request.item))

    # Ranker

    def ListArtifacts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """One artifact."""
        self._seen(request, context)
        return artifact_pb2.ListArtifactsResponse(
            artifacts=[artifact_pb2.ArtifactSummary(id="the-pile")]
        )

    def SubmitVerification(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A job with the artifact's name."""
        self._seen(request, context)
        return verification_pb2.SubmitVerificationResponse(
            job=verification_pb2.Job(id=f"job-{request.artifact}")
        )

    def WatchJob(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Three verdicts, after those that the caller has, and an end as the job's name says."""
        self._seen(request, context)
        yield from self._cutting(self._happenings(request), context)

    def _happenings(self, request: Any) -> Iterator[verification_pb2.WatchJobResponse]:
        job = verification_pb2.Job(id=request.job, state=verification_pb2.JOB_STATE_RUNNING)
        yield verification_pb2.WatchJobResponse(progress=job)
        for number in range(request.after, 3):
            verdict = evidence_pb2.ClaimVerdict(reason=f"verdict {number}")
            yield verification_pb2.WatchJobResponse(result=verdict)
        job.state = verification_pb2.JOB_STATE_SUCCEEDED
        if request.job == "job-stopped":
            job.state = verification_pb2.JOB_STATE_CANCELLED
        if request.job == "job-broken":
            job.state = verification_pb2.JOB_STATE_FAILED
            job.error.reason = common_pb2.ERROR_REASON_STORAGE_FULL
            job.error.message = "no room"
        yield verification_pb2.WatchJobResponse(progress=job)

    def Compare(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A sentence."""
        self._seen(request, context)
        return compare_pb2.CompareResponse(summary=f"{request.left} beside {request.right}")

    def ListVerdicts(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Two pages of one claim."""
        self._seen(request, context)
        return evidence_pb2.ListVerdictsResponse(
            claims=[evidence_pb2.ClaimVerdict(reason=f"page {request.page_token or 1}")],
            next_page_token="" if request.page_token else "2",
        )

    def GetMethodology(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A file."""
        self._seen(request, context)
        return score_pb2.GetMethodologyResponse(
            methodology=score_pb2.MethodologyRef(version=request.version or "v2"), content=b"a: 1"
        )

    def ListRanks(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Two pages, whose lists have profiles in common."""
        self._seen(request, context)
        names = ("core", "latency") if request.page_token else ("core",)
        return rank_pb2.ListRanksResponse(
            ranks=[rank_pb2.Rank(artifact=f"a{request.page_token}")],
            profiles=[
                rank_pb2.RankedProfile(
                    type=artifact_pb2.ARTIFACT_TYPE_DATASET, profile=name, level=0.95
                )
                for name in names
            ],
            next_page_token="" if request.page_token else "2",
        )

    def CancelJob(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Notes the job."""
        self._seen(request, context)
        self.cancelled.append(request.job)
        return verification_pb2.CancelJobResponse()


def answer(request: Any) -> segment_pb2.SegmentImageResponse:
    size = len(request.image.encoded) or request.image.pixels.rgb[0]
    raw = bytes([size] * 6)
    encoded = request.encoding
    data = zstandard.compress(raw) if encoded == images_pb2.LABEL_ENCODING_ZSTD else raw
    return segment_pb2.SegmentImageResponse(
        labels=images_pb2.LabelMap(
            height=2, width=3, type=images_pb2.LABEL_TYPE_UINT8, encoding=encoded, data=data
        )
    )


def document(number: int) -> stream_pb2.Document:
    return stream_pb2.Document(
        id=f"a:{number}",
        subset="s",
        text=TEXTS[number].encode("utf-8", "surrogatepass"),
        shard="a",
        line=number,
    )


def frame(numbers: range, corpus: str) -> stream_pb2.Frame:
    """Texts as one frame; those of "bomb" are larger than they say."""
    texts = [TEXTS[number].encode("utf-8", "surrogatepass") for number in numbers]
    content = b"".join(texts)
    sized = corpus == "bomb-with-size"
    stored = bytes(1 << 24) if corpus.startswith("bomb") else content
    compressor = zstandard.ZstdCompressor(write_content_size=sized)
    return stream_pb2.Frame(
        data=compressor.compress(stored),
        form=stream_pb2.FRAME_FORM_TEXT,
        content_bytes=len(content),
        shard="a",
        frame=numbers.start // 5,
        first_line=numbers.start,
        subset="s",
        text_bytes=[len(text) for text in texts],
    )


@contextmanager
def serving(small: Small, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    """Serve it at the address that is given."""
    server = grpc.server(futures.ThreadPoolExecutor(8))
    corpus_pb2_grpc.add_CorpusServiceServicer_to_server(small, server)
    scoring_pb2_grpc.add_ScoringServiceServicer_to_server(small, server)
    segment_pb2_grpc.add_SegmentServiceServicer_to_server(small, server)
    ranker_pb2_grpc.add_RankerServiceServicer_to_server(small, server)
    verification_pb2_grpc.add_VerificationServiceServicer_to_server(small, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    statuses = health.HealthServicer()
    statuses.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(statuses, server)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
