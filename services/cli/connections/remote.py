"""Running services that the command should use: their addresses, and the credentials to show.

The environment comes first, then the configuration file: $ASSAY_CONFIG, or
~/.config/assay/config.toml. Its keys are the variables' names in lower case without "ASSAY_":

    ranker_addr = "assay.example.com:443"
    tls_ca = "/etc/assay/ca.pem"
    token_file = "~/.config/assay/token"
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from assay_rpc.connection import Connection

from services.common.strict_documents import Document, validate
from services.errors import InvalidArgument

_DEFAULT = Path("~/.config/assay/config.toml")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("", "0", "false", "no", "off")


class Config(Document):
    """The configuration file. Each key is also a variable, which takes precedence."""

    segment_addr: str = ""
    corpus_addr: str = ""
    ranker_addr: str = ""
    tls: bool = False
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    token_file: str = ""


def running_address(service: str) -> str | None:
    """The address of a running service from the environment or the file; None if there is none.

    Raises InvalidArgument naming the variable if it is not an address.
    """
    address = _value(f"{service}_addr").strip()
    if not address:
        return None
    try:
        Connection(address, tls=_flag("tls") or bool(_value("tls_ca")))
    except ValueError as error:
        raise InvalidArgument(f"ASSAY_{service.upper()}_ADDR", str(error)) from error
    return address


def connection_to(address: str) -> Connection:
    """How to reach a named service. Raises InvalidArgument naming the wrong variable."""
    files = {name: _file(name) for name in ("tls_ca", "tls_cert", "tls_key")}
    try:
        return Connection(
            address,
            tls=_flag("tls"),
            ca=files["tls_ca"],
            cert=files["tls_cert"],
            key=files["tls_key"],
            token=_token(),
        )
    except ValueError as error:
        raise InvalidArgument(
            "connection",
            f"{error}; see ASSAY_TLS, ASSAY_TLS_CA, ASSAY_TLS_CERT, ASSAY_TLS_KEY, ASSAY_TOKEN",
        ) from error


def _value(name: str) -> str:
    found = os.environ.get(f"ASSAY_{name.upper()}")
    return found if found is not None else str(getattr(_config(), name, ""))


def _flag(name: str) -> bool:
    text = _value(name).lower()
    if text not in (*_TRUE, *_FALSE):
        raise InvalidArgument(f"ASSAY_{name.upper()}", f"must be 1 or 0, not {text!r}")
    return text in _TRUE


def _file(name: str) -> Path | None:
    value = _value(name)
    if not value:
        return None
    path = Path(value).expanduser()
    if not path.is_file():
        raise InvalidArgument(f"ASSAY_{name.upper()}", f"there is no file {path}")
    return path


def _token() -> str | None:
    given = os.environ.get("ASSAY_TOKEN")
    if given:
        return given
    path = _file("token_file")
    if path is None:
        return None
    try:
        return path.read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument("ASSAY_TOKEN_FILE", f"{path} cannot be read: {error}") from error


def _config() -> Config:
    named = os.environ.get("ASSAY_CONFIG")
    try:
        path = Path(named or _DEFAULT).expanduser()
    except RuntimeError:  # a user without a home has no file there
        return Config()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if named:
            raise InvalidArgument("ASSAY_CONFIG", f"there is no file {path}") from None
        return Config()
    except OSError as error:
        raise InvalidArgument("ASSAY_CONFIG", f"{path} cannot be read: {error.strerror}") from error
    try:
        return validate(Config, tomllib.loads(data.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, InvalidArgument) as error:
        raise InvalidArgument(str(path), str(error)) from error
