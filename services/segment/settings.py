"""Settings of the segment service, from ASSAY_SEGMENT_* variables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.rpc.settings import ServerSettings, port_field
from services.segment.batcher import Limits
from services.segment.image import MAX_SIDE, PILLOW_LIMIT

REFERENCE_MODELS = Path(__file__).with_name("reference")


class SegmentSettings(ServerSettings):
    """Which models are served, on what, and how much work is accepted. Frozen."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_SEGMENT_")

    port: int = port_field(50051, "of the gRPC server")
    health_port: int = port_field(50061, "of the health service without TLS")
    metrics_port: int = port_field(50071, "of the Prometheus page")
    models: tuple[Path, ...] = Field(
        (REFERENCE_MODELS,),
        min_length=1,
        description="JSON list of model directories that `assay export` wrote, or of folders of "
        "them (NAME/ or NAME/VERSION/). Default: the reference model that comes with the package.",
    )
    accepted_licenses: frozenset[str] = Field(
        frozenset(),
        description="JSON list of the licence ids whose research-only weights may be served.",
    )
    device: Literal["cpu", "cuda"] = Field(
        "cpu", description="Where models run. The service does not start if it isn't there."
    )
    threads: int = Field(
        0, ge=0, le=1024, description="Threads of one model's operators; 0: one a processor."
    )
    workers: int = Field(
        0, ge=0, le=1024, description="Threads that decode and encode; 0: one a processor."
    )
    max_pixels: int = Field(
        32_000_000,
        ge=1,
        le=PILLOW_LIMIT,
        description="Most pixels of an image; more are refused before they are decoded. A worker "
        f"takes up to 25 bytes for each; the default lets two of them work in 2 GiB. At most "
        f"{MAX_SIDE:,} pixels a side, whatever this says.",
    )
    max_batch: int = Field(
        1, ge=1, le=256, description="Most images a batch. More than 1 gains nothing on a CPU."
    )
    batch_window_seconds: float = Field(
        0, ge=0, le=10, description="How long the first image of a batch waits for others."
    )
    queue_items: int = Field(
        64, ge=1, le=100_000, description="Most requests of one model that are accepted at once."
    )
    queue_bytes: int = Field(
        Limits.max_bytes, ge=1 << 20, description="Most bytes that those requests may hold."
    )

    @property
    def cpu_threads(self) -> int:
        """Threads of one model's operators, at least 1."""
        return self.threads or len(os.sched_getaffinity(0))

    @property
    def pool_threads(self) -> int:
        """Threads that decode and encode, at least 1."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def stream_items(self) -> int:
        """Items that one call of SegmentImages holds: two batches, and one a thread to prepare."""
        return 2 * self.max_batch + self.pool_threads

    @property
    def limits(self) -> Limits:
        """Bounds of each model's batcher."""
        return Limits(
            max_batch=self.max_batch,
            window=self.batch_window_seconds,
            max_items=self.queue_items,
            max_bytes=self.queue_bytes,
            workers=self.pool_threads,
        )
