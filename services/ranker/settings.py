"""Settings of the ranker service, from ASSAY_RANKER_* variables."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from services.ranker.cache.redis import RedisOptions
from services.rpc.settings import ServerSettings, port_field

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_HOME = Path("~/.local/share/assay")


class RankerSettings(ServerSettings):
    """Whom the ranker asks, and where it keeps what it found. Frozen."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_RANKER_")

    port: int = port_field(50053, "of the gRPC server")
    health_port: int = port_field(50063, "of the health service without TLS")
    metrics_port: int = port_field(50073, "of the Prometheus page")
    http_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="TCP port of the pages, and of the contract as JSON; 0 takes any free one. "
        "Needs the extra `page`. Default: no pages.",
    )
    http_hosts: tuple[str, ...] = Field(
        default=(),
        description="Host names that this port answers to, besides localhost: "
        '["assay.example.com"]. Default: none on loopback, any on another address.',
    )
    try_page: bool = Field(
        default=False,
        description="Offer a page where readers can submit an image or a text, which the segment "
        "and corpus services then process.",
    )
    segment_addr: str = Field(
        default="127.0.0.1:50051",
        min_length=1,
        description="Address of the segment service, host:port.",
    )
    corpus_addr: str = Field(
        default="127.0.0.1:50052",
        min_length=1,
        description="Address of the corpus service, host:port.",
    )
    peer_tls_ca: Path | None = Field(
        default=None,
        description="PEM file of authorities that signed the certificates of segment and corpus; "
        "turns TLS on.",
    )
    peer_tls_cert: Path | None = Field(
        default=None, description="PEM certificate that the ranker presents to segment and corpus."
    )
    peer_tls_key: Path | None = Field(
        default=None, description="PEM private key of that certificate."
    )
    peer_token_file: Path | None = Field(
        default=None,
        description="File with the bearer token that the ranker sends to segment and corpus; "
        "needs TLS, unless they are on this machine.",
    )
    labelled_pictures: Path | None = Field(
        default=None,
        description="Folder of labelled images in ADE20K's layout, to measure accuracy. Default: "
        "accuracy is not measured.",
    )
    database: Path | None = Field(
        default=None,
        description="SQLite file of the evidence. Default: ranker/evidence.sqlite under "
        "ASSAY_HOME.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="PostgreSQL database of the evidence, postgresql://USER@HOST/NAME, which "
        "several rankers may share; needs the extra `postgres`. The password can "
        "come from PGPASSWORD or PGPASSFILE. Default: the SQLite file.",
    )
    operations: bool = Field(
        default=True,
        description="Serve verifications and registrations. Of several rankers that share a "
        "PostgreSQL database, exactly one must do so, since only the process that "
        "runs a verification knows about it.",
    )
    redis_url: str = Field(
        default="",
        validation_alias="REDIS_URL",
        description="Redis that caches comparisons. Default: a bounded cache in the process's "
        "memory.",
    )
    redis_sentinels: list[str] = Field(
        default=[],
        description="JSON list of Redis Sentinels, host:port, that know the current master.",
    )
    redis_service: str = Field(
        default="mymaster", description="Name of the master that the Sentinels watch."
    )
    redis_cluster: bool = Field(
        default=False, description="REDIS_URL names a node of a Redis Cluster."
    )
    redis_username: str = Field(default="", description="ACL user of Redis.")
    redis_password: SecretStr | None = Field(
        default=None, description="Password of that user; never logged."
    )
    redis_tls_ca: Path | None = Field(
        default=None,
        description="PEM file of authorities that signed Redis's certificate, with rediss://.",
    )
    redis_tls_cert: Path | None = Field(
        default=None, description="PEM certificate that the ranker presents to Redis."
    )
    redis_tls_key: Path | None = Field(
        default=None, description="PEM private key of that certificate."
    )
    cache_secret_file: Path | None = Field(
        default=None,
        description="File with the secret that signs cached comparisons; all rankers that share "
        "a Redis need the same one. Default: none, so anyone who can write to Redis "
        "can change an answer.",
    )
    lock_seconds: float = Field(
        default=3.0,
        ge=0,
        description="How long to wait for the database. SQLite: at the start, for another ranker "
        "to stop. PostgreSQL: at any time, for a server that does not answer.",
    )
    home: Path = Field(
        default=_HOME,
        validation_alias="ASSAY_HOME",
        description="Folder for built and cached data.",
    )

    @field_validator("http_hosts")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _HOST.fullmatch(name):
                raise ValueError(f"{name!r} must be a name or address alone, without port or path")
        return value

    @field_validator("database_url")
    @classmethod
    def _has_its_library(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and find_spec("psycopg") is None:
            raise ValueError("needs psycopg: install the extra `postgres`, or unset it")
        return value

    @property
    def redis(self) -> RedisOptions:
        """Where comparisons are cached; an empty URL and no Sentinels mean this process."""
        return RedisOptions(
            url=self.redis_url,
            sentinels=tuple(self.redis_sentinels),
            service=self.redis_service,
            cluster=self.redis_cluster,
            username=self.redis_username,
            password=self.redis_password.get_secret_value() if self.redis_password else "",
            tls_ca=self.redis_tls_ca,
            tls_cert=self.redis_tls_cert,
            tls_key=self.redis_tls_key,
        )

    @property
    def database_file(self) -> Path:
        """The evidence's file, absolute."""
        chosen = self.database or self.home / "ranker" / "evidence.sqlite"
        return chosen.expanduser().absolute()
