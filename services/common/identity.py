"""Who a caller is, as far as the server could verify it."""

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
    """Keep the caller for this task and those that it starts."""
    _current.set(identity)
    _operates.set(operates)


def require_owner(owner: Identity, what: str) -> None:
    """Refuse to let a caller change what another one made, unless it has the role "operate".

    Without a policy everyone has it. Raises Forbidden.
    """
    if current() != owner and not _operates.get():
        raise Forbidden(f"{what} belongs to {owner.name}; that caller or an operator may change it")


def of_certificate(auth_context: Mapping[str, Iterable[bytes]]) -> Identity | None:
    """The identity of a client certificate, from gRPC's auth context; None without one.

    A SPIFFE id comes first, else the subject's common name; a name that cannot be shown is none.
    """
    for key, prefix in (("peer_spiffe_id", ""), ("x509_common_name", "certificate:")):
        for value in auth_context.get(key, ()):
            name = value.decode("utf-8", "replace")
            if name and name.isprintable():
                return Identity(f"{prefix}{name}")
    return None
