"""How a server is reached: `Connection`, which every client, channel and adapter takes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import grpc

PathLike = str | os.PathLike[str]

_SCHEME = re.compile(r"(dns|unix|unix-abstract|ipv4|ipv6|xds|vsock):")
_LOOPBACK = re.compile(r"(dns:///)?(localhost|127\.[0-9.]+|\[::1\])(:\w*)?")
_LOCAL = re.compile(r"unix(-abstract)?:")
_VISIBLE = re.compile(r"[!-~]+")
_HOST_PORT = re.compile(r"(?P<host>\[[^\s\[\]]+\]|[^\s:/,\[\]]+):(?P<port>[\w-]+)")
_HOST = re.compile(r"\[[^\s\[\]]+\]|[^\s:/,\[\]]+")
_IPV4 = re.compile(r"(\d+\.\d+\.\d+\.\d+:\d+,?)+")
_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Connection:
    """A server's address, and what its callers show it. It pickles, so other processes can get it.

    `target` is "host:port" or any gRPC name ("dns:///...", "unix:..."). `tls` or `ca` selects TLS:
    `ca` is a PEM file of the authorities to trust, by default those that gRPC trusts; `cert` and
    `key` are the caller's own PEM files, for a server that requests them. `token` is sent with
    every call as "authorization: Bearer TOKEN", and `client_id` as "assay-client-id", which decides
    whose turn it is if calls wait.

    Raises ValueError for a target that is not such a name, a certificate without its key or without
    TLS, a token or client id that a header cannot have, and a token that would travel unencrypted
    to another machine.
    """

    target: str
    tls: bool = field(default=False, kw_only=True)
    ca: PathLike | None = field(default=None, kw_only=True)
    cert: PathLike | None = field(default=None, kw_only=True)
    key: PathLike | None = field(default=None, kw_only=True)
    token: str | None = field(default=None, kw_only=True, repr=False)
    client_id: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if problem := _problem(self.target, secure=self.secure):
            raise ValueError(problem)
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together: give both, or neither")
        if self.cert is not None and not self.secure:
            raise ValueError("cert needs tls=True or ca: a certificate is shown only over TLS")
        for name, value in (("token", self.token), ("client_id", self.client_id)):
            if value is not None and not _VISIBLE.fullmatch(value):
                raise ValueError(f"{name} must be printable ASCII without spaces")
        if self.token is not None and not (self.secure or self.loopback):
            raise ValueError("a token needs tls=True or ca: anyone on the way could read it")

    @classmethod
    def of(cls, target: str | Connection) -> Connection:
        """The connection itself, or a plaintext one to the address."""
        return target if isinstance(target, Connection) else cls(target)

    @property
    def name(self) -> str:
        """The target as gRPC resolves it."""
        return self.target if _SCHEME.match(self.target) else f"dns:///{self.target}"

    @property
    def secure(self) -> bool:
        """Whether it is reached over TLS."""
        return self.tls or self.ca is not None

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine, as far as its name says."""
        return bool(_LOOPBACK.fullmatch(self.target) or _LOCAL.match(self.target))

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent with every call."""
        sent = (
            ("authorization", f"Bearer {self.token}" if self.token is not None else None),
            ("assay-client-id", self.client_id),
        )
        return tuple((key, value) for key, value in sent if value is not None)

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Credentials of a channel; None for plaintext. Raises OSError for an unreadable file."""
        if not self.secure:
            return None
        files = (self.ca, self.key, self.cert)
        return grpc.ssl_channel_credentials(
            *(Path(path).read_bytes() if path is not None else None for path in files)
        )


def _problem(target: str, *, secure: bool) -> str:
    """What is wrong with a target that gRPC could never reach; empty if nothing is.

    A name without a port means port 443, where nothing answers without TLS.
    """
    if not target:
        return "target is empty: give host:port"
    found = _HOST_PORT.fullmatch(f"{target}:443" if secure and _HOST.fullmatch(target) else target)
    if found is None and not _SCHEME.match(target):
        return f"{target!r} is {_is_not(target)}"
    port = found["port"] if found else ""
    if port.isdecimal() and not 0 < int(port) <= _LAST_PORT:
        return f"{target!r}: ports are 1 to {_LAST_PORT:,}"
    return ""


def _is_not(target: str) -> str:
    """What a target is that is not host:port, and what to give."""
    if url := re.fullmatch(r"\w+://(?:[^/@]*@)?(?P<rest>[^/?#]*).*", target):
        given = url["rest"] if _HOST_PORT.fullmatch(url["rest"]) else ""
        return f"a URL: give host:port alone, as {given or 'localhost:50051'!r}"
    if "," in target:
        several = target.replace(" ", "")
        example = several if _IPV4.fullmatch(several) else "10.0.0.1:50051,10.0.0.2:50051"
        return (
            "several addresses: give a DNS name that has them all as host:port, or IP addresses "
            f"as 'ipv4:{example}'"
        )
    return "not host:port, such as 'localhost:50051'"
