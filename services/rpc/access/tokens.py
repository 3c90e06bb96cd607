"""Bearer tokens from a file of their digests, for sites without an identity provider."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

from services.common.identity import Identity
from services.errors import InvalidArgument, Unauthenticated

NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}"
"""Regular expression that a caller's name in the file must match."""
_LINE = re.compile(rf"(?P<name>{NAME})\s+sha256:(?P<digest>[0-9a-f]{{64}})")
_MAX_BYTES = 1 << 20


def new_token() -> str:
    """A token that nobody can guess, of 43 characters."""
    return secrets.token_urlsafe(32)


def line_of(name: str, token: str) -> str:
    """The token's line in the file: "NAME sha256:HEX"."""
    return f"{name} sha256:{_digest(token)}"


class TokenFile:
    """Identifies callers by the digests of their tokens in one file."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidArgument naming every line that is wrong."""
        self._names: dict[str, str] = {}
        problems: list[tuple[str, str]] = []
        for number, line in enumerate(_lines(path), 1):
            text = line.split("#", 1)[0].strip()
            if not text:
                continue
            found = _LINE.fullmatch(text)
            where = f"{path}:{number}"
            if found is None:
                problems.append((where, 'must be "NAME sha256:HEX", as `assay token NAME` prints'))
            elif found["digest"] in self._names:
                problems.append((where, "has the same token as a line above"))
            else:
                self._names[found["digest"]] = found["name"]
        if problems:
            raise InvalidArgument(*problems[0], *problems[1:])

    def identify(self, token: str) -> Identity:
        """Raises Unauthenticated for a token that is not in the file."""
        # The lookup is by digest, so its duration reveals nothing about a token.
        name = self._names.get(_digest(token))
        if name is None:
            raise Unauthenticated("the bearer token is not known here; ask the operator for one")
        return Identity(f"token:{name}")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidArgument(str(path), f"has more than {_MAX_BYTES:,} bytes")
        return path.read_text("utf-8").splitlines()
    except OSError as error:
        raise InvalidArgument(str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidArgument(str(path), "is not UTF-8 text") from error
