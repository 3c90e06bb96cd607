"""ONNX Runtime's sessions on a GPU: which provider computes, and with which options.

The options come from ONNX Runtime's pages on its CUDA and TensorRT providers, and all their names
are in the libraries of 1.31.1. They have not run on a GPU.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import onnxruntime as ort
import structlog

from services.errors import InvalidArgument
from services.segment.engines.check import GraphCheck
from services.segment.engines.engine import GpuOptions
from services.segment.engines.gpu_calls import CALLS
from services.segment.engines.onnxruntime import open_session, session_options
from services.segment.manifest import MODEL_FILE, Manifest

CUDA_PROVIDER, TENSORRT_PROVIDER = "CUDAExecutionProvider", "TensorrtExecutionProvider"
_PACKAGES = ("onnxruntime", "onnxruntime-gpu")
_TENSORRT = "tensorrt"
_TENSORRT_PACKAGES = ("tensorrt-cu13", "tensorrt-cu12", _TENSORRT)
_DIGEST_DIGITS = 16
_log = structlog.get_logger(__name__)
Options = Mapping[str, str | int]


@dataclass(frozen=True)
class Sessions:
    """Opens the sessions of one model on one GPU."""

    check: GraphCheck
    manifest: Manifest
    gpu: GpuOptions

    def plain(self) -> ort.InferenceSession:
        """Open the session that computes inputs of any size."""
        return self._open([(CUDA_PROVIDER, cuda_options(self.manifest, self.gpu))], {})

    def tensorrt(self, sizes: Sequence[int]) -> ort.InferenceSession:
        """Open TensorRT's session for batches of `sizes`, ascending, at the model's own size."""
        return self._open(self._with_tensorrt(sizes, graph=False), {})

    def captured(
        self, size: int, dimensions: Sequence[str | int], *, tensorrt: bool
    ) -> ort.InferenceSession:
        """Open a session for batches of `size`, whose first run captures a CUDA graph.

        `dimensions` are those of the graph's input; if all of them are known, ONNX Runtime computes
        shapes when it opens the graph, and no node for shapes stays on the processor.
        """
        how = self.manifest.preprocessing
        shape = (size, 3, how.height, how.width)
        fixed = {
            name: known
            for name, known in zip(dimensions, shape, strict=True)
            if isinstance(name, str)
        }
        providers = [(CUDA_PROVIDER, cuda_options(self.manifest, self.gpu, graph=not tensorrt))]
        if tensorrt:
            providers = self._with_tensorrt([size], graph=True)
        return self._open(providers, fixed)

    def _with_tensorrt(self, sizes: Sequence[int], *, graph: bool) -> list[tuple[str, Options]]:
        ours = tensorrt_options(self.manifest, self.gpu, sizes, graph=graph)
        folder = ours.get("trt_engine_cache_path")
        try:
            if folder:
                Path(str(folder)).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidArgument(
                "ASSAY_HOME", f"TensorRT's engines cannot be kept in {folder}: {error}"
            ) from error
        return [(TENSORRT_PROVIDER, ours), (CUDA_PROVIDER, cuda_options(self.manifest, self.gpu))]

    def _open(
        self, providers: list[tuple[str, Options]], fixed: Mapping[str, int]
    ) -> ort.InferenceSession:
        options = session_options(1)
        for name, size in fixed.items():
            options.add_free_dimension_override_by_name(name, size)
        with CALLS.shared():
            session = open_session(self.check, providers, options)
        for name, _ in providers:
            # ONNX Runtime falls back without an error if a provider cannot be loaded.
            if name not in session.get_providers():
                raise self._unusable(name)
        return session

    def _unusable(self, provider: str) -> InvalidArgument:
        if provider == TENSORRT_PROVIDER:
            return InvalidArgument(
                "engine",
                f"tensorrt is required, but ONNX Runtime could not use {provider} on GPU "
                f"{self.gpu.number}: install tensorrt-cu13>=10,<11, whose libraries it loads, or "
                "use the engine onnxruntime",
            )
        return InvalidArgument(
            "device",
            f"cuda is required, but ONNX Runtime could not use {provider} on GPU "
            f"{self.gpu.number}: check the driver, the CUDA and cuDNN libraries and "
            "ASSAY_SEGMENT_GPUS, or use cpu",
        )


def cuda_options(manifest: Manifest, gpu: GpuOptions, *, graph: bool = False) -> Options:
    """Return the options of ONNX Runtime's CUDA provider; `graph` makes it capture its runs."""
    options: dict[str, str | int] = {
        "device_id": gpu.number,
        # EXHAUSTIVE, the default, tries every algorithm again for each new size, which takes
        # hundreds of milliseconds and the memory of the largest.
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": 0,
        # Memory grows by what is needed: growing by powers of two would take twice as much.
        "arena_extend_strategy": "kSameAsRequested",
        # TF32 has the ten bits of fp16: labels would differ from those of fp32.
        "use_tf32": int(manifest.graph.precision != "fp32"),
    }
    if gpu.memory_bytes:
        options["gpu_mem_limit"] = gpu.memory_bytes
    if graph:
        options["enable_cuda_graph"] = 1
    return options


