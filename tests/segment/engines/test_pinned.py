"""Memory that is used again once nothing shows it, and never before."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest

from services.errors import InvalidArgument
from services.segment.engines.pinned import PageLocked, Scratch, cuda_runtime


class Ordinary:
    """Keeps the blocks that it gives, and notes which were freed."""

    def __init__(self) -> None:
        self.blocks: list[ctypes.Array[ctypes.c_byte]] = []
        self.freed: list[int] = []

    def __call__(self, size: int) -> int:
        self.blocks.append((ctypes.c_byte * size)())
        return ctypes.addressof(self.blocks[-1])


@pytest.mark.slow
def test_a_block_is_used_again_when_its_last_view_is_gone() -> None:
    memory = Ordinary()
    pool = PageLocked(memory, memory.freed.append)
    first = pool.empty((2, 3, 4), np.float32)
    assert first.shape == (2, 3, 4)
    assert first.dtype == np.float32
    first[:] = 7
    view = first[1, :2]
    del first
    gc.collect()
    second = pool.empty((24,), np.float32)
    second[:] = 0
    assert len(memory.blocks) == 2
    assert (view == 7).all()
    address = view.ctypes.data
    del view
    gc.collect()
    third = pool.empty((4, 6), np.float32)
    assert len(memory.blocks) == 2
    assert third.ctypes.data <= address < third.ctypes.data + third.nbytes


def test_blocks_are_of_one_size_each() -> None:
    memory = Ordinary()
    pool = PageLocked(memory, memory.freed.append)
    pool.empty((8,), np.uint8)
    assert pool.empty((9,), np.uint8).shape == (9,)
    assert [len(block) for block in memory.blocks] == [8, 9]


@pytest.mark.slow
def test_blocks_are_freed_once_neither_the_pool_nor_an_array_is_left() -> None:
    memory = Ordinary()
    pool = PageLocked(memory, memory.freed.append)
    kept, gone = pool.empty((8,), np.uint8), pool.empty((8,), np.uint8)
    pool.empty((9,), np.uint8)
    kept[:] = 7
    del gone
    gc.collect()
    assert not memory.freed  # they are used again
    del pool
    gc.collect()
    assert not memory.freed  # an array is still read
    assert (kept == 7).all()
    del kept
    gc.collect()
    assert sorted(memory.freed) == sorted(map(ctypes.addressof, memory.blocks))
    assert len(memory.freed) == 3


def test_memory_for_a_moment_stays_as_large_as_it_was_needed() -> None:
    memory = Ordinary()
    scratch = Scratch(memory, memory.freed.append)
    with scratch.hold(8) as first, scratch.hold(100) as second:
        assert first != second
    with scratch.hold(8) as again:
        assert again == first
    with scratch.hold(50) as again:
        assert again == second
    assert not memory.freed
    with scratch.hold(200):  # the largest grows
        assert memory.freed == [second]
    for size in range(201, 300):
        with scratch.hold(size):
            assert len(memory.blocks) - len(memory.freed) == 2
    del scratch
    gc.collect()
    assert len(memory.freed) == len(memory.blocks)


def test_without_the_cuda_runtime_it_says_so() -> None:
    try:
        ctypes.CDLL("libcudart.so")
    except OSError:
        with pytest.raises(InvalidArgument, match="the CUDA runtime can't be loaded"):
            cuda_runtime()
    else:
        pytest.skip("there is a CUDA runtime here")
