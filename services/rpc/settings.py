"""Settings of every server, read from the environment.

A service subclasses `ServerSettings` with its own prefix, default ports and fields:

    class SegmentSettings(ServerSettings):
        model_config = SettingsConfigDict(env_prefix="ASSAY_SEGMENT_")
        port: int = port_field(50051, "of the gRPC server")

and its `__main__` calls `load_settings(SegmentSettings)`.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.rpc.exits import Exit
from services.rpc.tracing.configured import require_tracing

S = TypeVar("S", bound="ServerSettings")


def port_field(default: int, what: str) -> Any:
    """A field for a TCP port, described by `what`; 0 takes any free port."""
    return Field(default, ge=0, le=65535, description=f"TCP port {what}; 0 takes any free one.")


class ServerSettings(BaseSettings):
    """How a server listens, how much it accepts and how it stops. Frozen."""

    model_config = SettingsConfigDict(
        frozen=True, env_prefix="ASSAY_", env_ignore_empty=True, extra="ignore"
    )

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; 0.0.0.0 means every IPv4 address."
    )
    port: int = port_field(0, "of the gRPC server")
    health_port: int = port_field(0, "of the health service without TLS, for Kubernetes' probes")
    metrics_port: int = port_field(0, "of the Prometheus page")
    tls_cert: Path | None = Field(default=None, description="PEM certificate chain; turns TLS on.")
    tls_key: Path | None = Field(default=None, description="PEM private key of the certificate.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="PEM file of certificate authorities. If set, a client must "
        "present a certificate that one of them signed.",
    )
    policy_file: Path | None = Field(
        default=None,
        description="TOML file of access rules: which identities may call which methods, and how "
        "often. Default: everyone may call everything.",
    )
    token_file: Path | None = Field(
        default=None,
        description='File of accepted bearer tokens, with one line "NAME sha256:HEX" each, as '
        "`assay token` prints it.",
    )
    jwks_file: Path | None = Field(
        default=None, description="JWKS file of the keys that verify JSON Web Tokens."
    )
    jwt_issuer: str = Field(default="", description="The only accepted `iss` of those tokens.")
    jwt_audience: str = Field(default="", description="The `aud` that those tokens must name.")
    admin_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Separate TCP port for the admin services; 0 takes any free one. Default: "
        "the gRPC server's port.",
    )
    reflection: bool = Field(
        default=True,
        description="Offer gRPC server reflection, so that tools can discover the contract.",
    )
    max_message_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1 << 20,
        le=2**31 - 1,
        description="Largest message, sent or received.",
    )
    max_request_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1 << 16,
        le=2**31 - 1,
        description="Largest request, if smaller than the largest message. A compressed request "
        "counts with its decompressed size.",
    )
    max_streams: int = Field(
        default=1024,
        ge=1,
        le=100_000,
        description="Most concurrent calls on one connection. Further calls wait at the client; "
        "on a new connection they may be refused as UNAVAILABLE.",
    )
    max_connection_seconds: float = Field(
        default=300,
        gt=0,
        le=86_400,
        description="Age at which a connection is closed gracefully, so that clients find new "
        "replicas. Calls in flight finish.",
    )
    drain_seconds: float = Field(
        default=20,
        ge=0,
        le=3600,
        description="Time that calls in flight get to finish after SIGTERM.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Lowest level that is logged. Health checks are logged at debug.",
    )
    tracing: bool = Field(
        default=False,
        description="Send spans of calls by OTLP; OpenTelemetry's own variables "
        "(OTEL_EXPORTER_OTLP_ENDPOINT) say where to. Needs the extra `tracing`.",
    )
    end_with_parent: bool = Field(
        default=False,
        description="Drain and stop when the process that started this one dies (Linux).",
    )
    ready_file: Path | None = Field(
        default=None,
        description='File that the service writes as soon as it accepts calls: {"port", '
        '"health_port", "metrics_port"}.',
    )

    @field_validator("tracing")
    @classmethod
    def _can_trace(cls, value: bool) -> bool:
        if value:
            require_tracing()
        return value

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("tls_cert", "tls_key") if self.tls_cert else ("tls_key", "tls_cert")
            raise ValueError(
                f"{self.variable(given)} is set without {self.variable(missing)}: set both, or none"
            )
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError(
                f"{self.variable('tls_client_ca')} needs {self.variable('tls_cert')} and "
                f"{self.variable('tls_key')}"
            )
        return self

    @model_validator(mode="after")
    def _web_tokens_are_whole(self) -> Self:
        names = ("jwks_file", "jwt_issuer", "jwt_audience")
        missing = [self.variable(name) for name in names if not getattr(self, name)]
        if missing and len(missing) < len(names):
            raise ValueError(
                f"{', '.join(missing)} must be set too: a JSON Web Token is accepted from one "
                "issuer, for one audience, signed with a key of the JWKS file"
            )
        return self

    @property
    def request_limit(self) -> int:
        """Bytes of the largest request that the server accepts."""
        return min(self.max_request_bytes, self.max_message_bytes)

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable that sets `field`."""
        alias = cls.model_fields[field].validation_alias if field in cls.model_fields else None
        if isinstance(alias, str):
            return alias
        return f"{cls.model_config.get('env_prefix', '')}{field}".upper()


def load_settings(kind: type[S]) -> S:
    """Reads the settings, or prints each wrong variable with the reason and exits with 2."""
    for name in sorted(_unknown(kind)):
        print(f"warning: {name} is not a setting of this service, and is ignored", file=sys.stderr)
    settings, problems = read_settings(kind)
    if settings is not None:
        return settings
    for problem in problems:
        print(f"bad setting: {problem}", file=sys.stderr)
    raise SystemExit(Exit.BAD_SETTINGS)


def read_settings(kind: type[S]) -> tuple[S | None, list[str]]:
    """The settings; or None and each wrong variable with the reason."""
    try:
        return kind(), []
    except ValidationError as error:
        return None, [_problem(kind, item) for item in error.errors()]
    except SettingsError as error:
        # Lists and objects that are not JSON; the message names the field in quotes.
        field = re.search(r'field "(\w+)"', str(error))
        name = kind.variable(field.group(1)) if field else str(error)
        example = '["/models/b0"] or {"name": "/folder"}'
        return None, [f"{name}: is not valid JSON, such as {example}"]


def _unknown(kind: type[ServerSettings]) -> set[str]:
    """Variables with the service's prefix that are no settings, unless others read or set them."""
    prefix = str(kind.model_config.get("env_prefix", ""))
    known = {kind.variable(field) for field in kind.model_fields}
    # ..._ADDR belongs to the command; ..._SERVICE_... and ..._PORT_... are Kubernetes' service
    # links.
    foreign = re.compile(rf"{prefix}(ADDR|SERVICE_(HOST|PORT).*|PORT_.*)")
    return {
        name
        for name in os.environ
        if name.startswith(prefix) and name not in known and not foreign.fullmatch(name)
    }


def _problem(kind: type[ServerSettings], item: Any) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    if not item["loc"]:
        return message
    first, *rest = (str(part) for part in item["loc"])
    name = kind.variable(first) if first in kind.model_fields else first
    where = "".join(f"[{part}]" for part in rest)
    given = item.get("input")
    # A URL may contain a password.
    shown = f" (got {given!r})" if isinstance(given, str | int) and "@" not in str(given) else ""
    hint = ""
    if isinstance(given, str) and given.startswith("tcp://"):
        hint = "; Kubernetes set it for a Service of that name: use enableServiceLinks: false"
    return f"{name}{where}: {message}{shown}{hint}"
