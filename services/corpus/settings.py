"""Settings of the corpus service, from ASSAY_CORPUS_* variables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import SettingsConfigDict

from services.common.license import License
from services.common.memory import total
from services.corpus.catalog.catalog import FRAME_CACHE_BYTES, Registration
from services.corpus.catalog.corpus import Kind
from services.corpus.shards.formats import MAX_WINDOW_LOG, WINDOW_LOG, Keys, Reading
from services.corpus.storage.urls import is_url
from services.rpc.settings import ServerSettings, port_field

TOKEN_CACHE_BYTES = 100 << 30
_UNKNOWN_MEMORY_BYTES = 1 << 30
_HOME = Path("~/.local/share/assay")


class CorpusEntry(BaseModel):
    """One corpus, as a setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str | tuple[str, ...] = Field(
        description="Directory of shards, a single file, the URL of a directory in object "
        "storage, or a list of the URLs of its objects."
    )
    kind: Literal["complete", "sample", "reference"] = Field(
        "sample",
        description="The whole corpus of that name, some of its documents, or a substitute.",
    )
    source: str = Field("", description="Where it came from, in words.")
    license: str = Field("", description="SPDX id, or a short name, of the collection's licence.")
    license_name: str = Field("", description="Full name of the licence.")
    license_url: str = Field("", description="Where the licence can be read.")
    text_key: str = Field("text", min_length=1, description="Member of a record with its text.")
    id_key: str = Field("", description="Member of a record with its own id, kept in its meta.")
    subset_key: str = Field(
        "",
        description="Member of a record with its subset, or `folder` for the shard's folder; "
        "default: the member that well-known datasets use.",
    )
    window_log: int = Field(
        WINDOW_LOG,
        ge=10,
        le=MAX_WINDOW_LOG,
        description="Largest zstd window that is decoded, as a power of two (zstd --long=N); each "
        "stream of such a shard takes that much memory: 27 is 128 MiB, 31 is 2 GiB.",
    )
    every_file: bool = Field(
        False, description="Read all files of known formats, where some are in The Pile's layout."
    )

    def registration(self) -> Registration:
        """Return what the catalog needs of it."""
        return Registration(
            Path(self.path).expanduser()
            if isinstance(self.path, str) and not is_url(self.path)
            else self.path,
            Kind(self.kind),
            self.source,
            License(self.license, self.license_name, self.license_url),
            Reading(Keys(self.text_key, self.id_key, self.subset_key), self.window_log),
            self.every_file,
        )


class CorpusSettings(ServerSettings):
    """Which corpora are served and which language models score on them. Frozen."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_CORPUS_")

    port: int = port_field(50052, "of the gRPC server")
    health_port: int = port_field(50062, "of the health service without TLS")
    metrics_port: int = port_field(50072, "of the Prometheus page")
    corpora: dict[str, CorpusEntry] = Field(
        {},
        description='JSON object: name -> {"path", "kind": complete|sample|reference (default: '
        'sample), "source", "license", "license_name", "license_url", "text_key", '
        '"id_key", "subset_key", "window_log", "every_file"}. A path may be a URL '
        "(https, s3, gs), or a list of the URLs of objects. Default: "
        '"python-reference", built from Python\'s own sources and documentation.',
    )
    language_models: dict[str, Path] = Field(
        {},
        description="JSON object: name -> directory of a language model in Hugging Face's "
        "layout. The reference model that comes with the package is always available.",
    )
    reader_threads: int = Field(
        0,
        ge=0,
        le=256,
        description="Threads that read shards; 0: the number of processors plus two.",
    )
    frame_cache_bytes: int = Field(
        FRAME_CACHE_BYTES,
        ge=0,
        description="Largest size of the disk cache for frames from object storage, in "
        "cache/corpus/frames under ASSAY_HOME; 0 turns it off.",
    )
    token_cache_bytes: int = Field(
        TOKEN_CACHE_BYTES,
        ge=0,
        description="Largest size of the disk cache for tokens, in cache/corpus/tokens under "
        "ASSAY_HOME. The least recently used tokens are deleted first; those of an "
        "open stream's shards are kept.",
    )
    home: Path = Field(
        _HOME, validation_alias="ASSAY_HOME", description="Folder for built and cached data."
    )

    max_request_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1 << 16,
        le=2**31 - 1,
        description="Largest request, if less than the largest message: texts to score are that "
        "large. A compressed request counts as what it becomes.",
    )

    stream_bytes: int = Field(
        0,
        ge=0,
        description="Most memory that all open streams may hold together, in bytes. A stream "
        "that would exceed it is refused as OVERLOADED. 0: half of the memory of the "
        "machine or container.",
    )

    @property
    def held_by_streams(self) -> int:
        """Bytes that open streams may hold together."""
        return self.stream_bytes or (total() or _UNKNOWN_MEMORY_BYTES) // 2

    @property
    def test_set_bytes(self) -> int:
        """Bytes of test sets of one audit, of which each takes twenty in memory at most."""
        return (total() or _UNKNOWN_MEMORY_BYTES) // 50

    @property
    def threads(self) -> int:
        """Threads that read shards, at least 1."""
        return self.reader_threads or len(os.sched_getaffinity(0)) + 2

    @property
    def home_directory(self) -> Path:
        """ASSAY_HOME, absolute."""
        return self.home.expanduser().absolute()
