"""What a service gives to its server."""

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
    """What a service gives to its server."""

    name: str
    """Short name, "segment"."""
    register: Callable[[grpc.aio.Server], None]
    """Adds the service's servicers to the server."""
    full_names: tuple[str, ...]
    """Full names of the gRPC services that `register` adds."""
    warm: Callable[[], Awaitable[None]]
    """Loads what the service needs; health is NOT_SERVING until it returns."""
    close: Callable[[], Awaitable[None]]
    """Frees what `warm` opened; called once no call is left, also when `warm` failed."""
    drain: Callable[[], None] = field(default=lambda: None)
    """Called when the server begins to stop: calls that would last for long should come to an end.
    May be called more than once."""
    collectors: tuple[Collector, ...] = field(default=())
    """Prometheus metrics of its own, made with `registry=None`."""
    max_held_bytes: int = 0
    """Bytes of the requests that its calls hold at once; 0 where requests are small."""
    largest_request: int | None = None
    """Bytes of the largest request that its contract has a use for; None: what the settings say."""
    failure: Failure = field(default_factory=Failure)
    """Where the service reports that it can't serve any more: the server turns to NOT_SERVING,
    drains, and ends with Exit.FAILED."""
    probes: frozenset[str] = frozenset()
    """Methods, "/package.Service/Method", that ask whether it is ready: they answer before it
    is, and are logged as health checks are."""
    tracing: Tracing = field(default_factory=Tracing)
    """Makes spans of its calls; the default makes none."""
    http: HttpService | None = None
    """Its HTTP port; None: it has none."""
