"""Which engine runs the models, in which number type: the requested one, or a clear refusal."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from services.common.percent import percent
from services.errors import EngineUnavailable, InvalidArgument
from services.segment.engines.engine import (
    CUDA,
    ONNXRUNTIME,
    OPENVINO,
    TENSORRT,
    Engine,
    GpuOptions,
)
from services.segment.manifest import Manifest, ModelParity, Precision

Device = Literal["cpu", "cuda"]
EngineSetting = Literal["auto", "openvino", "onnxruntime", "tensorrt"]
_ON_THE_FIRST_GPU = GpuOptions()


@dataclass(frozen=True)
class Choice:
    """An engine by name, and the number type that it multiplies in."""

    engine: str
    precision: Precision
    automatic: bool = field(default=False, compare=False)
    """Whether the choice of the engine was left to the service."""

    def of(self, manifest: Manifest) -> Choice:
        """Return the choice for a model: ONNX Runtime if OpenVINO was tried on it but not exact.

        This happens with graphs that quantise as they compute, which OpenVINO rounds differently.
        """
        record = self.record(manifest)
        if not self.automatic or self.engine != OPENVINO or record is None or record.passed:
            return self
        other = Choice(ONNXRUNTIME, self.precision)
        tried = other.record(manifest)
        return other if tried is not None and tried.passed else self

    def require_available(self) -> None:
        """Raise InvalidArgument naming what is missing here."""
        if self.engine == OPENVINO:
            self._require_openvino()
        elif self.engine == ONNXRUNTIME and self.precision == "bf16":
            raise InvalidArgument(
                "precision",
                "ONNX Runtime does not compute in bf16 on processors: install OpenVINO (the extra "
                "openvino) and use the engine openvino, or use fp32",
            )
        elif self.engine in {CUDA, TENSORRT}:
            from services.segment.engines import gpu_sessions  # noqa: PLC0415

            gpu_sessions.require_provider(tensorrt=self.engine == TENSORRT)

    def record(self, manifest: Manifest) -> ModelParity | None:
        """Return the export's measurement of the model with this choice; None if there is none."""
        way = (self.engine, self.precision)
        return next((one for one in manifest.parities if (one.engine, one.precision) == way), None)

    def require_trusted(self, manifest: Manifest) -> None:
        """Raise EngineUnavailable unless the model was measured to be exact enough this way.

        An engine that runs the graph in its own number type needs no record: the export compared
        that graph with the source model. A record from another processor is necessary but not
        sufficient: `recheck.rechecked` measures on this one.
        """
        own = manifest.graph.precision
        record = self.record(manifest)
        if record is None:
            if self.precision == own:
                return
            remedy = "export it again where OpenVINO is installed"
            if self.engine != OPENVINO or self.precision == "fp16":
                remedy = f"export it with --precision {self.precision}"
            problem = f"its graph is in {own}, and {self.engine} was not measured"
        elif record.passed:
            return
        else:
            problem = (
                f"only {percent(record.label_agreement, 2)} of the labels agreed with the source "
                "model's "
                "when it was exported"
            )
            remedy = f"use {own}"
        raise EngineUnavailable(
            f"{manifest.name} is not served by {self.engine} in {self.precision}: {problem}; "
            f"{remedy} (ASSAY_SEGMENT_PRECISION is {self.precision})"
        )

    def open(
        self,
        directory: Path,
        manifest: Manifest,
        *,
        threads: int,
        gpu: GpuOptions = _ON_THE_FIRST_GPU,
        max_batch_size: int = 1,
    ) -> Engine:
        """Open a model whose files were verified and which was rechecked. Blocks for seconds.

        Raises EngineUnavailable if the model may not be run this way, InvalidArgument for anything
        missing here and for a graph that is not the manifest's.
        """
        self.require_available()
        self.require_trusted(manifest)
        # Each module imports a library that need not be installed if another engine runs.
        if self.engine == OPENVINO:
            from services.segment.engines.openvino import OpenVinoEngine  # noqa: PLC0415

            return OpenVinoEngine(directory, manifest, precision=self.precision, threads=threads)
        if self.engine in {CUDA, TENSORRT}:
            from services.segment.engines.agreement import require_agreement  # noqa: PLC0415
            from services.segment.engines.cuda import CudaEngine  # noqa: PLC0415

            on_gpu = CudaEngine(
                directory,
                manifest,
                gpu,
                max_batch_size=max_batch_size,
                tensorrt=self.engine == TENSORRT,
            )
            require_agreement(on_gpu, directory, manifest, threads=threads)
            return on_gpu
        from services.segment.engines.onnxruntime import OnnxEngine  # noqa: PLC0415

        return OnnxEngine(directory, manifest, threads=threads)

    def _require_openvino(self) -> None:
        if not find_spec("openvino"):
            raise InvalidArgument(
                "engine",
                "openvino is not installed: pip install 'assay-services[openvino]', or name "
                "onnxruntime",
            )
        from services.segment.engines.openvino import capabilities  # noqa: PLC0415

        if self.precision.upper() not in capabilities():
            raise InvalidArgument(
                "precision",
                f"OpenVINO does not compute in {self.precision} on this processor; use fp32",
            )


def choose(engine: EngineSetting, device: Device, precision: Precision) -> Choice:
    """Return the choice that the settings mean; `require_available` says whether it is installed.

    "auto" means OpenVINO on a processor if it is installed, else ONNX Runtime. Raises
    InvalidArgument for an engine without such a device.
    """
    if device == "cuda":
        if engine == "openvino":
            raise InvalidArgument(
                "engine", "OpenVINO runs on processors only: use onnxruntime, or cpu"
            )
        return Choice(TENSORRT if engine == "tensorrt" else CUDA, precision)
    if engine == "tensorrt":
        raise InvalidArgument(
            "engine", "TensorRT runs on GPUs only: use the device cuda, or another engine"
        )
    if engine == "openvino":
        return Choice(OPENVINO, precision)
    if engine == "auto" and find_spec("openvino"):
        return Choice(OPENVINO, precision, automatic=True)
    return Choice(ONNXRUNTIME, precision)
