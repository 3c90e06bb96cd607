"""Wires and runs the ranker service: `python -m services.ranker`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below, which take a second or more
    from services.rpc.serving.starting import end_when_told

    end_when_told()

import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import grpc
import structlog
from assay_rpc.channel import connect_async
from assay_rpc.connection import Connection
from assay_rpc.ranker.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    outcome_pb2,
    outcome_pb2_grpc,
    ranker_pb2,
    ranker_pb2_grpc,
    verification_pb2,
    verification_pb2_grpc,
)

from services.errors import AssayError, InvalidArgument, Unavailable
from services.ranker.api.admin import RankerAdminService
from services.ranker.api.comparisons import SCHEMA, Comparisons
from services.ranker.api.evidence import EvidenceReplies
from services.ranker.api.outcome import OutcomeService
from services.ranker.api.ranker import RankerService
from services.ranker.api.ranks import RankReplies
from services.ranker.api.requests import LARGEST_REQUEST
from services.ranker.api.search import SearchReplies
from services.ranker.api.verification import WORDING, VerificationService
from services.ranker.cache.cache import Cache
from services.ranker.cache.redis import store_at
from services.ranker.claims import facts, registry
from services.ranker.comparing.ranks import Ranks
from services.ranker.comparing.records import Records
from services.ranker.database.database import Database, StoreError
from services.ranker.database.evidence_store import EvidenceStore
from services.ranker.database.job_store import JobStore
from services.ranker.database.manifest_store import ManifestStore
from services.ranker.database.match_store import MatchStore
from services.ranker.database.sqlite import SqliteDatabase
from services.ranker.jobs import Jobs, JobState
from services.ranker.measuring import methods
from services.ranker.measuring.labelled_images import labelled_images
from services.ranker.measuring.verify import Verifier
from services.ranker.methodology.load import load
from services.ranker.metrics import RankerMetrics
from services.ranker.peers.corpus import CorpusClient
from services.ranker.peers.segment import SegmentClient
from services.ranker.registration import Registration
from services.ranker.searching.discovery import Discovery
from services.ranker.settings import RankerSettings
from services.rpc.serving.http import HttpService
from services.rpc.serving.http_request import WebApp
from services.rpc.serving.listening import StartError
from services.rpc.serving.process import run
from services.rpc.serving.service import Service
from services.rpc.serving.tls import expiry
from services.rpc.settings import load_settings
from services.rpc.tracing.configured import tracing_of
from services.rpc.tracing.tracing import Tracing

_MIN_SECRET_BYTES = 16
_MOST_FOLLOWING = 2
_log = structlog.get_logger(__name__)
_FILES = (ranker_pb2, outcome_pb2)
_OPERATIONS = (verification_pb2, admin_pb2)


def build_service(settings: RankerSettings) -> Service:
    """Return the service. `register` makes its parts, and `warm` opens the database."""
    ranker = _Ranker(settings)
    return Service(
        name="ranker",
        tracing=ranker.tracing,
        register=ranker.register,
        full_names=tuple(
            service.full_name
            for file in (*_FILES, *(_OPERATIONS if settings.operations else ()))
            for service in file.DESCRIPTOR.services_by_name.values()
        ),
        warm=ranker.warm,
        close=ranker.closing.aclose,
        largest_request=LARGEST_REQUEST,
        collectors=ranker.metrics.collectors,
        http=None
        if settings.http_port is None
        else HttpService(
            settings.http_port, "http_port", settings.http_hosts, "http_hosts", ranker.pages
        ),
    )


class _Ranker:
    """The parts of the service, and their connections."""

    def __init__(self, settings: RankerSettings) -> None:
        self._settings = settings
        self.tracing = tracing_of(settings.tracing, "ranker")
        self._known = registry.packaged(methods.known())
        self._methodology = load()
        self._database = _database(settings, self.tracing)
        self._following: set[asyncio.Task[None]] = set()
        self._matches = MatchStore(self._database)
        self._discovery = Discovery(self._known, self._matches, _now)
        self._registration = Registration(
            self._known, ManifestStore(self._database), self._discovery, self._methodology, _now
        )
        self.closing = AsyncExitStack()
        self.metrics = RankerMetrics(
            None if self._database.shared else settings.database_file,
            peer_certificate=settings.peer_tls_cert is not None,
        )

    def register(self, server: grpc.aio.Server) -> None:
        """Add the servicers to a server; call it on the event loop that they will run on.

        Raises `StartError` for settings that cannot be used.
        """
        try:
            self._register(server)
        except (AssayError, OSError, ValueError) as error:
            raise StartError(f"the ranker's settings cannot be used: {error}") from error

    def _register(self, server: grpc.aio.Server) -> None:
        settings = self._settings
        if settings.peer_tls_cert is not None:
            self.metrics.peer_certificate.set(expiry(settings, "peer_tls_cert"))
        self.closing.push_async_callback(self._database.close)
        cache = Cache(
            store_at(settings.redis, self.tracing.watch_redis),
            schema=SCHEMA,
            secret=_secret(settings),
            observe=self.metrics.observe_cache,
        )
        self.closing.push_async_callback(cache.close)
        store = EvidenceStore(self._database)
        records = Records(self._known, store, self._matches)
        comparisons = Comparisons(
            self._known,
            records,
            cache,
            self._methodology,
            version=self._database.version,
            computed=self.metrics.computed.inc,
        )
        verifier = Verifier(
            self._known,
            facts.packaged(),
            store,
            segment=SegmentClient(self._channel(settings.segment_addr)),
            corpus=CorpusClient(self._channel(settings.corpus_addr)),
            pictures=labelled_images(settings.labelled_pictures)
            if settings.labelled_pictures
            else (),
            alone=self._database.alone,
        )
        self.closing.push_async_callback(self._discovery.close)
        self._jobs = jobs = Jobs(verifier, JobStore(self._database), WORDING, _now, self.tracing)
        self.metrics.watch_jobs((JobState.QUEUED, JobState.RUNNING), jobs.count)
        self.closing.push_async_callback(jobs.close)
        self._ranker = RankerService(
            self._known,
            comparisons,
            RankReplies(Ranks(self._known, records, self._methodology), self._discovery),
            SearchReplies(self._discovery),
            EvidenceReplies(self._known, records),
        )
        self._verification = VerificationService(jobs)
        ranker_pb2_grpc.add_RankerServiceServicer_to_server(self._ranker, server)
        outcome_pb2_grpc.add_OutcomeServiceServicer_to_server(
            OutcomeService(self._discovery), server
        )
        if settings.operations:
            verification_pb2_grpc.add_VerificationServiceServicer_to_server(
                self._verification, server
            )
            admin_pb2_grpc.add_RankerAdminServiceServicer_to_server(
                RankerAdminService(self._registration, comparisons), server
            )

    def pages(self) -> WebApp:
        """The pages over HTTP. Raises `Unavailable` if their libraries are not installed."""
        try:
            from services.ranker.web.app import RankerPages  # noqa: PLC0415  of an extra
            from services.ranker.web.pictures import ServedPictures  # noqa: PLC0415
            from services.ranker.web.trying import Trying  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise Unavailable(
                f"{self._settings.variable('http_port')} needs {error.name}: install the extra "
                "`page`, or unset it"
            ) from error
        settings = self._settings
        segment = self._channel(settings.segment_addr)
        trying = None
        if settings.try_page:
            trying = Trying(segment, self._channel(settings.corpus_addr))
        return RankerPages(
            self._ranker,
            self._verification,
            ServedPictures(segment),
            trying,
            min(settings.request_limit, LARGEST_REQUEST),
        )

    async def warm(self) -> None:
        """Open the database, and register the stored manifests. Raises `StartError`."""
        try:
            await self._database.open()
            await self._registration.restore()
            if self._settings.operations:
                await self._jobs.restore()
        except (StoreError, AssayError) as error:
            raise StartError(str(error)) from error
        self._database.subscribe(self._follow)

    def _follow(self) -> None:
        """Register what other rankers have stored. After a failure, the next notice tries again."""

        async def follow() -> None:
            try:
                await self._registration.restore()
            except AssayError as error:
                _log.warning("manifests of other rankers not read", problem=str(error))

        if len(self._following) < _MOST_FOLLOWING:  # the waiting task will read everything
            task = asyncio.create_task(follow())
            self._following.add(task)
            task.add_done_callback(self._following.discard)

    def _channel(self, address: str) -> grpc.aio.Channel:
        channel = connect_async(
            Connection(
                address,
                ca=self._settings.peer_tls_ca,
                cert=self._settings.peer_tls_cert,
                key=self._settings.peer_tls_key,
                token=_token(self._settings.peer_token_file),
            ),
            interceptors=self.tracing.client_interceptors(),
        )
        self.closing.push_async_callback(channel.close)
        return channel


def _database(settings: RankerSettings, tracing: Tracing) -> Database:
    if settings.database_url is None:
        return SqliteDatabase(settings.database_file, settings.lock_seconds)
    from services.ranker.database.postgres import PostgresDatabase  # noqa: PLC0415  of an extra

    address = settings.database_url.get_secret_value()
    return PostgresDatabase(address, settings.lock_seconds, tracing)


def _secret(settings: RankerSettings) -> bytes:
    file = settings.cache_secret_file
    if file is None:
        return b""
    secret = file.read_bytes().strip()
    if len(secret) < _MIN_SECRET_BYTES:
        variable = settings.variable("cache_secret_file")
        raise InvalidArgument(variable, f"{file} has fewer than {_MIN_SECRET_BYTES} bytes")
    return secret


def _token(file: Path | None) -> str | None:
    return file.read_text("utf-8").strip() if file is not None else None


def _now() -> datetime:
    return datetime.now(UTC)


def main() -> int:
    """Serve until told to stop; return the exit code."""
    settings = load_settings(RankerSettings)
    return run(settings, build_service(settings))


if __name__ == "__main__":
    sys.exit(main())
