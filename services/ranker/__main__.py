"""Wires and runs the ranker service: `python -m services.ranker`."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime

import grpc
from assay.channel import connect
from assay.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    match_graph_pb2,
    match_graph_pb2_grpc,
    ranker_pb2,
    ranks_pb2,
    ranks_pb2_grpc,
)
from prometheus_client import Counter

from services.errors import AssayError
from services.ranker.api import compare_reply, serve_bytes
from services.ranker.api.admin import RankerAdminService
from services.ranker.api.comparisons import Comparisons
from services.ranker.api.jobs import JobService
from services.ranker.api.match_graph import MatchGraphService
from services.ranker.api.ranker import RankerService
from services.ranker.api.ranks import RankService
from services.ranker.cache.cache import Cache
from services.ranker.cache.redis import store_at
from services.ranker.claims import facts, registry
from services.ranker.claims.labelled import labelled_pictures
from services.ranker.comparing.dossiers import Dossiers
from services.ranker.comparing.ranks import Ranks
from services.ranker.database.database import Database, StoreError
from services.ranker.database.evidence_store import Store
from services.ranker.database.manifest_store import ManifestStore
from services.ranker.database.match_store import MatchStore
from services.ranker.jobs import Jobs
from services.ranker.measuring import methods
from services.ranker.measuring.verify import Verifier
from services.ranker.methodology.load import load
from services.ranker.peers.corpus import CorpusClient
from services.ranker.peers.segment import SegmentClient
from services.ranker.registration import Registration
from services.ranker.searching.discovery import Discovery
from services.ranker.settings import RankerSettings
from services.rpc.server import Service, StartError, run
from services.rpc.settings import load_settings


def build_service(settings: RankerSettings) -> Service:
    """Return the service; nothing is opened before its `warm`."""
    known = registry.packaged(methods.known())
    servicers = Servicers(known)
    opened = AsyncExitStack()
    computed = Counter(
        "assay_ranker_comparisons_computed",
        "Comparisons that were computed, not read from the cache.",
        registry=None,
    )

    async def warm() -> None:
        try:
            await _open(settings, known, servicers, computed, opened)
        except StoreError as error:
            raise StartError(str(error)) from error
        except (AssayError, OSError, ValueError) as error:
            raise StartError(f"the ranker's settings cannot be used: {error}") from error

    return Service(
        name="ranker",
        register=servicers.register,
        full_names=servicers.full_names,
        warm=warm,
        close=opened.aclose,
        collectors=(computed,),
    )


class Servicers:
    """The ranker's gRPC services."""

    def __init__(self, known: registry.Registry) -> None:
        self.ranker = RankerService(known)
        self.ranks = RankService()
        self.matches = MatchGraphService()
        self.jobs = JobService()
        self.admin = RankerAdminService()

    @property
    def full_names(self) -> tuple[str, ...]:
        """Their full names."""
        files = (ranker_pb2, ranks_pb2, match_graph_pb2, jobs_pb2, admin_pb2)
        return tuple(
            service.full_name
            for file in files
            for service in file.DESCRIPTOR.services_by_name.values()
        )

    def register(self, server: grpc.aio.Server) -> None:
        """Add them to a server."""
        serve_bytes.add(self.ranker, server)
        ranks_pb2_grpc.add_RankServiceServicer_to_server(self.ranks, server)
        match_graph_pb2_grpc.add_MatchGraphServiceServicer_to_server(self.matches, server)
        jobs_pb2_grpc.add_JobServiceServicer_to_server(self.jobs, server)
        admin_pb2_grpc.add_RankerAdminServiceServicer_to_server(self.admin, server)


async def _open(
    settings: RankerSettings,
    known: registry.Registry,
    servicers: Servicers,
    computed: Counter,
    opened: AsyncExitStack,
) -> None:
    """Open what the service holds and hand it to the servicers; `opened` closes it again."""
    database = Database(settings.database_file, settings.lock_seconds)
    await database.open()
    opened.push_async_callback(database.close)
    cache = Cache(
        store_at(settings.redis),
        schema=compare_reply.SCHEMA,
        encode=bytes,
        decode=bytes,
    )
    opened.push_async_callback(cache.close)
    segment = await opened.enter_async_context(_channel(settings, settings.segment_addr))
    corpus = await opened.enter_async_context(_channel(settings, settings.corpus_addr))
    store, matches, methodology = Store(database), MatchStore(database), load()
    dossiers = Dossiers(store, matches)
    discovery = Discovery(known, matches, _now)
    opened.push_async_callback(discovery.close)
    registration = Registration(known, ManifestStore(database), discovery, methodology, _now)
    await registration.restore()
    verifier = Verifier(
        known,
        facts.packaged(),
        store,
        segment=SegmentClient(segment),
        corpus=CorpusClient(corpus),
        pictures=labelled_pictures(settings.labelled_pictures)
        if settings.labelled_pictures
        else (),
    )
    jobs = Jobs(verifier, _now)
    opened.push_async_callback(jobs.close)
    comparisons = Comparisons(
        known,
        dossiers,
        cache,
        methodology,
        today=_today,
        version=database.version,
        computed=computed.inc,
    )
    servicers.ranker.attach(verifier, comparisons)
    servicers.ranks.attach(Ranks(known, dossiers, methodology, today=_today), discovery)
    servicers.matches.attach(discovery)
    servicers.jobs.attach(jobs)
    servicers.admin.attach(registration, comparisons)


def _now() -> datetime:
    return datetime.now(UTC)


def _today() -> date:
    return _now().date()


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
