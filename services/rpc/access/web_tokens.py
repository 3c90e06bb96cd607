"""JSON Web Tokens, checked against the keys of a JWKS file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt

from services.common.identity import Identity
from services.common.strict_documents import loads
from services.errors import InvalidArgument, Unauthenticated

# Asymmetric signatures only: with HS256, anyone who can verify a token can also make one.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
_LEEWAY_SECONDS = 30
# OpenID Connect's limit on the length of a subject.
_MAX_SUBJECT = 255


class WebTokens:
    """Accepts tokens of one issuer for one audience."""

    def __init__(self, path: Path, issuer: str, audience: str) -> None:
        """`path` is a JWKS file of public keys. Raises InvalidArgument if it is not."""
        self._issuer = issuer
        self._audience = audience
        try:
            keys = jwt.PyJWKSet.from_dict(loads(path.read_bytes())).keys
        except OSError as error:
            raise InvalidArgument(str(path), f"cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
            raise InvalidArgument(str(path), f"is not a JWKS file: {error}") from error
        self._keys: dict[str | None, jwt.PyJWK] = {}
        for key in keys:
            if not isinstance(key.key_id, str | None):
                raise InvalidArgument(
                    str(path), f"has a kid that is not a string: {key.key_id!r:.60}"
                )
            if key.public_key_use in {None, "sig"}:
                self._keys[key.key_id] = key

    def identify(self, token: str) -> Identity:
        """Raises Unauthenticated saying what is wrong with the token."""
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.get(header.get("kid"))
            if key is None:
                raise Unauthenticated(
                    f"the token's key {header.get('kid')!r} is not in the JWKS file"
                )
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("the token has expired; ask its issuer for a new one") from None
        except (jwt.PyJWTError, ValueError) as error:
            raise Unauthenticated(f"the token cannot be accepted: {error}") from None
        subject: str = claims["sub"]
        # The subject appears in policies, logs and records: no lone surrogates, no invisible
        # characters.
        if not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
            raise Unauthenticated(
                f"the token's sub must have 1 to {_MAX_SUBJECT} printable characters; ask its "
                "issuer for another"
            )
        return Identity(f"jwt:{subject}")
