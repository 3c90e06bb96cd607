"""A permutation that a key decides, the same on every machine and with every version of numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def permutation(size: int, *key: int) -> npt.NDArray[np.int64]:
    """Permute 0 .. size - 1 by sorting their hashes under `key`, whole numbers below 2^64.

    The hash is SplitMix64's (Steele, Lea, Flood 2014), which is a bijection of 64 bits: no two
    numbers have the same.
    """
    seed = 0
    for part in key:
        seed = _mix(seed ^ (part & _MASK))
    values = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(seed)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(values ^ (values >> np.uint64(31)), kind="stable")


def _mix(value: int) -> int:
    value = (value + _GOLDEN) & _MASK
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31
