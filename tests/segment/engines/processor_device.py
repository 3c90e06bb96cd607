"""The engine of GPUs with the processor as its device, and ordinary memory."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from services.segment.engines import cuda, gpu_sessions
from services.segment.engines.device import DeviceArray
from services.segment.engines.engine import Floats
from services.segment.engines.pinned import Runtime
from tests.segment.tiny_model import Tiny


class OrdinaryMemory:
    """Gives memory as the CUDA runtime does, and knows what is held."""

    def __init__(self) -> None:
        self.blocks: dict[int, ctypes.Array[ctypes.c_byte]] = {}
        self.used: list[int] = []
        self.copied: list[int] = []
        self.on_device: set[int] = set()
        self.filled: set[int] = set()
        # Whether what is on the device already is replaced.
        self.copies = True

    def allocate(self, size: int) -> int:
        block = (ctypes.c_byte * size)()
        self.blocks[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def allocate_on_device(self, size: int) -> int:
        address = self.allocate(size)
        self.on_device.add(address)
        return address

    def release(self, address: int) -> None:
        del self.blocks[address]

    def use(self, gpu: int) -> None:
        self.used.append(gpu)

    def copy(self, target: int, source: int, size: int) -> None:
        self.copied.append(size)
        if self.copies or target not in self.filled:
            ctypes.memmove(target, source, size)
        self.filled.update({target} & self.on_device)

    def wait(self) -> None:
        """Nothing is done later."""


def on_processor(array: DeviceArray) -> Any:
    """What a simulated kernel takes."""
    block = (ctypes.c_byte * array.nbytes).from_address(array.address)
    return np.frombuffer(memoryview(block), array.dtype).reshape(array.shape)


def use_processor(monkeypatch: pytest.MonkeyPatch) -> OrdinaryMemory:
    monkeypatch.setattr(gpu_sessions, "CUDA_PROVIDER", "CPUExecutionProvider")
    monkeypatch.setattr(cuda, "_DEVICE", "cpu")
    memory = OrdinaryMemory()
    monkeypatch.setattr(cuda, "_ARENA", "cpu")
    monkeypatch.setattr(cuda, "cuda_runtime", lambda: runtime_of(memory))
    return memory


def runtime_of(memory: OrdinaryMemory) -> Runtime:
    return Runtime(
        *(memory.allocate, memory.release, memory.allocate_on_device, memory.release),
        *(memory.use, memory.copy, memory.wait, on_processor),
    )


def pictures(tiny: Tiny, count: int, seed: int = 5) -> list[Floats]:
    rng = np.random.default_rng(seed)
    return list(rng.normal(size=(count, 3, tiny.height, tiny.width)).astype(np.float32))
