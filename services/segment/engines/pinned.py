"""CUDA memory: a GPU's own, and page-locked memory that the GPU reads and writes directly.

Allocating either is slow, so blocks are reused: a block is returned when the last array that shows
it is gone, wherever that array was passed to.
"""

from __future__ import annotations

import ctypes
import math
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numba.cuda
import numpy as np
import onnxruntime as ort
from numpy.typing import DTypeLike, NDArray

from services.errors import InvalidArgument

_PORTABLE = 1  # cudaHostAllocPortable: page-locked for every GPU
_FUNCTIONS = (
    "cudaHostAlloc", "cudaFreeHost", "cudaMalloc", "cudaFree", "cudaSetDevice", "cudaMemcpy",
    "cudaStreamSynchronize",
)  # fmt: skip
_ANY_WAY = 4  # cudaMemcpyDefault: the addresses show which memory they are in

Allocate = Callable[[int], int]
"""Allocates a number of bytes; returns their address."""
Release = Callable[[int], None]
"""Frees the memory at an address."""


class Blocks:
    """Addresses of memory, each reused once its holder is gone. Any thread may ask.

    They are freed once nothing refers to this object or to any holder.
    """

    def __init__(self, allocate: Allocate, release: Release) -> None:
        self._allocate = allocate
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        # Not freed before the last array is gone, since arrays return their blocks to this object.
        # At the end of the process, the system frees the memory.
        weakref.finalize(self, _release_all, self._free, release).atexit = False

    def take(self, size: int) -> int:
        """Return the address of `size` bytes."""
        try:
            return self._free[size].pop()
        except IndexError:
            return self._allocate(size)

    def hold(self, holder: object, size: int, address: int) -> None:
        """Return those bytes to the pool when `holder` is gone."""
        weakref.finalize(holder, self._give_back, size, address).atexit = False

    def _give_back(self, size: int, address: int) -> None:
        # Called wherever the last array is dropped: an append is one step, and needs no lock.
        self._free[size].append(address)


class PageLocked(Blocks):
    """Arrays in page-locked memory."""

    def empty(self, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        """Return an array whose memory is reused once nothing refers to it."""
        dtype = np.dtype(kind)
        size = math.prod(shape) * dtype.itemsize
        address = self.take(size)
        block = (ctypes.c_byte * size).from_address(address)
        self.hold(block, size, address)
        return np.frombuffer(memoryview(block), dtype).reshape(shape)


class Scratch:
    """Memory of any size for a short time. Any thread may ask.

    There are as many blocks as are held at once, and each grows to the largest size requested of
    it, so changing sizes do not accumulate.
    """

    def __init__(self, allocate: Allocate, release: Release) -> None:
        self._allocate = allocate
        self._release = release
        self._free: list[tuple[int, int]] = []  # size and address
        self._lock = threading.Lock()
        weakref.finalize(self, _release_each, self._free, release).atexit = False

    @contextmanager
    def hold(self, size: int) -> Iterator[int]:
        """Yield the address of at least `size` bytes, valid until the end of the block."""
        block = self._take(size)
        try:
            yield block[1]
        finally:
            with self._lock:
                self._free.append(block)

    def _take(self, size: int) -> tuple[int, int]:
        outgrown = None
        with self._lock:
            fitting = [block for block in self._free if block[0] >= size]
            if fitting or self._free:
                block = min(fitting) if fitting else max(self._free)
                self._free.remove(block)
                if fitting:
                    return block
                outgrown = block
        if outgrown is not None:
            self._release(outgrown[1])
        return size, self._allocate(size)


def _release_each(free: list[tuple[int, int]], release: Release) -> None:
    for _, address in free:
        release(address)


def _release_all(free: Mapping[int, list[int]], release: Release) -> None:
    for addresses in free.values():
        for address in addresses:
            release(address)


@dataclass(frozen=True)
class Runtime:
    """The functions used from the CUDA runtime that ONNX Runtime has loaded.

    `use(gpu)` makes a GPU the calling thread's: without it, memory is locked, and a context of
    hundreds of megabytes opened, on GPU 0. `copy(target, source, size)` copies between addresses in
    any memory, without holding Python's lock; between two addresses of a GPU it does not wait for
    the copy. `wait` does, for copies and kernels. `allocate` returns page-locked memory,
    `on_device` memory of the calling thread's GPU. `kernel_array` turns an array there into a
    kernel's argument.
    """

    allocate: Allocate
    release: Release
    on_device: Allocate
    release_on_device: Release
    use: Callable[[int], None]
    copy: Callable[[int, int, int], None]
    wait: Callable[[], None]
    kernel_array: Callable[[Any], Any]


def cuda_runtime() -> Runtime:
    """Return the CUDA runtime's functions. Raises InvalidArgument if it is not installed."""
    major = str(getattr(ort, "cuda_version", "")).partition(".")[0]
    library = f"libcudart.so.{major}" if major else "libcudart.so"
    try:
        runtime = ctypes.CDLL(library)
    except OSError as error:
        raise InvalidArgument(
            "device", f"cuda is required, but the CUDA runtime can't be loaded: {error}"
        ) from error
    runtime.cudaHostAlloc.argtypes = [
        ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_uint,
    ]  # fmt: skip
    runtime.cudaFreeHost.argtypes = [ctypes.c_void_p]
    runtime.cudaMalloc.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
    runtime.cudaFree.argtypes = [ctypes.c_void_p]
    runtime.cudaSetDevice.argtypes = [ctypes.c_int]
    runtime.cudaMemcpy.argtypes = [
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
    ]  # fmt: skip
    runtime.cudaStreamSynchronize.argtypes = [ctypes.c_void_p]
    for name in _FUNCTIONS:
        getattr(runtime, name).restype = ctypes.c_int

    def allocate(size: int) -> int:
        address = ctypes.c_void_p()
        status = runtime.cudaHostAlloc(ctypes.byref(address), size, _PORTABLE)
        if status != 0 or address.value is None:
            raise MemoryError(f"{size} bytes of page-locked memory: CUDA's error {status}")
        return address.value

    def release(address: int) -> None:
        runtime.cudaFreeHost(address)  # nobody is left to report an error to

    def on_device(size: int) -> int:
        address = ctypes.c_void_p()
        status = runtime.cudaMalloc(ctypes.byref(address), size)
        if status != 0 or address.value is None:
            raise MemoryError(f"{size} bytes of a GPU's memory: CUDA's error {status}")
        return address.value

    def release_on_device(address: int) -> None:
        runtime.cudaFree(address)

    def use(gpu: int) -> None:
        _require(runtime.cudaSetDevice(gpu), f"GPU {gpu} cannot be used")

    def copy(target: int, source: int, size: int) -> None:
        _require(runtime.cudaMemcpy(target, source, size, _ANY_WAY), f"{size} bytes not copied")

    def wait() -> None:
        # The default stream contains the copies and numba's kernels, but not ONNX Runtime's work.
        _require(runtime.cudaStreamSynchronize(None), "a kernel or a copy failed")

    return Runtime(
        allocate, release, on_device, release_on_device, use, copy, wait, numba.cuda.as_cuda_array
    )


def _require(status: int, problem: str) -> None:
    """Raise RuntimeError, as ONNX Runtime does, for a CUDA error."""
    if status != 0:
        raise RuntimeError(f"{problem}: CUDA failure {status}")
