"""Admits or refuses a call by the caller's identity, its role for the method, and its rate."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from services.common import identity as identities
from services.common.identity import ANONYMOUS, Identity
from services.errors import InvalidArgument, Unauthenticated
from services.rpc.access.policy import Policy, Rate, read_policy
from services.rpc.access.rates import Rates
from services.rpc.access.roles import Role, required
from services.rpc.access.tokens import TokenFile
from services.rpc.access.web_tokens import WebTokens
from services.rpc.reloading import Reloaded
from services.rpc.settings import ServerSettings

_SCHEME = "bearer "
# A JSON Web Token contains two dots; a token from the token file contains none.
_DOTS = 2
_IPV6_PREFIX = 64
_Decided = dict[tuple[Identity, str], tuple[Rate | None, bool]]
# How many callers and methods to remember: web tokens may name any number of callers.
_MOST_DECIDED = 10_000


class Access:
    """The access rules of one server, from files that are read again when they change."""

    def __init__(self, settings: ServerSettings) -> None:
        """Raises InvalidArgument naming the setting and what is wrong in its file."""
        self._policy: Reloaded[Policy] | None = None
        self._tokens: Reloaded[TokenFile] | None = None
        self._web_tokens: Reloaded[WebTokens] | None = None
        self._rates = Rates(time.monotonic)
        self._decided: tuple[Policy | None, _Decided] = None, {}
        if settings.policy_file is not None:
            policy = settings.policy_file
            self._policy = _reloaded(settings, "policy_file", lambda: read_policy(policy))
        if settings.token_file is not None:
            tokens = settings.token_file
            self._tokens = _reloaded(settings, "token_file", lambda: TokenFile(tokens))
        if settings.jwks_file is not None:
            keys, issuer, audience = settings.jwks_file, settings.jwt_issuer, settings.jwt_audience
            self._web_tokens = _reloaded(
                settings, "jwks_file", lambda: WebTokens(keys, issuer, audience)
            )

    @property
    def reloaded(self) -> Mapping[str, Reloaded[Any]]:
        """The files in use, by what they hold: "policy", "tokens" or "jwks"."""
        files: dict[str, Reloaded[Any] | None] = {
            "policy": self._policy,
            "tokens": self._tokens,
            "jwks": self._web_tokens,
        }
        return {what: file for what, file in files.items() if file is not None}

    @property
    def open(self) -> bool:
        """Whether every caller may call every method."""
        return self._policy is None

    def admit_as(self, method: str, caller: Identity, host: str) -> None:
        """Admit a caller from a host's address, and note the caller for this task.

        Raises Unauthenticated, Forbidden or QuotaExceeded.
        """
        operates = True
        if self._policy is not None:
            rate, operates = self._allowed(self._policy.get(), caller, method)
            if rate is not None:
                self._rates.take(caller.name if caller.verified else _network(host), rate)
        identities.note(caller, operates=operates)

    def _allowed(self, policy: Policy, caller: Identity, method: str) -> tuple[Rate | None, bool]:
        """The caller's rate and whether it has the role OPERATE; cached until the policy changes.

        Raises Unauthenticated or Forbidden; refusals are not cached.
        """
        by, decided = self._decided
        if policy is not by or len(decided) >= _MOST_DECIDED:
            decided = {}
            self._decided = policy, decided
        found = decided.get((caller, method))
        if found is None:
            rate = policy.allow(caller, required(method), method)
            found = rate, policy.grants(caller, Role.OPERATE, method)
            decided[caller, method] = found
        return found

    def identify(self, context: grpc.aio.ServicerContext[Any, Any]) -> Identity:
        """The caller: by token, else by certificate, else anonymous. Raises Unauthenticated."""
        authorization = [
            str(v) for key, v in context.invocation_metadata() or () if key == "authorization"
        ]
        return self.identify_by(authorization, identities.of_certificate(context.auth_context()))

    def identify_by(self, authorization: Sequence[str], certificate: Identity | None) -> Identity:
        """The caller with these authorization headers and certificate. Raises Unauthenticated.

        A server without token settings ignores tokens: they may be meant for a proxy. Two headers
        are refused, because a proxy may have checked the one that the server does not read.
        """
        if not authorization or (self._tokens is None and self._web_tokens is None):
            return certificate or ANONYMOUS
        if len(authorization) > 1:
            raise Unauthenticated(f"send authorization once, not {len(authorization)} times")
        return self._of_token(authorization[0])

    def _of_token(self, header: str) -> Identity:
        if not header.lower().startswith(_SCHEME):
            raise Unauthenticated('authorization must be "Bearer TOKEN"')
        token = header[len(_SCHEME) :].strip()
        if self._web_tokens is not None and (self._tokens is None or token.count(".") == _DOTS):
            return self._web_tokens.get().identify(token)
        assert self._tokens is not None  # noqa: S101 - one of the two is there
        return self._tokens.get().identify(token)


def _network(host: str) -> str:
    """The network that counts as one caller: a client can open any number of connections.

    The holder of one IPv6 address usually has its whole /64.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))


def _reloaded(settings: ServerSettings, field: str, read: Any) -> Any:
    try:
        return Reloaded((getattr(settings, field),), read)
    except InvalidArgument as error:
        raise InvalidArgument(settings.variable(field), str(error)) from error
