"""A batch's logits stay on a GPU; label maps are made from them there and copied.

A kernel makes the maps only if its results equalled the processor's when the model was opened.
Otherwise the logits are copied, and the processor makes the maps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import structlog
from numpy.typing import DTypeLike, NDArray

from services.segment.engines.engine import Floats, Labels, Output
from services.segment.engines.gpu_calls import CALLS
from services.segment.engines.pinned import Blocks, PageLocked, Release, Runtime, Scratch
from services.segment.images.upsample import upsample_argmax
from services.segment.kernels import upsample

# Block sizes are rounded up, by an eighth at most: otherwise every picture size would need its own.
_STEPS_AN_OCTAVE = 8
_LEAST_BYTES = 1 << 12
# Share of labels that the trial requires to agree: that of fp32, since rounding may differ.
_LEAST_AGREEMENT = 0.9999
_log = structlog.get_logger(__name__)


class _Holder:
    """Keeps a block in use: every array that shows the block refers to this."""


@dataclass(frozen=True)
class DeviceArray:
    """An array in a GPU's memory, contiguous. Kernels of any library accept it."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    holder: _Holder

    @property
    def nbytes(self) -> int:
        """Size in bytes of the elements shown."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, index: int) -> DeviceArray:
        """Return one element along the first axis."""
        step = self.nbytes // self.shape[0]
        return DeviceArray(self.address + index * step, self.shape[1:], self.dtype, self.holder)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
        }


class Device:
    """One GPU: arrays in its memory, copies, and label maps. Any thread may call it."""

    def __init__(self, runtime: Runtime, gpu: int) -> None:
        self._runtime = runtime
        self.gpu = gpu
        """The GPU's number."""
        self.kernel_array = runtime.kernel_array
        """Turns an array on this GPU into a kernel's argument."""
        free, unlock = _put_off(runtime.release_on_device), _put_off(runtime.release)
        self._scratch = Scratch(runtime.on_device, free)
        self._blocks = Blocks(runtime.on_device, free)
        self._locked = PageLocked(runtime.allocate, unlock)
        self.makes_maps = False
        """Whether label maps are made on the GPU."""

    def empty(self, shape: tuple[int, ...], kind: DTypeLike) -> DeviceArray:
        """Return an array whose memory is reused once nothing refers to it."""
        dtype = np.dtype(kind)
        size = block_bytes(math.prod(shape) * dtype.itemsize)
        with CALLS.shared():
            self._runtime.use(self.gpu)
            holder, address = _Holder(), self._blocks.take(size)
        self._blocks.hold(holder, size, address)
        return DeviceArray(address, shape, dtype, holder)

    @contextmanager
    def scratch(
        self, shapes: Sequence[tuple[int, ...]], kind: DTypeLike
    ) -> Iterator[list[DeviceArray]]:
        """Yield one array for each shape, valid until the end of the block."""
        dtype = np.dtype(kind)
        sizes = [math.prod(shape) * dtype.itemsize for shape in shapes]
        self._runtime.use(self.gpu)
        with CALLS.shared(), self._scratch.hold(block_bytes(sum(sizes))) as address:
            starts = [address + sum(sizes[:index]) for index in range(len(sizes))]
            yield [
                DeviceArray(start, shape, dtype, _Holder())
                for start, shape in zip(starts, shapes, strict=True)
            ]

    def locked(self, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """Return an array in page-locked memory."""
        with CALLS.shared():
            return self._locked.empty(shape, kind)

    def put(self, values: NDArray[Any], into: DeviceArray | None = None) -> DeviceArray:
        """Copy contiguous values to the GPU."""
        array = into or self.empty(values.shape, values.dtype)
        with CALLS.shared():
            self._runtime.use(self.gpu)
            self._runtime.copy(array.address, values.ctypes.data, values.nbytes)
        return array

    def move(self, source: DeviceArray, into: DeviceArray) -> None:
        """Copy an array to another place on the GPU; `wait` returns when the copy is done."""
        with CALLS.shared():
            self._runtime.use(self.gpu)
            self._runtime.copy(into.address, source.address, source.nbytes)

    def wait(self) -> None:
        """Wait for copies on the GPU and for kernels."""
        with CALLS.shared():
            self._runtime.use(self.gpu)
            self._runtime.wait()

    def get(self, array: DeviceArray, *, locked: bool = False) -> NDArray[Any]:
        """Copy values from the GPU; `locked`, for few sizes, copies into page-locked memory."""
        empty = self._locked.empty if locked else np.empty
        with CALLS.shared():
            self._runtime.use(self.gpu)
            found: NDArray[Any] = empty(array.shape, array.dtype)
            self._runtime.copy(found.ctypes.data, array.address, array.nbytes)
        return found

    def label_map(
        self, logits: DeviceArray, labels: DeviceArray, height: int, width: int
    ) -> Labels:
        """Return the (height, width) label map of logits (h, w, C) and their arg max (h, w)."""
        axes = [
            upsample.positions(*sides) for sides in zip(labels.shape, (height, width), strict=True)
        ]
        lower, weights = (self.put(np.concatenate(parts)) for parts in zip(*axes, strict=True))
        out = self.empty((height, width), labels.dtype)
        with CALLS.shared():
            given = [self.kernel_array(one) for one in (logits, labels, lower, weights, out)]
            upsample.launch(given, (height, width), gpu=self.gpu)
            return self.get(out)

    def try_maps(self) -> None:
        """Make one map here and on the processor, and make maps here from now on if they agree."""
        rng = np.random.default_rng(0)
        logits = rng.normal(size=(8, 12, 19)).astype(np.float32).repeat(2, 0).repeat(2, 1)
        labels = logits.argmax(2).astype(np.uint8)
        size = 61, 83
        try:
            found = self.label_map(self.put(logits), self.put(labels), *size)
        except Exception as error:  # noqa: BLE001  # numba's share no class
            _log.warning("label maps are made on the processor", gpu=self.gpu, why=repr(error))
            return
        agreement = float((found == upsample_argmax(logits, labels, *size)).mean())
        self.makes_maps = agreement >= _LEAST_AGREEMENT
        _log.info("label maps on the GPU", gpu=self.gpu, agreement=agreement, used=self.makes_maps)


class DeviceOutput(Output):
    """A picture's output on a GPU; copied when it is read. For one thread at a time."""

    def __init__(self, device: Device, logits: DeviceArray, labels: DeviceArray) -> None:
        self._device = device
        self._on_device = logits, labels
        self._copied: tuple[Floats | None, Labels | None] = None, None

    @property
    def logits(self) -> Floats:
        """Logits (h, w, C) float32."""
        found, labels = self._copied
        if found is None:
            found = self._device.get(self._on_device[0], locked=True)
            self._copied = found, labels
        return found

    @property
    def labels(self) -> Labels:
        """Labels (h, w)."""
        logits, found = self._copied
        if found is None:
            found = self._device.get(self._on_device[1])
            self._copied = logits, found
        return found

    def upsampled(self, height: int, width: int) -> Labels | None:
        """Return the label map of another size; None if the GPU makes none."""
        if not self._device.makes_maps:
            return None
        return self._device.label_map(*self._on_device, height, width)


def _put_off(release: Release) -> Release:
    """Free memory while no CUDA graph is captured: freeing would spoil a capture."""
    return lambda address: CALLS.release(partial(release, address))


def block_bytes(size: int) -> int:
    """Return the bytes of the block for `size`: rounded up to an eighth of a power of two."""
    if size <= _LEAST_BYTES:
        return _LEAST_BYTES
    step = (1 << (size - 1).bit_length() - 1) // _STEPS_AN_OCTAVE
    return -(-size // step) * step
