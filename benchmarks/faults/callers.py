"""A call to each service whose answer can be checked, by the shipped client."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable

import numpy as np
from assay_rpc.channel import connect
from assay_rpc.corpus import CorpusStream
from assay_rpc.corpus.v1 import selection_pb2
from assay_rpc.ranker.v1 import compare_pb2, ranker_pb2_grpc
from assay_rpc.segment.v1 import images_pb2, segment_pb2, segment_pb2_grpc
from PIL import Image

from benchmarks.faults.load import WrongAnswer

CORPUS = "python-reference"
PAIR = ("segformer-b4-finetuned-ade-512-512", "the-pile")
Call = Callable[[int], Awaitable[None]]


def picture(width: int = 160, height: int = 120) -> bytes:
    """Return a PNG of several colours."""
    drawn = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(drawn).save(file, "PNG")
    return file.getvalue()


def segment_call(target: str) -> Call:
    """Label a picture; every answer must equal the first one."""
    request = segment_pb2.SegmentImageRequest(image=images_pb2.Image(encoded=picture()))
    stub = segment_pb2_grpc.SegmentServiceStub(connect(target))
    right = stub.SegmentImage(request).labels

    async def call(_: int) -> None:
        if (await asyncio.to_thread(stub.SegmentImage, request)).labels != right:
            raise WrongAnswer("other labels than before")

    return call


def corpus_call(target: str) -> Call:
    """Read a few hundred documents in an order of their own; each must come once, in that order."""
    selection = selection_pb2.Selection(max_documents=300)

    def read() -> list[str]:
        with CorpusStream(target, CORPUS, selection=selection, chunk_bytes=65_536) as stream:
            return [document.id for document in stream]

    right = read()

    async def call(_: int) -> None:
        if (found := await asyncio.to_thread(read)) != right:
            raise WrongAnswer(f"{len(found)} documents for {len(right)}, or another order")

    return call


def ranker_call(target: str) -> Call:
    """Compare two artifacts; every answer must equal the first one."""
    request = compare_pb2.CompareRequest(left=PAIR[0], right=PAIR[1])

    def said(reply: compare_pb2.CompareResponse) -> tuple[str, ...]:
        return (reply.left.artifact.id, reply.right.artifact.id, str(reply.summary))

    stub = ranker_pb2_grpc.RankerServiceStub(connect(target))
    right = said(stub.Compare(request))

    async def call(_: int) -> None:
        if said(await asyncio.to_thread(stub.Compare, request)) != right:
            raise WrongAnswer("another comparison than before")

    return call


CALLS: dict[str, Callable[[str], Call]] = {
    "segment": segment_call,
    "corpus": corpus_call,
    "ranker": ranker_call,
}
