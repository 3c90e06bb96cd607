"""Settings of the ranker service, from ASSAY_RANKER_* variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServerSettings, port_field

_HOME = Path("~/.local/share/assay")


class RankerSettings(ServerSettings):
    """Whom the ranker asks, and where it keeps what it found. Frozen."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_RANKER_")

    port: int = port_field(50053, "of the gRPC server")
    health_port: int = port_field(50063, "of the health service without TLS")
    metrics_port: int = port_field(50073, "of the Prometheus page")
    segment_addr: str = Field(
        default="127.0.0.1:50051", min_length=1, description="Address of segment, host:port."
    )
    corpus_addr: str = Field(
        default="127.0.0.1:50052", min_length=1, description="Address of corpus, host:port."
    )
    peer_tls_ca: Path | None = Field(
        default=None,
        description="PEM authorities that segment and corpus are trusted by; turns TLS on.",
    )
    peer_tls_cert: Path | None = Field(
        default=None, description="PEM certificate that is shown to segment and corpus."
    )
    peer_tls_key: Path | None = Field(
        default=None, description="PEM private key of that certificate."
    )
    database: Path | None = Field(
        default=None,
        description="SQLite file of the evidence. Default: ranker/evidence.sqlite at home.",
    )
    redis_url: str = Field(
        default="",
        validation_alias="REDIS_URL",
        description="Redis that comparisons are cached in. Default: the process itself, bounded.",
    )
    home: Path = Field(
        default=_HOME,
        validation_alias="ASSAY_HOME",
        description="Folder for what is built and cached.",
    )

    @property
    def database_file(self) -> Path:
        """The evidence's file, absolute."""
        chosen = self.database or self.home / "ranker" / "evidence.sqlite"
        return chosen.expanduser().absolute()
