"""CorpusAdminService: measures how a corpus is stored, in a process of its own."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
from assay.common.v1 import common_pb2
from assay.corpus.v1 import corpus_pb2 as pb
from assay.corpus.v1 import corpus_pb2_grpc as pb_grpc

from services.corpus.api import replies
from services.corpus.catalog.catalog import Catalog
from services.corpus.catalog.corpus import Corpus
from services.errors import (
    DataLoss,
    InternalError,
    InvalidArgument,
    NotFound,
    Overloaded,
    PreconditionFailed,
)
from services.rpc.environment import environment
from services.rpc.worker import run_worker

Context = grpc.aio.ServicerContext[Any, Any]

WORKER = "services.corpus.storage_benchmark"
_SAMPLE_BYTES = 8 << 20
_MAX_SAMPLE_BYTES = 1 << 30
_REPETITIONS = 9
_MIN_REPETITIONS = 3
_MAX_REPETITIONS = 100
# A benchmark of the default size takes about this long.
_RETRY_SECONDS = 15.0


class CorpusAdminService(pb_grpc.CorpusAdminServiceServicer):
    """Operations that use the machine and not a user's data.

    Its stream is a coroutine that writes its messages, as CorpusService's are.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._busy = False

    async def BenchmarkStorage(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: pb.BenchmarkStorageRequest, context: Context
    ) -> None:
        """Measure codecs and memory on a corpus's own shards; one benchmark at a time."""
        corpus = self._catalog.open(replies.ref_of(request.corpus))
        order = _order(request, corpus)
        if self._busy:
            raise Overloaded("a storage benchmark is running", _RETRY_SECONDS)
        self._busy = True
        try:
            machine = await asyncio.to_thread(environment, "zstandard")
            async with aclosing(run_worker(WORKER, order)) as updates:
                async for update in updates:
                    await context.write(_response(update, corpus, machine))
                    if "result" in update:
                        return
            raise InternalError(f"{WORKER} ended without a result")
        finally:
            self._busy = False


def _order(request: pb.BenchmarkStorageRequest, corpus: Corpus) -> dict[str, Any]:
    """Check a request; return what the worker is asked for."""
    split = request.split or corpus.splits[0]
    if split not in corpus.splits:
        raise NotFound("split", split, corpus.splits)
    if request.sample_bytes > _MAX_SAMPLE_BYTES:
        raise InvalidArgument("sample_bytes", f"is over {_MAX_SAMPLE_BYTES}")
    repetitions = request.repetitions or _REPETITIONS
    if not _MIN_REPETITIONS <= repetitions <= _MAX_REPETITIONS:
        raise InvalidArgument(
            "repetitions", f"is not between {_MIN_REPETITIONS} and {_MAX_REPETITIONS}"
        )
    files = {shard.path: shard.file for shard in corpus.shards if shard.split == split}
    shards = [
        {"path": path, "file": str(file.absolute())}
        for path, file in files.items()
        if isinstance(file, Path)
    ]
    if len(shards) < len(files):
        raise PreconditionFailed(
            "corpus: is in object storage, and the benchmark measures a local directory"
        )
    return {
        "shards": shards,
        "sample_bytes": request.sample_bytes or _SAMPLE_BYTES,
        "repetitions": repetitions,
    }


def _response(
    update: dict[str, Any], corpus: Corpus, machine: common_pb2.Environment
) -> pb.BenchmarkStorageResponse:
    if "damage" in update:
        raise DataLoss(**update["damage"])
    if "empty" in update:
        raise InvalidArgument("split", "its shards hold no text to measure; name another split")
    if "result" not in update:
        return pb.BenchmarkStorageResponse(progress=pb.StorageProgress(**update))
    result = update["result"]
    return pb.BenchmarkStorageResponse(
        result=pb.StorageResult(
            corpus=replies.corpus_ref(corpus),
            sample_bytes=result["sample_bytes"],
            codecs=[
                pb.CodecResult(
                    codec=codec["codec"],
                    ratio=codec["ratio"],
                    decompress_mb_per_second=codec["decompress_mb_per_second"],
                    decompress_interval=common_pb2.Interval(**codec["decompress_interval"]),
                    seconds=codec["seconds"],
                )
                for codec in result["codecs"]
            ],
            streaming=pb.StreamingMemory(**result["streaming"]),
            plain_parse=pb.PlainParse(**result["plain_parse"]),
            environment=machine,
        )
    )
