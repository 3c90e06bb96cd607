"""Server credentials from files, which are read again when they change or expire."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.errors import InvalidArgument
from services.rpc.reloading import Reloaded
from services.rpc.settings import ServerSettings


@dataclass(frozen=True)
class _Files:
    """The files' contents, and when the first of their certificates expires."""

    chain: bytes
    key: bytes
    authorities: bytes | None
    expires: datetime

    @property
    def configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(self.key, self.chain)], root_certificates=self.authorities
        )


class ServerTls:
    """TLS of one server: every handshake uses the files' present contents."""

    def __init__(self, settings: ServerSettings) -> None:
        """`tls_cert` and `tls_key` are set. Raises InvalidArgument naming a bad file."""
        self._settings = settings
        fields = ("tls_cert", "tls_key", "tls_client_ca")
        paths = [path for field in fields if (path := getattr(settings, field)) is not None]
        self._files = Reloaded(paths, self._read)

    @property
    def reloaded(self) -> Reloaded[Any]:
        """The files in use."""
        return self._files

    @property
    def expires(self) -> float:
        """When the served certificate, or another in its chain, expires: Unix seconds."""
        return self._files.get().expires.timestamp()

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials of a port."""
        return grpc.dynamic_ssl_server_credentials(
            self._files.get().configuration,
            lambda: self._files.get().configuration,
            require_client_authentication=self._settings.tls_client_ca is not None,
        )

    def web_context(self) -> ssl.SSLContext:
        """Context of an HTTP port; each handshake uses the files' present contents."""
        newest = [(self._files.get(), _context(self._files.get()))]

        def renew(connection: ssl.SSLObject, _name: str | None, _old: ssl.SSLContext) -> None:
            files = self._files.get()
            if files is not newest[0][0]:
                newest[0] = files, _context(files)
            connection.context = newest[0][1]

        context = _context(self._files.get())
        context.sni_callback = renew
        return context

    def _read(self) -> _Files:
        settings = self._settings
        chain, key = _pem(settings, "tls_cert"), _pem(settings, "tls_key")
        _require_pair(settings, chain, key)
        authorities = None
        if settings.tls_client_ca is not None:
            authorities = _pem(settings, "tls_client_ca")
            _certificates(settings, "tls_client_ca", authorities)
        return _Files(chain, key, authorities, _expiry(settings, "tls_cert", chain))


def expiry(settings: ServerSettings, field: str) -> float:
    """When the certificate that a setting names, or another in its chain, expires: Unix seconds.

    Raises InvalidArgument if a certificate has expired or cannot be read.
    """
    return _expiry(settings, field, _pem(settings, field)).timestamp()


def _expiry(settings: ServerSettings, field: str, chain: bytes) -> datetime:
    expires = min(one.not_valid_after_utc for one in _certificates(settings, field, chain))
    if expires <= datetime.now(UTC):
        raise InvalidArgument(
            settings.variable(field),
            f"{getattr(settings, field)} expired on {expires:%Y-%m-%d %H:%M} UTC; renew it",
        )
    return expires


def _context(files: _Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # OpenSSL loads a chain only from a file; these bytes are the ones that were checked.
    with tempfile.NamedTemporaryFile(mode="wb", suffix=".pem") as both:
        both.write(files.chain + b"\n" + files.key)
        both.flush()
        context.load_cert_chain(both.name)
    if files.authorities is not None:
        context.load_verify_locations(cadata=files.authorities.decode("ascii", "replace"))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _pem(settings: ServerSettings, field: str) -> bytes:
    path: Path = getattr(settings, field)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidArgument(
            settings.variable(field), f"cannot read {path}: {error.strerror}"
        ) from error
    if b"-----BEGIN " not in content:
        raise InvalidArgument(settings.variable(field), f"{path} is not a PEM file")
    return content


def _certificates(settings: ServerSettings, field: str, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        path = getattr(settings, field)
        raise InvalidArgument(
            settings.variable(field), f"{path} is damaged, or holds no certificate"
        ) from error


def _require_pair(settings: ServerSettings, chain: bytes, key: bytes) -> None:
    """Refuse a key of another certificate: gRPC's own message about it does not help."""
    try:
        private = load_pem_private_key(key, password=None)
        leaf = _certificates(settings, "tls_cert", chain)[0]
        matches = leaf.public_key() == private.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidArgument(
            settings.variable("tls_key"),
            f"{settings.tls_key} holds no private key that can be read without a password",
        ) from error
    if not matches:
        raise InvalidArgument(
            settings.variable("tls_key"),
            f"the key in {settings.tls_key} is not the one of the certificate in "
            f"{settings.tls_cert}; while both are being replaced this is so for a moment",
        )
