"""ONNX Runtime on one GPU: batches of few sizes, whose logits stay there.

Written by the documented interface; no GPU was at hand to measure it on.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import structlog
from PIL import Image

from services.errors import InvalidArgument
from services.segment.engines.check import GraphCheck
from services.segment.engines.device import Device, DeviceArray, DeviceOutput
from services.segment.engines.device_inputs import DeviceInputs
from services.segment.engines.engine import CUDA, Floats, Output
from services.segment.engines.onnxruntime import (
    open_session,
    run_plainly,
    session_options,
)
from services.segment.engines.pinned import cuda_runtime
from services.segment.manifest import Manifest, Resampler

_PROVIDER, _DEVICE = "CUDAExecutionProvider", "cuda"
_ARENA = "gpu"
_PACKAGES = ("onnxruntime", "onnxruntime-gpu")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Input:
    """Where batches of one shape are gathered, and where they are read from on the GPU."""

    host: Floats
    device: DeviceArray
    binding: ort.IOBinding


class CudaEngine:
    """One session on one GPU, in the number types that its graph is written in."""

    name = CUDA

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        *,
        gpu: int = 0,
        max_batch_size: int = 1,
        memory_bytes: int = 0,
    ) -> None:
        """Open the graph on GPU number `gpu`, and compute batches of up to `max_batch_size`.

        Its arena takes up to `memory_bytes` there; 0 is no limit.

        Raises InvalidArgument naming the device or the file, and what is wrong with it.
        """
        require_provider()
        self.precision = manifest.graph.precision
        self._gpu = gpu
        self._graph = manifest.graph
        self._classes = len(manifest.classes)
        how = manifest.preprocessing
        self._shape = (3, how.height, how.width)
        self._check = GraphCheck(directory, manifest)
        self._sizes = bucket_sizes(max_batch_size if manifest.graph.dynamic_batch else 1)
        _preload()
        options: dict[str, Any] = {
            "device_id": gpu,
            # EXHAUSTIVE, the default, tries every algorithm anew for each new size, for hundreds of
            # milliseconds, and takes the memory of the largest.
            "cudnn_conv_algo_search": "HEURISTIC",
            "cudnn_conv_use_max_workspace": 0,
            # Memory grows by what is asked for: by powers of two it would take twice that.
            "arena_extend_strategy": "kSameAsRequested",
            # TF32 has the ten bits of fp16: labels would not be those of fp32.
            "use_tf32": int(self.precision != "fp32"),
        }
        if memory_bytes:
            options["gpu_mem_limit"] = memory_bytes
        provider = (_PROVIDER, options)
        self._session = open_session(self._check, [provider], session_options(1))
        if _PROVIDER not in self._session.get_providers():
            # ONNX Runtime falls back to the CPU without an error where CUDA can't be loaded.
            raise InvalidArgument(
                "device",
                f"cuda was asked for, but ONNX Runtime could not use {_PROVIDER} on GPU {gpu}: "
                "check the driver, the CUDA and cuDNN libraries and ASSAY_SEGMENT_GPUS, or ask "
                "for cpu",
            )
        self._runtime = cuda_runtime()
        self._runtime.use(gpu)
        self._device = Device(self._runtime, gpu)
        self._device.try_maps()
        self._pictures = DeviceInputs(self._device, how)
        self._pictures.attempt()
        # Sizes that come and go would leave the arena as large as all of them together.
        self._shrinking = ort.RunOptions()
        self._shrinking.add_run_config_entry(
            "memory.enable_memory_arena_shrinkage", f"{_ARENA}:{gpu}"
        )
        self._inputs: dict[tuple[int, ...], _Input] = {}
        self._check.output(self)
        blank = np.zeros(self._shape, np.float32)
        for size in self._sizes:
            self.run([blank] * size)

    @property
    def max_batch_size(self) -> int | None:
        """Most pictures a run."""
        return self._sizes[-1]

    def prepared(
        self, picture: Image.Image, resampler: Resampler | None = None
    ) -> DeviceArray | None:
        """Return a picture's input on the GPU, None where the processor makes it."""
        return self._pictures.make(picture, resampler)

    def run(self, batch: Sequence[Floats | DeviceArray]) -> Sequence[Output]:
        """Compute pictures of (3, H, W) float32, all of one size, which are here or on the GPU.

        A batch between two sizes is filled up with what was there before; its logits stay on the
        GPU until they are read. Pictures of another size than the manifest's are computed without
        page-locked memory, which would otherwise grow with every size that comes.
        """
        self._check.size(batch[0])
        # The calling thread may be another one than that which opened it.
        self._runtime.use(self._gpu)
        if batch[0].shape != self._shape:
            plain = [one if isinstance(one, np.ndarray) else self._device.get(one) for one in batch]
            return run_plainly(self._session, self._graph, plain, self._shrinking)
        shape = (bucket(len(batch), self._sizes), *batch[0].shape)
        source = self._input(shape)
        for index, tensor in enumerate(batch):
            if isinstance(tensor, np.ndarray):
                source.host[index] = tensor
                # Not by ONNX Runtime's update_inplace, which holds Python's lock meanwhile.
                self._device.put(source.host[index], source.device[index])
            else:
                self._device.move(tensor, source.device[index])
        # ONNX Runtime computes in a stream of its own, which waits for no other.
        self._device.wait()
        # Outputs of their own for each run: they are still read when the next run writes.
        h, w = self._graph.logits_size(*shape[2:])
        logits = self._bound(source, self._graph.logits, (shape[0], h, w, self._classes), "float32")
        labels = self._bound(source, self._graph.labels, (shape[0], h, w), self._graph.labels_type)
        self._session.run_with_iobinding(source.binding)
        source.binding.synchronize_outputs()
        return [
            DeviceOutput(self._device, logits[index], labels[index]) for index in range(len(batch))
        ]

    def _input(self, shape: tuple[int, ...]) -> _Input:
        found = self._inputs.get(shape)
        if found is None:
            host = self._device.locked(shape, np.float32)
            host[:] = 0
            device = self._device.empty(shape, np.float32)
            binding = self._session.io_binding()
            where = (_DEVICE, self._gpu, np.float32, list(shape), device.address)
            binding.bind_input(self._graph.input, *where)
            found = self._inputs[shape] = _Input(host, device, binding)
        return found

    def _bound(self, source: _Input, name: str, shape: tuple[int, ...], kind: str) -> DeviceArray:
        """Return an array that the next run writes the output `name` into."""
        array = self._device.empty(shape, kind)
        where = (_DEVICE, self._gpu, array.dtype.type, list(shape), array.address)
        source.binding.bind_output(name, *where)
        return array


