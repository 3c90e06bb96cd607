"""The token file, and JSON Web Tokens with real keys."""

from __future__ import annotations

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from services.common.identity import Identity
from services.errors import InvalidArgument, Unauthenticated
from services.rpc.access.tokens import TokenFile, line_of, new_token
from services.rpc.access.web_tokens import WebTokens

ISSUER, AUDIENCE = "https://issuer.example", "assay"


def test_a_token_is_its_lines_caller(tmp_path: Path) -> None:
    alice, bob = new_token(), new_token()
    file = tmp_path / "tokens"
    file.write_text(f"# callers\n{line_of('alice', alice)}\n\n{line_of('bob', bob)} # night job\n")
    tokens = TokenFile(file)
    assert tokens.identify(alice) == Identity("token:alice")
    assert tokens.identify(bob) == Identity("token:bob")
    assert alice not in file.read_text()
    for wrong in ("", "alice", alice[:-1], f"{alice} ", line_of("alice", alice), "\ud800"):
        with pytest.raises(Unauthenticated):
            tokens.identify(wrong)


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    token = new_token()
    same = line_of("carol", token)
    file.write_text(f"alice secret\n{same}\nbad name sha256:00\n{same}\n")
    with pytest.raises(InvalidArgument) as caught:
        TokenFile(file)
    assert [where for where, _ in caught.value.violations] == [
        f"{file}:{number}" for number in (1, 3, 4)
    ]
    with pytest.raises(InvalidArgument, match="cannot be read"):
        TokenFile(tmp_path / "none")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgument, match="not UTF-8"):
        TokenFile(file)


class Issuer:
    """An identity provider with one key."""

    def __init__(self, folder: Path) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        self.file = folder / "jwks.json"
        self.file.write_text(json.dumps({"keys": [{**public, "kid": "one", "use": "sig"}]}))

    def token(
        self, key: Any = None, algorithm: str = "ES256", kid: str = "one", **claims: Any
    ) -> str:
        made = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "exp": time.time() + 60,
            **claims,
        }
        kept = {name: value for name, value in made.items() if value is not None}
        return jwt.encode(kept, key or self.key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


def test_a_web_token_of_the_issuer_is_accepted(issuer: Issuer) -> None:
    tokens = WebTokens(issuer.file, ISSUER, AUDIENCE)
    assert tokens.identify(issuer.token()) == Identity("jwt:alice")


def test_other_web_tokens_are_refused_with_the_reason(issuer: Issuer) -> None:
    tokens = WebTokens(issuer.file, ISSUER, AUDIENCE)
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    wrong = {
        "expired": issuer.token(exp=time.time() - 3600),
        "audience": issuer.token(aud="another"),
        "issuer": issuer.token(iss="https://another.example"),
        "exp": issuer.token(exp=None),
        "sub": issuer.token(sub=None),
        "JWKS": issuer.token(kid="two"),
        "signature|key|algorithm": issuer.token(stranger, "RS256"),
        "segments": "abc",
        "sub must": issuer.token(sub=""),
        "must have 1 to 255": issuer.token(sub="a" * 256),
        "255 printable characters": issuer.token(sub="alice\u202e"),
        "255 printable": issuer.token(sub="alice\x1b[2J"),
        "printable": issuer.token(sub="\ud800"),
        "before|not yet": issuer.token(nbf=time.time() + 3600),
    }
    for reason, token in wrong.items():
        with pytest.raises(Unauthenticated, match=f"(?i){reason}"):
            tokens.identify(token)
    # Unsigned, and signed with the public key as if it were a shared secret.
    payload = issuer.token().split(".")[1]
    for algorithm in ("none", "HS256"):
        header = base64.urlsafe_b64encode(
            json.dumps({"alg": algorithm, "typ": "JWT", "kid": "one"}).encode()
        ).rstrip(b"=")
        signed = header + b"." + payload.encode()
        mac = hmac.digest(issuer.file.read_bytes(), signed, "sha256")
        signature = base64.urlsafe_b64encode(mac).rstrip(b"=") if algorithm != "none" else b""
        token = (signed + b"." + signature).decode()
        with pytest.raises(Unauthenticated):
            tokens.identify(token)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"keys": []}', b"[1]", b'{"keys": [{"kty": "X"}]}']
)
def test_what_is_no_jwks_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(content)
    with pytest.raises(InvalidArgument, match=r"jwks\.json"):
        WebTokens(file, ISSUER, AUDIENCE)


@pytest.mark.parametrize("kid", [5, ["one"], {"one": 1}])
def test_a_kid_that_is_no_text_is_told(issuer: Issuer, kid: Any) -> None:
    (key,) = json.loads(issuer.file.read_text())["keys"]
    issuer.file.write_text(json.dumps({"keys": [{**key, "kid": kid}]}))
    with pytest.raises(InvalidArgument, match=r"jwks\.json: has a kid"):
        WebTokens(issuer.file, ISSUER, AUDIENCE)


def test_a_key_that_encrypts_signs_nothing(issuer: Issuer) -> None:
    (key,) = json.loads(issuer.file.read_text())["keys"]
    issuer.file.write_text(json.dumps({"keys": [{**key, "use": "enc"}]}))
    with pytest.raises(Unauthenticated, match="not in the JWKS"):
        WebTokens(issuer.file, ISSUER, AUDIENCE).identify(issuer.token())
