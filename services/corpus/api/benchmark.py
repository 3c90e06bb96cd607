"""CorpusBenchmarkService: measures how a corpus is stored, in a process of its own."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import grpc
from assay_rpc.common.v1 import common_pb2
from assay_rpc.corpus.v1 import benchmark_pb2, benchmark_pb2_grpc

from services.common.kernel_times import KernelTimes
from services.common.statistics.speed.restarts import Restart
from services.corpus.api.corpora import corpus_ref
from services.corpus.catalog.catalog import Catalog
from services.corpus.catalog.corpus import Corpus
from services.corpus.shards.formats import ZSTD_LINES, format_of
from services.errors import (
    DataLoss,
    InternalError,
    InvalidArgument,
    NotFound,
    Overloaded,
    Unsupported,
)
from services.rpc.environment import environment
from services.rpc.messages import interval_message, load_message
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


class CorpusBenchmarkService(benchmark_pb2_grpc.CorpusBenchmarkServiceServicer):
    """Measures the machine with registered corpora, without a user's data.

    Its stream is a coroutine that writes its messages, as CorpusService's are.
    """

    def __init__(self, catalog: Catalog, kernel: KernelTimes) -> None:
        """Make the service; `kernel` keeps the calibration kernel's times, with one thread."""
        self._catalog = catalog
        self._kernel = kernel
        self._busy = False

    async def BenchmarkStorage(  # type: ignore[override]  # noqa: N802  # see the class
        self, request: benchmark_pb2.BenchmarkStorageRequest, context: Context
    ) -> None:
        """Measure codecs and memory on a corpus's own shards; one benchmark at a time."""
        corpus = self._catalog.open(request.corpus.name, request.corpus.digest)
        worker_request = _worker_request(request, corpus)
        if self._busy:
            raise Overloaded("a storage benchmark is running", _RETRY_SECONDS)
        self._busy = True
        try:
            machine = await asyncio.to_thread(environment, "zstandard")
            async with aclosing(run_worker(WORKER, worker_request)) as updates:
                async for update in updates:
                    await context.write(_response(update, corpus, machine, self._kernel))
                    if "result" in update:
                        return
            raise InternalError(f"{WORKER} ended without a result")
        finally:
            self._busy = False


def _worker_request(
    request: benchmark_pb2.BenchmarkStorageRequest, corpus: Corpus
) -> dict[str, Any]:
    """Check a request; return the worker's request."""
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
        raise Unsupported(
            "corpus: is in object storage, and the benchmark measures a local directory"
        )
    other = next((path for path in files if format_of(path) != ZSTD_LINES), "")
    if other:
        raise Unsupported(
            f"corpus: {other} is not a .jsonl.zst file, and the benchmark is of zstd shards; "
            "`assay corpus index` makes some of any corpus"
        )
    return {
        "shards": shards,
        "sample_bytes": request.sample_bytes or _SAMPLE_BYTES,
        "repetitions": repetitions,
    }


def _response(
    update: dict[str, Any], corpus: Corpus, machine: common_pb2.Environment, kernel: KernelTimes
) -> benchmark_pb2.BenchmarkStorageResponse:
    if "damage" in update:
        raise DataLoss(**update["damage"])
    if "empty" in update:
        raise InvalidArgument("split", "its shards hold no text to measure; name another split")
    if "result" not in update:
        return benchmark_pb2.BenchmarkStorageResponse(
            progress=benchmark_pb2.StorageProgress(**update)
        )
    # The worker's result has the form of the message, except the intervals' kind and method.
    codecs = [
        {
            **one,
            "decompress_interval": interval_message(
                **one["decompress_interval"], method="order-statistics@1"
            ),
        }
        for one in update["result"]["codecs"]
    ]
    machine.versions.update(update["versions"])
    return benchmark_pb2.BenchmarkStorageResponse(
        result=benchmark_pb2.StorageResult(
            corpus=corpus_ref(corpus),
            environment=machine,
            load=_load(update, kernel),
            **{**update["result"], "codecs": codecs},
        )
    )


def _load(update: dict[str, Any], kernel: KernelTimes) -> common_pb2.MachineLoad:
    """The machine's load; the calibration kernel's timings are stored, and compared with them."""
    seconds, load = update["kernel"], update["load"]
    reference = kernel.add(seconds, datetime.now(UTC).date().isoformat())
    seen = Restart(
        started=0.0,
        seconds=0.0,
        least=0.0,
        others=load["others"],
        kernel=reference.ratio(seconds, ()),
        steal=load["steal"],
        throttled=load["throttled"],
        allowed=load["allowed"],
    )
    return load_message(seen, median(seconds), load["own"])
