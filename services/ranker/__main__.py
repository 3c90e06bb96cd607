"""Wires and runs the ranker service: `python -m services.ranker`."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import grpc
from assay.channel import connect
from assay.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from services.errors import AssayError
from services.ranker import compare_reply, facts, methods, registry
from services.ranker.cache import Cache
from services.ranker.comparisons import Comparisons
from services.ranker.corpus_client import CorpusClient
from services.ranker.methodology.load import load
from services.ranker.redis_store import store_at
from services.ranker.segment_client import SegmentClient
from services.ranker.servicer import RankerService
from services.ranker.settings import RankerSettings
from services.ranker.store import Store, StoreError
from services.ranker.verify import Verifier
from services.rpc.server import Service, StartError, run
from services.rpc.settings import load_settings


def build_service(settings: RankerSettings) -> Service:
    """Return the service; nothing is opened before its `warm`."""
    known = registry.packaged(methods.known())
    servicer = RankerService(known)
    opened = AsyncExitStack()

    async def warm() -> None:
        try:
            servicer.attach(*await _open(settings, known, opened))
        except StoreError as error:
            raise StartError(str(error)) from error
        except (AssayError, OSError, ValueError) as error:
            raise StartError(f"the ranker's settings cannot be used: {error}") from error

    def register(server: grpc.aio.Server) -> None:
        ranker_pb2_grpc.add_RankerServiceServicer_to_server(servicer, server)

    services = ranker_pb2.DESCRIPTOR.services_by_name.values()
    return Service(
        name="ranker",
        register=register,
        full_names=tuple(service.full_name for service in services),
        warm=warm,
        close=opened.aclose,
    )


async def _open(
    settings: RankerSettings, known: registry.Registry, opened: AsyncExitStack
) -> tuple[Verifier, Comparisons]:
    """Open what the service holds; `opened` closes it again."""
    store = Store(settings.database_file)
    await store.open()
    opened.push_async_callback(store.close)
    cache = Cache(
        store_at(settings.redis_url),
        schema=compare_reply.SCHEMA,
        encode=compare_reply.encode,
        decode=compare_reply.decode,
    )
    opened.push_async_callback(cache.close)
    segment = await opened.enter_async_context(_channel(settings, settings.segment_addr))
    corpus = await opened.enter_async_context(_channel(settings, settings.corpus_addr))
    verifier = Verifier(
        known,
        facts.packaged(),
        store,
        segment=SegmentClient(segment),
        corpus=CorpusClient(corpus),
    )
    comparisons = Comparisons(known, store, cache, load(), today=lambda: datetime.now(UTC).date())
    return verifier, comparisons


def _channel(settings: RankerSettings, address: str) -> grpc.aio.Channel:
    return connect(
        address,
        tls_ca=settings.peer_tls_ca,
        tls_cert=settings.peer_tls_cert,
        tls_key=settings.peer_tls_key,
    )


def main() -> int:
    """Serve until told to stop; return the exit code."""
    settings = load_settings(RankerSettings)
    return run(settings, build_service(settings))


if __name__ == "__main__":
    sys.exit(main())
