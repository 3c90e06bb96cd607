"""The HTTP port has the gRPC port's certificate, renewed without a restart."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from pathlib import Path

import pytest
import trustme

from services.rpc import reloading
from tests.ranker.conftest import Ranker

for _module in ("starlette", "uvicorn", "connectrpc", "jinja2"):
    pytest.importorskip(_module, reason="the extra `page` is not installed")


def write(authority: trustme.CA, folder: Path) -> trustme.LeafCert:
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key"))
    (folder / "cert.new").write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    (folder / "cert.new").rename(folder / "cert")
    return issued


async def serial(port: int, context: ssl.SSLContext) -> str:
    """Number of the certificate that a new connection is shown, once a page came over it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(
            b"GET /static/page.css HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        reply = await reader.read()
        if not reply:
            raise ConnectionError("closed without an answer")
        assert reply.startswith(b"HTTP/1.1 200 OK")
        return str(writer.get_extra_info("peercert")["serialNumber"])
    finally:
        writer.close()


async def test_a_renewed_certificate_is_shown(
    ranker: Ranker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "_CHECK_SECONDS", 0)
    authority = trustme.CA()
    write(authority, tmp_path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    await ranker.start(http_port=0, tls_cert=tmp_path / "cert", tls_key=tmp_path / "key")
    assert ranker.server is not None
    port = ranker.server.http_port
    first = await serial(port, context)
    assert await serial(port, context) == first
    write(authority, tmp_path)
    os.utime(tmp_path / "cert", (time.time() + 5,) * 2)
    assert await serial(port, context) != first


async def test_a_client_without_a_certificate_is_turned_away(
    ranker: Ranker, tmp_path: Path
) -> None:
    authority = trustme.CA()
    write(authority, tmp_path)
    authority.cert_pem.write_to_path(str(tmp_path / "authority"))
    await ranker.start(
        http_port=0,
        tls_cert=tmp_path / "cert",
        tls_key=tmp_path / "key",
        tls_client_ca=tmp_path / "authority",
    )
    assert ranker.server is not None
    port = ranker.server.http_port
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await serial(port, context)
    authority.issue_cert("client@example.org").configure_cert(context)
    await serial(port, context)
