"""Wires and runs the corpus service: `python -m services.corpus`."""

from __future__ import annotations

import asyncio
import sys

import grpc
import structlog
from assay.corpus.v1 import corpus_pb2, corpus_pb2_grpc

from services.corpus.allocator import keep_freed_memory
from services.corpus.api.admin import CorpusAdminService
from services.corpus.api.bpb import BpbScorer
from services.corpus.api.corpus import CorpusService
from services.corpus.bpb.store import ScoreStore
from services.corpus.catalog.catalog import Catalog, Registration
from services.corpus.catalog.corpus import Kind, License
from services.corpus.reference import build
from services.corpus.settings import CorpusSettings
from services.corpus.shards.layout import LayoutError
from services.errors import AssayError
from services.rpc.server import Service, StartError, run
from services.rpc.settings import load_settings

_log = structlog.get_logger(__name__)


def build_service(settings: CorpusSettings) -> Service:
    """Return the service; nothing is opened before its `warm`."""
    cache = settings.home_directory / "cache" / "corpus"
    catalog = Catalog(cache, frame_cache_bytes=settings.frame_cache_bytes)
    store = ScoreStore(settings.home_directory / "scores", cache / "scores")
    scorer = BpbScorer(settings.language_models, store)
    servicer = CorpusService(catalog, scorer, settings.threads, settings.max_message_bytes)
    admin = CorpusAdminService(catalog)

    def register(server: grpc.aio.Server) -> None:
        corpus_pb2_grpc.add_CorpusServiceServicer_to_server(servicer, server)
        corpus_pb2_grpc.add_CorpusAdminServiceServicer_to_server(admin, server)

    async def warm() -> None:
        try:
            await asyncio.to_thread(lambda: catalog.load(_registrations(settings)))
        except (AssayError, LayoutError, OSError) as error:
            raise StartError(f"{settings.variable('corpora')}: {error}") from error
        for corpus in catalog.list():
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
        await servicer.close()

    services = corpus_pb2.DESCRIPTOR.services_by_name.values()
    return Service(
        name="corpus",
        register=register,
        full_names=tuple(service.full_name for service in services),
        warm=warm,
        close=close,
    )


def _registrations(settings: CorpusSettings) -> dict[str, Registration]:
    """Return the corpora of the settings, else the reference corpus, built if need be."""
    if settings.corpora:
        return {name: entry.registration() for name, entry in settings.corpora.items()}
    root = build.ensure_reference_corpus(settings.home_directory)
    license_ = License(build.LICENSE_ID, build.LICENSE_NAME, build.LICENSE_URL)
    return {build.NAME: Registration(root, Kind.REFERENCE, build.SOURCE, license_)}


def main() -> int:
    """Serve until told to stop; return the exit code."""
    keep_freed_memory()
    settings = load_settings(CorpusSettings)
    return run(settings, build_service(settings))


if __name__ == "__main__":
    sys.exit(main())
