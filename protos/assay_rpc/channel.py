"""Channels to Assay's services, as its servers expect them, for programs that call the stubs.

    from assay_rpc.channel import connect
    from assay_rpc.segment.v1 import segment_pb2, segment_pb2_grpc

    with connect("localhost:50051") as channel:
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        reply = stub.ListModels(segment_pb2.ListModelsRequest())

Time limits and retries come from service_config.json beside this file; a call's own `timeout` may
shorten them. Calls are spread over all addresses that the name resolves to and whose server says,
by gRPC's health service, that it is ready. A unary read waits for a server that restarts, until its
time limit; `wait_for_ready=False` makes it fail at once.

CANCELLED is retried as UNAVAILABLE is: gRPC's servers answer so what reaches them while they stop,
when nobody has looked at it (grpc/grpc issue 41785). A call that the program itself cancels is not.
A request of more than 16 MiB is not retried: gRPC would have to keep it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

import grpc
import grpc.aio

from assay_rpc._metadata import adding, async_interceptors
from assay_rpc.connection import Connection

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message that a channel sends or takes; the servers' own default limit."""


def connect(target: str | Connection) -> grpc.Channel:
    """A channel to an address or a Connection.

    Connects on first use. Close it, or use it as a context manager. Raises OSError for a file of
    the connection that cannot be read.
    """
    to = Connection.of(target)
    credentials = to.credentials()
    if credentials is None:
        channel = grpc.insecure_channel(to.name, options=options(to))
    else:
        channel = grpc.secure_channel(to.name, credentials, options=options(to))
    return adding(channel, to.metadata())


def connect_async(
    target: str | Connection, *, interceptors: Sequence[grpc.aio.ClientInterceptor] = ()
) -> grpc.aio.Channel:
    """As `connect`, for programs with asyncio.

    The interceptors see each call before the connection's own metadata is added.
    """
    to = Connection.of(target)
    credentials, more = to.credentials(), [*interceptors, *async_interceptors(to.metadata())]
    if credentials is None:
        return grpc.aio.insecure_channel(to.name, options=options(to), interceptors=more)
    return grpc.aio.secure_channel(to.name, credentials, options=options(to), interceptors=more)


def options(target: str | Connection) -> list[tuple[str, str | int]]:
    """The arguments of a channel to `target`, for those who make their channel themselves."""
    loopback = Connection.of(target).loopback
    return [
        # A proxy from the environment (http_proxy) cannot reach this machine's own addresses.
        ("grpc.enable_http_proxy", 0 if loopback else 1),
        ("grpc.service_config", service_config()),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A request is retried only while it is kept; the default keeps 256 KiB, less than a photo.
        ("grpc.per_rpc_retry_buffer_size", 16 * 1024 * 1024),
        # A replica that hangs is found within 3 s, also between calls. gRPC's own threads answer
        # pings, so a server that computes, or holds Python's lock, still answers. The servers
        # allow two a second.
        ("grpc.keepalive_time_ms", 1_000),
        ("grpc.keepalive_timeout_ms", 2_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.ping_timeout_ms", 2_000),
        # One that was away is asked again after 5 s at the latest; gRPC's own limit is two minutes.
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # New replicas are seen after 5 s at the earliest; gRPC's own default is 30 s.
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    ]


def service_config() -> str:
    """Time limits, retries and balancing by method, as gRPC's service config in JSON."""
    return resources.files("assay_rpc").joinpath("service_config.json").read_text("utf-8")
