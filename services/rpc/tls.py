"""Server credentials from files."""

from __future__ import annotations

from pathlib import Path

import grpc

from services.errors import Unavailable
from services.rpc.settings import ServerSettings


def credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    """What the settings ask for: None is plaintext. Raises Unavailable naming a bad file."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    chain = _pem(settings, "tls_cert", settings.tls_cert)
    key = _pem(settings, "tls_key", settings.tls_key)
    authorities = None
    if settings.tls_client_ca is not None:
        authorities = _pem(settings, "tls_client_ca", settings.tls_client_ca)
    return grpc.ssl_server_credentials(
        [(key, chain)],
        root_certificates=authorities,
        require_client_auth=authorities is not None,
    )


def _pem(settings: ServerSettings, field: str, path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unavailable(
            f"{settings.variable(field)}: cannot read {path}: {error.strerror}"
        ) from error
    if b"-----BEGIN " not in content:
        raise Unavailable(f"{settings.variable(field)}: {path} is not a PEM file")
    return content
