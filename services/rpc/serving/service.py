"""What a service passes to its server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc
from prometheus_client.registry import Collector

from services.rpc.serving.failure import Failure
from services.rpc.serving.http import HttpService
from services.rpc.tracing.tracing import Tracing


@dataclass(frozen=True)
class Service:
    """What a service passes to its server."""

    name: str
    """Short name, such as "segment"."""
    register: Callable[[grpc.aio.Server], None]
    """Adds the service's servicers to the server."""
    full_names: tuple[str, ...]
    """Full names of the gRPC services that `register` adds."""
    warm: Callable[[], Awaitable[None]]
    """Loads what the service needs; health is NOT_SERVING until it returns."""
    close: Callable[[], Awaitable[None]]
    """Frees what `warm` opened, even if `warm` failed; called once no call is left."""
    drain: Callable[[], None] = field(default=lambda: None)
    """Called when the server begins to stop, to end calls that would last long. May be called more
    than once."""
    collectors: tuple[Collector, ...] = field(default=())
    """The service's own Prometheus metrics, made with `registry=None`."""
    max_held_bytes: int = 0
    """Bytes of requests that its calls may hold at once; 0 if requests are small."""
    largest_request: int | None = None
    """Bytes of the largest request that its contract can use; None: as the settings say."""
    failure: Failure = field(default_factory=Failure)
    """Reports that the service cannot serve any more: the server turns to NOT_SERVING, drains, and
    ends with Exit.FAILED."""
    probes: frozenset[str] = frozenset()
    """Methods, "/package.Service/Method", that ask whether the service is ready: they answer even
    before, and are logged like health checks."""
    tracing: Tracing = field(default_factory=Tracing)
    """Makes spans of the service's calls; the default makes none."""
    http: HttpService | None = None
    """The service's HTTP port; None if it has none."""