def require_provider() -> None:
    """Raise InvalidArgument if this build of ONNX Runtime has no CUDA."""
    if _PROVIDER in ort.get_available_providers():
        return
    remedy = "install the extra segment-gpu instead of segment, or ask for cpu"
    if all(_is_installed(package) for package in _PACKAGES):
        remedy = (
            "onnxruntime and onnxruntime-gpu are both installed, into one folder, and one of them "
            "has replaced the other: pip uninstall both, then install onnxruntime-gpu[cuda,cudnn]"
        )
    raise InvalidArgument(
        "device",
        f"cuda was asked for, but this build of ONNX Runtime has no {_PROVIDER}: {remedy}",
    )


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _preload() -> None:
    """Load the libraries of the nvidia packages, which are not on the loader's path.

    What this prints of those that it does not find goes into the log: whatever reads that wants
    one JSON value a line.
    """
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        ort.preload_dlls()
    if said.getvalue().strip():
        _log.info("libraries of CUDA", said=said.getvalue().strip()[:2000])


def bucket_sizes(max_batch_size: int) -> tuple[int, ...]:
    """Return the powers of two below `max_batch_size`, and `max_batch_size` itself, ascending."""
    if max_batch_size < 1:
        raise ValueError(f"a batch of {max_batch_size} pictures is none")
    powers = (1 << power for power in range(max_batch_size.bit_length()))
    return (*(size for size in powers if size < max_batch_size), max_batch_size)


def bucket(count: int, sizes: Sequence[int]) -> int:
    """Return the least of `sizes`, ascending, that holds `count` pictures.

    Raises ValueError if none does.
    """
    for size in sizes:
        if 0 < count <= size:
            return size
    raise ValueError(f"a batch of {count} pictures fits none of {tuple(sizes)}")
