"""Channels to Assay's services, as its servers expect them.

    from assay_rpc.channel import connect
    from assay_rpc.segment.v1 import segment_pb2, segment_pb2_grpc

    async with connect("localhost:50051") as channel:
        stub = segment_pb2_grpc.SegmentServiceStub(channel)
        reply = await stub.ListModels(segment_pb2.ListModelsRequest(), timeout=5)

Time limits and retries come from service_config.json beside this file; a call's own `timeout` may
shorten them. Calls are spread over all addresses that the name resolves to and whose server says,
by gRPC's health service, that it is ready.

CANCELLED is retried as UNAVAILABLE is: gRPC's servers answer so what reaches them while they stop,
when nobody has looked at it (grpc/grpc issue 41785). A call that the program itself cancels is not.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import grpc
import grpc.aio

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message that a channel sends or takes; the servers' own default limit."""

_SCHEME = re.compile(r"(dns|unix|unix-abstract|ipv4|ipv6|xds|vsock):")
_LOOPBACK = re.compile(r"(dns:///)?(localhost|127\.[0-9.]+|\[::1\])(:|$)")
PathLike = str | Path


def connect(
    target: str,
    *,
    tls_ca: PathLike | None = None,
    tls_cert: PathLike | None = None,
    tls_key: PathLike | None = None,
) -> grpc.aio.Channel:
    """An asyncio channel to `target`, "host:port" or any gRPC name ("dns:///...", "unix:...").

    Plaintext unless `tls_ca` names a PEM file of the authorities to trust; `tls_cert` and `tls_key`
    are the client's own, for a server that asks for them. Connects on first use. Close it, or use
    it as a context manager. Raises ValueError for a certificate without its key or without
    `tls_ca`, and OSError for a file that cannot be read.
    """
    credentials = _credentials(tls_ca, tls_cert, tls_key)
    if credentials is None:
        return grpc.aio.insecure_channel(_name(target), options=options(target))
    return grpc.aio.secure_channel(_name(target), credentials, options=options(target))


def connect_blocking(
    target: str,
    *,
    tls_ca: PathLike | None = None,
    tls_cert: PathLike | None = None,
    tls_key: PathLike | None = None,
) -> grpc.Channel:
    """As `connect`, for programs without asyncio."""
    credentials = _credentials(tls_ca, tls_cert, tls_key)
    if credentials is None:
        return grpc.insecure_channel(_name(target), options=options(target))
    return grpc.secure_channel(_name(target), credentials, options=options(target))


def options(target: str) -> list[tuple[str, str | int]]:
    """The arguments of a channel to `target`, for those who make their channel themselves."""
    return [
        # A proxy from the environment (http_proxy) cannot reach this machine's own addresses.
        ("grpc.enable_http_proxy", 0 if _LOOPBACK.match(target) else 1),
        ("grpc.service_config", service_config()),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        # A request is retried only while it is kept; the default keeps 256 KiB, less than a photo.
        ("grpc.per_rpc_retry_buffer_size", 16 * 1024 * 1024),
        # A replica that hangs is found within 20 s, also between calls, and so before the 30 s of a
        # call are over. The servers allow a ping every 7.5 s.
        ("grpc.keepalive_time_ms", 15_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.ping_timeout_ms", 5_000),
        # One that was away is asked again after 5 s at the latest; gRPC's own limit is two minutes.
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # New replicas are seen after 5 s at the earliest; gRPC's own default is 30 s.
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    ]


def service_config() -> str:
    """Time limits, retries and balancing by method, as gRPC's service config in JSON."""
    return resources.files("assay_rpc").joinpath("service_config.json").read_text("utf-8")


def _name(target: str) -> str:
    if not target:
        raise ValueError("target is empty: give host:port")
    return target if _SCHEME.match(target) else f"dns:///{target}"


def _credentials(
    ca: PathLike | None, cert: PathLike | None, key: PathLike | None
) -> grpc.ChannelCredentials | None:
    if (cert is None) != (key is None):
        raise ValueError("tls_cert and tls_key belong together: give both, or neither")
    if ca is None:
        if cert is not None:
            raise ValueError("tls_cert needs tls_ca: a certificate is shown only over TLS")
        return None
    return grpc.ssl_channel_credentials(
        Path(ca).read_bytes(),
        Path(key).read_bytes() if key is not None else None,
        Path(cert).read_bytes() if cert is not None else None,
    )
