"""A constant piece of work, timed to see whether the machine is at full speed.

Half of the work is arithmetic in the cache and half copies memory, on as many threads as the model
that is being timed. It lasts many slices of the scheduler, and its figure is the median of its
parts: a short run, or the shortest part, would miss load that alternates with it.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

KERNEL = "arithmetic-and-copies@1"
"""Name and version of the work: times of different versions are not compared."""

SECONDS = 0.25
"""Least duration of the work."""

_LEAST_PARTS = 9
_CACHED = 1 << 13  # float32 numbers: 32 KiB, in the first cache of a core
_PASSES = 1200  # over the cached numbers in each part, some 3 ms
_COPIED = 1 << 21  # float32 numbers: 8 MiB, beyond a core's own caches
_COPIES = 2


def kernel_seconds(threads: int, seconds: float = SECONDS) -> float:
    """Run the work on `threads` threads; return the median seconds of a part.

    A part ends when all threads have done their share, like an operator of a model.
    """
    rows = [_Share() for _ in range(threads)]
    parts: list[float] = []
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(_Share.work, rows))  # allocate memory and start threads
        end = time.perf_counter() + seconds
        while len(parts) < _LEAST_PARTS or time.perf_counter() < end:
            start = time.perf_counter()
            list(pool.map(_Share.work, rows))
            parts.append(time.perf_counter() - start)
    return statistics.median(parts)


class _Share:
    """One thread's arrays. NumPy releases the interpreter's lock while it works on them."""

    def __init__(self) -> None:
        self._numbers: npt.NDArray[np.float32] = np.full(_CACHED, 1.0, np.float32)
        self._source: npt.NDArray[np.float32] = np.zeros(_COPIED, np.float32)
        self._target: npt.NDArray[np.float32] = np.zeros(_COPIED, np.float32)

    def work(self) -> None:
        numbers = self._numbers
        for _ in range(_PASSES):
            np.multiply(numbers, np.float32(0.999), out=numbers)
            np.add(numbers, np.float32(0.001), out=numbers)
        for _ in range(_COPIES):
            np.copyto(self._target, self._source)
