"""A caller's identity, as far as the server could verify it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from services.errors import Forbidden


@dataclass(frozen=True)
class Identity:
    """A caller's name: "spiffe://...", "certificate:CN", "token:NAME", "jwt:SUBJECT"."""

    name: str
    verified: bool = True
    """False for a caller that showed neither a certificate nor a token."""


ANONYMOUS = Identity("anonymous", verified=False)

_current: ContextVar[Identity] = ContextVar("assay_call_identity", default=ANONYMOUS)
_operates: ContextVar[bool] = ContextVar("assay_call_operates", default=True)


def current() -> Identity:
    """The caller of the call that this task serves."""
    return _current.get()


def note(identity: Identity, *, operates: bool) -> None:
    """Keep the caller for this task and the tasks that it starts."""
    _current.set(identity)
    _operates.set(operates)


def require_owner(owner: Identity, what: str) -> None:
    """Refuse to let a caller change another caller's thing without the role "operate".

    Without a policy every caller has that role. Raises Forbidden.
    """
    if current() != owner and not _operates.get():
        raise Forbidden(f"{what} belongs to {owner.name}; that caller or an operator may change it")


def of_certificate(auth_context: Mapping[str, Iterable[bytes]]) -> Identity | None:
    """The identity of a client certificate, from gRPC's auth context; None without a certificate.

    Takes a SPIFFE id if present, else the subject's common name. Ignores a name that cannot be
    displayed.
    """
    for key, prefix in (("peer_spiffe_id", ""), ("x509_common_name", "certificate:")):
        for value in auth_context.get(key, ()):
            name = value.decode("utf-8", "replace")
            if name and name.isprintable():
                return Identity(f"{prefix}{name}")
    return None
