"""Settings of the segment service, from ASSAY_SEGMENT_* variables."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from services.errors import InvalidArgument
from services.rpc.settings import ServerSettings, port_field
from services.segment.batching.ticket import Limits
from services.segment.engines.choice import Choice, Device, EngineSetting, choose
from services.segment.engines.engine import GpuOptions
from services.segment.images.decode import PILLOW_LIMIT
from services.segment.images.limits import MAX_SIDE
from services.segment.manifest import Precision

# Bytes of a reply without maps, planes, tensors and pictures: model, shares, timings, shapes.
_REPLY_OVERHEAD = 64 * 1024
_GPU_BATCH = 32
_HOME = Path("~/.local/share/assay")
REFERENCE_MODELS = Path(__file__).with_name("reference")


class SegmentSettings(ServerSettings):
    """Which models are served, on which devices, and how much work is accepted. Frozen."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_SEGMENT_")

    port: int = port_field(50051, "of the gRPC server")
    health_port: int = port_field(50061, "of the health service without TLS")
    metrics_port: int = port_field(50071, "of the Prometheus page")
    models: tuple[Path, ...] = Field(
        (REFERENCE_MODELS,),
        min_length=1,
        description="JSON list of model directories that `assay export` wrote, or of folders "
        "that contain such directories (NAME/ or NAME/VERSION/). Default: the "
        "reference model that comes with the package.",
    )
    desired: Path | None = Field(
        None,
        description="File that lists the models to serve, on storage that all replicas share. "
        "`SetDesiredModels` writes it, and every replica follows it without a "
        "restart. Default: serve every model that is present at the start.",
    )
    reconcile_seconds: float = Field(
        5, gt=0, le=3600, description="How often a replica checks that file and the models."
    )
    accepted_licenses: frozenset[str] = Field(
        frozenset(),
        description="JSON list of the licence ids that you accept for weights that need it: "
        "licences for research only, and LicenseRef-Unknown for weights without a "
        "stated licence.",
    )
    device: Device = Field(
        "cpu", description="Where models run. The service does not start if the device is missing."
    )
    engine: EngineSetting = Field(
        "auto",
        description="Engine that runs the models: openvino (CPUs only), onnxruntime, tensorrt "
        "(GPUs only; not yet tested on one), or auto, which is OpenVINO on a CPU if "
        "it is installed, else ONNX Runtime.",
    )
    precision: Precision = Field(
        "fp32",
        description="Number format of matrix products. bf16 or fp16 is refused for a model whose "
        "results in that format were not close enough to its source, at export or on "
        "this processor.",
    )
    gpus: tuple[int, ...] = Field(
        (0,),
        min_length=1,
        description="JSON list of GPU numbers that each model runs on, with the device cuda. A "
        "request goes to the least busy GPU.",
    )
    threads: int = Field(
        0, ge=0, le=1024, description="Threads of one model's operators; 0: one per processor."
    )
    workers: int = Field(
        0,
        ge=0,
        le=1024,
        description="Threads that decode images and encode results; 0: one per processor.",
    )
    max_pixels: int = Field(
        32_000_000,
        ge=1,
        le=PILLOW_LIMIT,
        description="Most pixels of an image, and of a label map whose size a request gives. A "
        "larger image is refused before it is decoded. A worker needs up to 25 bytes of memory per "
        f"pixel, so with the default two workers fit in 2 GiB. At most {MAX_SIDE:,} pixels a side, "
        "whatever this setting says.",
    )
    max_batch: int = Field(
        0,
        ge=0,
        le=256,
        description="Most images in a batch; 0: 1 on CPUs, where larger batches are no faster, "
        "and 32 on GPUs.",
    )
    batch_window_seconds: float = Field(
        0, ge=0, le=10, description="How long the first image of a batch waits for further images."
    )
    gpu_memory_bytes: int = Field(
        0,
        ge=0,
        description="Most GPU memory that ONNX Runtime takes for one session of a model, in "
        "bytes; 0: no limit. A model has one session, a second one with tensorrt, "
        "and with CUDA graphs one per batch size.",
    )
    gpu_graphs: bool = Field(
        False,
        description="Capture a CUDA graph for each batch size, so that one call launches the "
        "whole batch. If this fails, models are served without graphs, and the log "
        "says why. Not yet tested on a GPU.",
    )
    queue_items: int = Field(
        64, ge=1, le=100_000, description="Most requests of one model that may wait or run at once."
    )
    queue_bytes: int = Field(
        Limits.max_bytes,
        ge=1 << 20,
        description="Most bytes that those requests may hold in memory.",
    )

    home: Path = Field(
        _HOME,
        validation_alias="ASSAY_HOME",
        description="Folder with this machine's timing reference, which tells whether a "
        "benchmark was disturbed.",
    )

    max_request_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1 << 16,
        le=2**31 - 1,
        description="Largest request, if less than the largest message: pictures and tensors are "
        "that large. A compressed request counts as what it becomes.",
    )

    held_bytes: int = Field(
        192 << 20,
        ge=1 << 20,
        description="Most bytes of requests held in memory at once, from reading a request to "
        "answering it. A request counts with up to three times its size. A request "
        "that does not fit is refused before it is parsed.",
    )

    shared_memory: bool = Field(
        False,
        description="Let clients of the Open Inference Protocol pass tensors in POSIX shared "
        "memory. Turn this on only if every caller is on this machine and trusted, "
        "since the server reads and writes the shared memory objects that callers "
        "name.",
    )

    @field_validator("gpus")
    @classmethod
    def _gpus_are_numbered_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 0 or len(set(value)) != len(value):
            raise ValueError("give numbers of GPUs, from 0 up, each once")
        return value

    @model_validator(mode="after")
    def _the_engine_has_the_device(self) -> Self:
        try:
            choose(self.engine, self.device, self.precision)
        except InvalidArgument as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def machine_directory(self) -> Path:
        """Folder for the calibration kernel's times."""
        return self.home.expanduser().absolute() / "machine"

    @property
    def choice(self) -> Choice:
        """The engine and the number type."""
        return choose(self.engine, self.device, self.precision)

    @property
    def devices(self) -> tuple[int, ...]:
        """Numbers of the GPUs that run engines; on a processor, one engine runs."""
        return self.gpus if self.device == "cuda" else (0,)

    def on_gpu(self, number: int) -> GpuOptions:
        """How models are opened on that GPU; TensorRT's engines are stored in the state folder."""
        return GpuOptions(
            number=number,
            memory_bytes=self.gpu_memory_bytes,
            graphs=self.gpu_graphs,
            cache=str(self.home.expanduser().absolute() / "tensorrt"),
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
    def batch_size(self) -> int:
        """Most images a batch, at least 1."""
        return self.max_batch or (_GPU_BATCH if self.device == "cuda" else 1)

    @property
    def max_output_bytes(self) -> int:
        """Bytes of the outputs that a reply can hold."""
        return self.max_message_bytes - _REPLY_OVERHEAD

    @property
    def stream_items(self) -> int:
        """Items that one call of SegmentImages holds: two batches a device, and one a thread."""
        return 2 * self.batch_size * len(self.devices) + self.pool_threads

    @property
    def evaluation_pairs(self) -> int:
        """Pairs that one evaluation holds: a batch a device, one a thread; never a full queue."""
        return min(
            self.batch_size * len(self.devices) + self.pool_threads,
            self.queue_items * len(self.devices),
        )

    @property
    def limits(self) -> Limits:
        """Bounds of each model's batcher."""
        return Limits(
            max_batch_size=self.batch_size,
            batch_wait=self.batch_window_seconds,
            max_items=self.queue_items,
            max_bytes=self.queue_bytes,
            workers=self.pool_threads,
        )
