"""Wires and runs the corpus service: `python -m services.corpus`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a second or more
    from services.rpc.serving.starting import end_when_told

    end_when_told()

import asyncio
import ctypes
import sys

import grpc
import structlog
from assay_rpc.audit.v1alpha1 import (
    audit_pb2,
    audit_pb2_grpc,
    corpus_audit_pb2,
    corpus_audit_pb2_grpc,
)
from assay_rpc.corpus.v1 import (
    benchmark_pb2,
    benchmark_pb2_grpc,
    corpus_pb2,
    corpus_pb2_grpc,
    scoring_pb2,
    scoring_pb2_grpc,
)

from services.common.kernel_times import KernelTimes
from services.common.license import License
from services.common.machine import machine_id
from services.corpus.api.audit import AuditService
from services.corpus.api.benchmark import CorpusBenchmarkService
from services.corpus.api.bpb import BpbScorer
from services.corpus.api.corpus import CorpusService
from services.corpus.api.corpus_audit import CorpusAuditService
from services.corpus.api.scoring import ScoringService
from services.corpus.api.selections import Selections
from services.corpus.api.tokens import TokenStreams
from services.corpus.bpb.models.registry import REFERENCE, REFERENCE_DIRECTORY, Registry
from services.corpus.bpb.store import ScoreStore
from services.corpus.catalog.catalog import Catalog, Registration
from services.corpus.catalog.corpus import Kind
from services.corpus.reference import build
from services.corpus.settings import CorpusSettings
from services.corpus.shards.layout import LayoutError
from services.corpus.stream.budget import StreamBudget
from services.corpus.tokens.tokenizer import Tokenizers
from services.errors import AssayError
from services.rpc.serving.listening import StartError
from services.rpc.serving.process import run
from services.rpc.serving.service import Service
from services.rpc.settings import load_settings
from services.rpc.tracing.configured import tracing_of

_log = structlog.get_logger(__name__)
# Most requests of the largest size in memory at once, of calls that read texts or keep streaming.
_HELD_REQUESTS = 64
# Parameters of glibc's mallopt(3). glibc limits the second to 32 MiB; a message has at most a tenth
# of that.
_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES = -1, 64 << 20
_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES = -3, 32 << 20


def build_service(settings: CorpusSettings) -> Service:
    """Return the service; nothing is opened before its `warm`."""
    cache = settings.home_directory / "cache" / "corpus"
    catalog = Catalog(cache, frame_cache_bytes=settings.frame_cache_bytes)
    store = ScoreStore(settings.home_directory / "scores", cache / "scores")
    registry = Registry(settings.language_models)
    scorer = BpbScorer(registry, store)
    selections = Selections(catalog)
    directories = {REFERENCE: REFERENCE_DIRECTORY, **settings.language_models}
    servicer = CorpusService(
        selections,
        TokenStreams(Tokenizers(directories), cache / "tokens", settings.token_cache_bytes),
        StreamBudget(settings.held_by_streams),
        threads=settings.threads,
        max_message_bytes=settings.max_message_bytes,
    )
    scoring = ScoringService(selections, scorer)
    audit = AuditService(selections, registry)
    corpus_audit = CorpusAuditService(selections, scorer, settings.test_set_bytes)
    kernel = KernelTimes(settings.home_directory / "machine", machine_id(), threads=1)
    benchmark = CorpusBenchmarkService(catalog, kernel)

    def register(server: grpc.aio.Server) -> None:
        corpus_pb2_grpc.add_CorpusServiceServicer_to_server(servicer, server)
        scoring_pb2_grpc.add_ScoringServiceServicer_to_server(scoring, server)
        audit_pb2_grpc.add_AuditServiceServicer_to_server(audit, server)
        corpus_audit_pb2_grpc.add_CorpusAuditServiceServicer_to_server(corpus_audit, server)
        benchmark_pb2_grpc.add_CorpusBenchmarkServiceServicer_to_server(benchmark, server)

    async def warm() -> None:
        try:
            await asyncio.to_thread(lambda: catalog.load(_registrations(settings)))
        except (AssayError, LayoutError, OSError) as error:
            raise StartError(f"{settings.variable('corpora')}: {error}") from error
        for corpus in catalog.list():
            if corpus.left_out:
                _log.warning(
                    "files that look like shards are not read",
                    corpus=corpus.ref.name,
                    files=len(corpus.left_out),
                    first=corpus.left_out[:10],
                    advice="every_file in the corpus's settings, or another format",
                )
            slow = sum(shard.index is None for shard in corpus.shards)
            if slow:
                _log.warning(
                    "shards without an index: they stream more slowly, and in their order alone",
                    corpus=corpus.ref.name,
                    shards=slow,
                    advice="assay corpus index",
                )
        await scorer.open()

    async def close() -> None:
        await scorer.close()
        await audit.close()
        await corpus_audit.close()
        await servicer.close()
        selections.close()

    services = [
        service
        for file in (corpus_pb2, scoring_pb2, audit_pb2, corpus_audit_pb2, benchmark_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
    ]
    return Service(
        name="corpus",
        tracing=tracing_of(settings.tracing, "corpus"),
        register=register,
        full_names=tuple(service.full_name for service in services),
        warm=warm,
        close=close,
        max_held_bytes=_HELD_REQUESTS * settings.request_limit,
    )


def _registrations(settings: CorpusSettings) -> dict[str, Registration]:
    """Return the corpora of the settings, else the reference corpus, built if need be."""
    if settings.corpora:
        return {name: entry.registration() for name, entry in settings.corpora.items()}
    root = build.ensure_reference_corpus(settings.home_directory)
    license_ = License(build.LICENSE_ID, build.LICENSE_NAME, build.LICENSE_URL)
    return {build.NAME: Registration(root, Kind.REFERENCE, build.SOURCE, license_)}


def _keep_freed_memory() -> None:
    """Let glibc hold up to 64 MiB of freed memory. Elsewhere nothing happens.

    A message's buffers are just above the size from which glibc gets fresh pages from the system
    each time and returns them afterwards. The page faults took a third of the server's processor
    time on a stream of frames.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)


def main() -> int:
    """Serve until a signal; return the exit code."""
    _keep_freed_memory()
    settings = load_settings(CorpusSettings)
    return run(settings, build_service(settings))


if __name__ == "__main__":
    sys.exit(main())
