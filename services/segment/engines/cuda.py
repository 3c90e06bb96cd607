"""ONNX Runtime on one GPU: batches of few sizes, whose logits stay on the GPU.

Written from the documented interface; no GPU was available to measure it on.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import structlog
from PIL import Image

from services.errors import EngineUnavailable
from services.segment.engines.check import GraphCheck
from services.segment.engines.device import Device, DeviceArray, DeviceOutput
from services.segment.engines.device_inputs import DeviceInputs
from services.segment.engines.engine import CUDA, TENSORRT, Floats, GpuOptions, Output
from services.segment.engines.gpu_calls import CALLS
from services.segment.engines.gpu_sessions import Sessions, preload, require_provider
from services.segment.engines.onnxruntime import run_plainly
from services.segment.engines.parity import gate
from services.segment.engines.pinned import cuda_runtime
from services.segment.manifest import Manifest, Resampler

_DEVICE = "cuda"
_ARENA = "gpu"
_ON_THE_FIRST_GPU = GpuOptions()
# Batches of drawn inputs, for each size, that compare a captured session with the plain one.
_COMPARED = 2
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Bucket:
    """Batches of one size: where they are gathered, and where a session reads them on the GPU.

    `outputs` is where the session writes, if that must be the same place each time.
    """

    host: Floats
    device: DeviceArray
    session: ort.InferenceSession
    binding: ort.IOBinding
    outputs: tuple[DeviceArray, DeviceArray] | None


class CudaEngine:
    """A model on one GPU, in the number types of its graph.

    Uses the CUDA provider, or TensorRT's for inputs of the model's own size. With CUDA graphs, each
    batch size has a session, which replays its first run.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        gpu: GpuOptions = _ON_THE_FIRST_GPU,
        *,
        max_batch_size: int = 1,
        tensorrt: bool = False,
    ) -> None:
        """Open the graph and compute batches of up to `max_batch_size`.

        If CUDA graphs cannot be captured, or give other results, they are not used, and the log
        says why. Raises InvalidArgument naming the device or the file with the reason, and
        EngineUnavailable if TensorRT's results differ from CUDA's.
        """
        require_provider(tensorrt=tensorrt)
        self.name = TENSORRT if tensorrt else CUDA
        self.precision = manifest.graph.precision
        self._gpu = gpu.number
        self._tensorrt = tensorrt
        self._manifest = manifest
        how = manifest.preprocessing
        self._shape = (3, how.height, how.width)
        self._check = GraphCheck(directory, manifest)
        self._sizes = bucket_sizes(max_batch_size if manifest.graph.dynamic_batch else 1)
        preload(tensorrt=tensorrt)
        self._sessions = Sessions(self._check, manifest, gpu)
        # No other object holds a session: sessions are closed while no other model's graph is
        # captured.
        self._plain = [self._sessions.plain()]
        self._buckets: dict[int, _Bucket] = {}
        closing = partial(CALLS.release, partial(_let_go, self._plain, self._buckets))
        weakref.finalize(self, closing).atexit = False
        self._runtime = cuda_runtime()
        self._runtime.use(self._gpu)
        self._device = Device(self._runtime, self._gpu)
        self._device.try_maps()
        self._pictures = DeviceInputs(self._device, how)
        self._pictures.attempt()
        # Changing sizes would make the arena as large as all of them together.
        self._shrinking = ort.RunOptions()
        self._shrinking.add_run_config_entry(
            "memory.enable_memory_arena_shrinkage", f"{_ARENA}:{self._gpu}"
        )
        self._thread: ThreadPoolExecutor | None = None
        if not (gpu.graphs and self._captures()):
            self._open_buckets()
        self._check.output(self)

    @property
    def max_batch_size(self) -> int | None:
        """Most pictures in a run."""
        return self._sizes[-1]

    @property
    def replays(self) -> bool:
        """Whether CUDA graphs compute the batches."""
        return self._thread is not None

    def prepared(
        self, picture: Image.Image, resampler: Resampler | None = None
    ) -> DeviceArray | None:
        """Return a picture's input on the GPU; None if the processor must make it."""
        return self._pictures.make(picture, resampler)

    def run(self, batch: Sequence[Floats | DeviceArray]) -> Sequence[Output]:
        """Compute pictures of (3, H, W) float32, all of one size, in host memory or on the GPU.

        A batch between two sizes is padded with earlier contents; its logits stay on the GPU until
        they are read. Pictures of another size than the manifest's are computed without page-locked
        memory, which would otherwise grow with every new size.
        """
        self._check.size(batch[0])
        if self._thread is None:
            return self._run(batch)
        return self._thread.submit(self._run, batch).result()

    def _run(self, batch: Sequence[Floats | DeviceArray]) -> Sequence[Output]:
        with CALLS.shared():
            # The calling thread may differ from the one that opened the engine.
            self._runtime.use(self._gpu)
            if batch[0].shape != self._shape:
                return self._run_plainly(batch)
            found = self._buckets[bucket(len(batch), self._sizes)]
            for index, tensor in enumerate(batch):
                if isinstance(tensor, np.ndarray):
                    found.host[index] = tensor
                    # Not with ONNX Runtime's update_inplace, which holds Python's lock meanwhile.
                    self._device.put(found.host[index], found.device[index])
                else:
                    self._device.move(tensor, found.device[index])
            # ONNX Runtime computes in its own stream, which waits for no other.
            self._device.wait()
            logits, labels = self._compute(found)
            return [
                DeviceOutput(self._device, logits[index], labels[index])
                for index in range(len(batch))
            ]

    def _run_plainly(self, batch: Sequence[Floats | DeviceArray]) -> Sequence[Output]:
        arrays = [one if isinstance(one, np.ndarray) else self._device.get(one) for one in batch]
        return run_plainly(self._plain[0], self._manifest.graph, arrays, self._shrinking)

    def _compute(self, found: _Bucket) -> tuple[DeviceArray, DeviceArray]:
        """Run a batch that is on the GPU; return its logits and labels, in memory of their own.

        They are still being read when the next run writes.
        """
        if found.outputs is None:
            outputs = self._bound(found.binding, found.device.shape)
            self._replay(found)
            return outputs
        self._replay(found)
        logits, labels = (self._device.empty(one.shape, one.dtype) for one in found.outputs)
        for source, into in zip(found.outputs, (logits, labels), strict=True):
            self._device.move(source, into)
        self._device.wait()
        return logits, labels

    @staticmethod
    def _replay(found: _Bucket) -> None:
        found.session.run_with_iobinding(found.binding)
        found.binding.synchronize_outputs()

    def _captures(self) -> bool:
        """Open the sessions with CUDA graphs; return whether they can be used.

        ONNX Runtime keeps a graph for the thread that captured it: all runs are in one thread.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cuda graphs")
        try:
            self._thread.submit(self._open_buckets, graphs=True).result()
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's share no class
            _log.warning("no CUDA graphs", model=self._manifest.name, why=str(error)[:500])
            self._thread.shutdown()
            self._thread = None
            return False
        _log.info("CUDA graphs", model=self._manifest.name, batches=self._sizes)
        return True

    def _open_buckets(self, *, graphs: bool = False) -> None:
        """Open the sessions for each batch size, and run each once. Raises as `__init__` does."""
        (session,) = self._plain
        if self._tensorrt and not graphs:
            session = self._sessions.tensorrt(self._sizes)
        dimensions = session.get_inputs()[0].shape
        with CALLS.shared():
            self._buckets.clear()
        for size in self._sizes:
            if graphs:
                session = self._sessions.captured(size, dimensions, tensorrt=self._tensorrt)
            self._buckets[size] = found = self._bucket(session, size, fixed=graphs)
            # ONNX Runtime runs the batch as often as necessary, captures it, and runs the capture.
            with CALLS.alone() if graphs else CALLS.shared():
                self._compute(found)
        if graphs or self._tensorrt:
            self._require_same()

    def _require_same(self) -> None:
        """Raise EngineUnavailable unless the sessions for each size agree with the plain session.

        Compares different batches of each size: if an input or output were stale, all of them would
        get the first one's logits.
        """
        needed = gate(self.precision, self._manifest.weights)
        drawn = np.random.default_rng(0)
        for size in self._sizes:
            for _ in range(_COMPARED):
                batch = list(drawn.standard_normal((size, *self._shape), dtype=np.float32))
                ours = self._run(batch)
                for one, other in zip(ours, self._run_plainly(batch), strict=True):
                    difference = float(np.abs(one.logits - other.logits).max())
                    largest = float(np.abs(other.logits).max())
                    if not needed.passes(difference, largest, agreement=1.0):
                        raise EngineUnavailable(
                            f"{self._manifest.name} is not served by {self.name}: of a batch of "
                            f"{size} logits differ by up to {difference:.3g} from those of the "
                            "CUDA provider; check NVIDIA_TF32_OVERRIDE, or use the engine "
                            "onnxruntime"
                        )

    def _bucket(self, session: ort.InferenceSession, size: int, *, fixed: bool) -> _Bucket:
        shape = (size, *self._shape)
        host = self._device.locked(shape, np.float32)
        host[:] = 0
        device = self._device.put(host)
        self._device.wait()
        binding = session.io_binding()
        where = (_DEVICE, self._gpu, np.float32, list(shape), device.address)
        binding.bind_input(self._manifest.graph.input, *where)
        outputs = self._bound(binding, shape) if fixed else None
        return _Bucket(host, device, session, binding, outputs)

    def _bound(
        self, binding: ort.IOBinding, shape: tuple[int, ...]
    ) -> tuple[DeviceArray, DeviceArray]:
        """Return the arrays into which runs write a batch's logits and labels from now on."""
        graph = self._manifest.graph
        small = (shape[0], *graph.logits_size(*shape[2:]))
        logits = self._device.empty((*small, len(self._manifest.classes)), np.float32)
        labels = self._device.empty(small, graph.labels_type)
        for name, array in ((graph.logits, logits), (graph.labels, labels)):
            where = (_DEVICE, self._gpu, array.dtype.type, list(array.shape), array.address)
            binding.bind_output(name, *where)
        return logits, labels


def _let_go(*held: list[ort.InferenceSession] | dict[int, _Bucket]) -> None:
    for one in held:
        one.clear()


def bucket_sizes(max_batch_size: int) -> tuple[int, ...]:
    """Return the powers of two below `max_batch_size`, and `max_batch_size` itself, ascending."""
    if max_batch_size < 1:
        raise ValueError(f"a batch of {max_batch_size} pictures is none")
    powers = (1 << power for power in range(max_batch_size.bit_length()))
    return (*(size for size in powers if size < max_batch_size), max_batch_size)


def bucket(count: int, sizes: Sequence[int]) -> int:
    """Return the least of `sizes`, ascending, that fits `count` pictures.

    Raises ValueError if none fits.
    """
    for size in sizes:
        if 0 < count <= size:
            return size
    raise ValueError(f"a batch of {count} pictures fits none of {tuple(sizes)}")
