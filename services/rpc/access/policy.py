"""The policy file: which identities have which roles, for which methods, and how often.

    anonymous = ["read"]

    [[grant]]
    identities = ["spiffe://cluster.local/ns/assay/sa/ranker", "token:ci-*"]
    roles = ["read", "verify"]
    methods = ["/assay.corpus.v1.*"]   # default: all
    calls_per_second = 20              # of each identity; default: any number
    burst = 40

In `identities` and `methods`, "*" matches any characters; every other character matches itself. A
call is allowed if any grant has its identity, role and method, at the highest rate among those
grants. Each grant counts its calls separately.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from services.common.identity import Identity
from services.common.strict_documents import Document, validate
from services.errors import Forbidden, InvalidArgument, Unauthenticated, Violation
from services.rpc.access.known_methods import matches, problem_of
from services.rpc.access.roles import Role

_MAX_BYTES = 1 << 20
_ROLES = ", ".join(Role)
_KINDS = ("spiffe://", "certificate:", "token:", "jwt:")


@dataclass(frozen=True)
class Rate:
    """Calls that an identity may make: `burst` at once, then `per_second`."""

    per_second: float
    burst: int
    grant: int = -1
    """Position in the file of the grant that sets this rate: each grant counts separately."""


class Grant(Document):
    """One `[[grant]]`."""

    identities: tuple[str, ...] = Field(min_length=1)
    roles: tuple[str, ...] = Field(min_length=1)
    methods: tuple[str, ...] = Field(default=("*",), min_length=1)
    calls_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    burst: int | None = Field(default=None, ge=1)

    def problems(self) -> Iterable[Violation]:
        """Unknown roles, patterns that can match nothing, and a burst without a rate."""
        yield from _unknown(self.roles, "roles")
        for index, pattern in enumerate(self.identities):
            if not pattern.startswith((*_KINDS, "*")):
                kinds = ", ".join(_KINDS)
                yield f"identities[{index}]", f"must begin with {kinds} or *, not {pattern!r}"
            elif not pattern.isprintable():
                yield f"identities[{index}]", f"{pattern!r} has an invisible character; take it out"
        for index, pattern in enumerate(self.methods):
            if not pattern.startswith(("/", "*")):
                yield f"methods[{index}]", f'must be as "/assay.ranker.v1.*", not {pattern!r}'
            elif problem := problem_of(pattern):
                yield f"methods[{index}]", problem
        if self.burst is not None and self.calls_per_second is None:
            yield "burst", "needs calls_per_second"

    def covers(self, name: str, role: Role, method: str) -> bool:
        """Whether the grant gives that identity that method."""
        return (
            role in self.roles
            and any(matches(name, pattern) for pattern in self.identities)
            and any(matches(method, pattern) for pattern in self.methods)
        )

    def rate(self, place: int) -> Rate | None:
        """The grant's rate, with its position in the file; None if the grant sets no rate."""
        limit = self.calls_per_second
        if limit is None:
            return None
        return Rate(limit, self.burst or max(1, round(limit)), place)


class Policy(Document):
    """The whole file."""

    anonymous: tuple[str, ...] = ()
    anonymous_calls_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    grant: tuple[Grant, ...] = ()

    def problems(self) -> Iterable[Violation]:
        """Unknown roles."""
        yield from _unknown(self.anonymous, "anonymous")

    def grants(self, identity: Identity, role: Role, method: str) -> bool:
        """Whether the caller has the role for the method."""
        if role in self.anonymous:
            return True
        return identity.verified and any(
            grant.covers(identity.name, role, method) for grant in self.grant
        )

    def allow(self, identity: Identity, role: Role, method: str) -> Rate | None:
        """The rate at which the call is allowed; None means any rate.

        Raises Unauthenticated if an anonymous caller needs an identity for the method, else
        Forbidden.
        """
        if role in self.anonymous and not identity.verified:
            rate = self.anonymous_calls_per_second
            return None if rate is None else Rate(rate, max(1, round(rate)))
        if not identity.verified:
            raise Unauthenticated(
                f"{method} requires the role {role}: send a token, as `authorization: Bearer "
                "TOKEN`, or show a client certificate"
            )
        rates = [
            grant.rate(place)
            for place, grant in enumerate(self.grant)
            if grant.covers(identity.name, role, method)
        ]
        if not rates:
            if role in self.anonymous:
                return None
            raise Forbidden(
                f"{identity.name} has no grant of the role {role} for {method}; the operator adds "
                "one to the policy file"
            )
        limited = [rate for rate in rates if rate is not None]
        if len(limited) < len(rates):
            return None
        return max(limited, key=lambda rate: rate.per_second)


def read_policy(path: Path) -> Policy:
    """Read the file. Raises InvalidArgument with everything that is wrong in it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidArgument(str(path), f"cannot be read: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise InvalidArgument(str(path), f"has more than {_MAX_BYTES:,} bytes")
    try:
        return validate(Policy, tomllib.loads(data.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidArgument(str(path), f"is not TOML: {error}") from error
    except InvalidArgument as error:
        raise InvalidArgument(str(path), str(error)) from error


def _unknown(roles: tuple[str, ...], key: str) -> Iterable[Violation]:
    for index, role in enumerate(roles):
        if role not in tuple(Role):
            yield f"{key}[{index}]", f"{role!r} is not a role; roles are {_ROLES}"
