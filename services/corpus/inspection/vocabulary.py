"""How many different words there are, estimated in bounded memory.

The K smallest of the words' 64-bit hashes are kept (Bar-Yossef et al. 2002; Beyer et al. 2007, "On
synopses for distinct-value estimation under multiset operations"): where the K-th is at u of the
hashes' range, there are about (K - 1) / u words. The standard error is 1 / sqrt(K - 2), 1.6 %; up
to K words the number is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEPT = 4096
_RANGE = 2.0**64


class Distinct:
    """Counts different words by their hashes, uint64."""

    def __init__(self) -> None:
        self._kept: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self._new: list[NDArray[np.uint64]] = []
        self._waiting = 0
        self._limit = np.uint64(2**64 - 1)

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """Take words into account."""
        smaller = hashes[hashes <= self._limit]
        if smaller.size:
            self._new.append(smaller)
            self._waiting += smaller.size
            if self._waiting > 2 * KEPT:
                self._settle()

    def count(self) -> int:
        """Return the number of different words: exact up to `KEPT`, else estimated."""
        self._settle()
        if self._kept.size < KEPT:
            return self._kept.size
        return round((KEPT - 1) / (float(self._kept[-1]) / _RANGE))

    def _settle(self) -> None:
        self._kept = np.unique(np.concatenate([self._kept, *self._new]))[:KEPT]
        self._new, self._waiting = [], 0
        if self._kept.size == KEPT:
            self._limit = self._kept[-1]
