"""Ports that a server listens on, and why a port cannot be opened."""

from __future__ import annotations

import ipaddress
import socket

import grpc

from services.rpc.serving.tls import ServerTls
from services.rpc.settings import ServerSettings

# A client that pings more often is disconnected; assay_rpc.channel pings every second.
MIN_PING_INTERVAL_MS = 500


class StartError(Exception):
    """The server cannot listen; the message names the port or file and the variable to change."""


def server_options(settings: ServerSettings, max_receive_bytes: int) -> list[tuple[str, int]]:
    """Options of a gRPC server that reads messages of at most `max_receive_bytes`."""
    return [
        # The limit also bounds decompression: a megabyte of gzip can become a gigabyte.
        ("grpc.max_receive_message_length", max_receive_bytes),
        # Each stream takes memory before its request is read, and a client can open many.
        ("grpc.max_concurrent_streams", settings.max_streams),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # Otherwise two servers on one port would silently share the connections.
        ("grpc.so_reuseport", 0),
        # Pings detect clients that vanished. Clients may ping too, even between calls.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        # No grace after that age: a stream of hours may finish on its old connection.
        ("grpc.max_connection_age_ms", round(settings.max_connection_seconds * 1000)),
    ]


def bind(
    server: grpc.aio.Server,
    settings: ServerSettings,
    name: str,
    server_tls: ServerTls | None,
) -> int:
    """Listen on the port that the setting `name` gives; return the port.

    Raises StartError if the port cannot be opened.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{getattr(settings, name)}"
    try:
        if server_tls is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, server_tls.credentials())
    except RuntimeError as error:
        raise cannot_listen(settings, name) from error


def cannot_listen(settings: ServerSettings, name: str) -> StartError:
    """Say why the port that the setting `name` gives cannot be opened, and what to change."""
    port = getattr(settings, name)
    return StartError(
        f"cannot listen on {settings.host} port {port}: "
        f"{_why_not(settings.host, port) or 'the port was taken a moment ago'}; change "
        f"{settings.variable(name)} (0 takes any free port) or {settings.variable('host')}"
    )


def is_loopback(host: str) -> bool:
    """Whether an address is reachable only from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _why_not(host: str, port: int) -> str | None:
    """The operating system's reason why gRPC could not open a port; None if it has none."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
            probe.listen()
    except OSError as error:
        return error.strerror or str(error)
    return None