def tensorrt_options(
    manifest: Manifest, gpu: GpuOptions, sizes: Sequence[int], *, graph: bool
) -> Options:
    """Return the options of the TensorRT provider, for batches from the first to the last size.

    Engines are kept in a folder for the versions that made them: TensorRT cannot read those of
    other versions, and ONNX Runtime does not check. Their names contain the model's digest; the
    provider adds the kind of GPU.
    """
    how, precision = manifest.preprocessing, manifest.graph.precision
    least, most = (
        f"{manifest.graph.input}:{size}x3x{how.height}x{how.width}"
        for size in (sizes[0], sizes[-1])
    )
    options: dict[str, str | int] = {
        "device_id": gpu.number,
        "trt_fp16_enable": int(precision == "fp16"),
        "trt_bf16_enable": int(precision == "bf16"),
        "trt_layer_norm_fp32_fallback": int(precision != "fp32"),
        "trt_profile_min_shapes": least,
        "trt_profile_opt_shapes": most,
        "trt_profile_max_shapes": most,
        "trt_cuda_graph_enable": int(graph),
    }
    if gpu.memory_bytes:
        options["trt_max_workspace_size"] = gpu.memory_bytes
    if gpu.cache:
        folder = str(
            Path(gpu.cache) / f"onnxruntime-{ort.__version__}-tensorrt-{_tensorrt_version()}"
        )
        digest = manifest.digests[MODEL_FILE].removeprefix("sha256:")[:_DIGEST_DIGITS]
        options |= {
            "trt_engine_cache_enable": 1,
            "trt_engine_cache_path": folder,
            "trt_engine_cache_prefix": f"{digest}-{precision}-{sizes[0]}-{sizes[-1]}",
            "trt_timing_cache_enable": 1,
            "trt_timing_cache_path": folder,
        }
    return options


def require_provider(*, tensorrt: bool = False) -> None:
    """Raise InvalidArgument if this build of ONNX Runtime has no CUDA, or no TensorRT."""
    found = ort.get_available_providers()
    if CUDA_PROVIDER not in found:
        remedy = "install the extra segment-gpu instead of segment, or use cpu"
        if all(_version(package) for package in _PACKAGES):
            remedy = (
                "onnxruntime and onnxruntime-gpu are both installed, into one folder, and one of "
                "them has replaced the other: pip uninstall both, then install "
                "onnxruntime-gpu[cuda,cudnn]"
            )
        raise InvalidArgument(
            "device",
            f"cuda is required, but this build of ONNX Runtime has no {CUDA_PROVIDER}: {remedy}",
        )
    if tensorrt and TENSORRT_PROVIDER not in found:
        raise InvalidArgument(
            "engine",
            f"tensorrt is required, but this build of ONNX Runtime has no {TENSORRT_PROVIDER}: "
            "install onnxruntime-gpu for Linux, or use the engine onnxruntime",
        )


def preload(*, tensorrt: bool = False) -> None:
    """Load the libraries of the nvidia packages, which are not on the loader's path.

    What ONNX Runtime prints about missing libraries goes into the log, whose readers expect one
    JSON value a line.
    """
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        ort.preload_dlls()
        if tensorrt and find_spec(_TENSORRT):
            # Importing TensorRT loads its libraries, which preload_dlls does not know.
            import_module(_TENSORRT)
    if said.getvalue().strip():
        _log.info("libraries of CUDA", said=said.getvalue().strip()[:2000])


def _tensorrt_version() -> str:
    found = (_version(package) for package in _TENSORRT_PACKAGES)
    return next((version for version in found if version), "unknown")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
