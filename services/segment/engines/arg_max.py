"""The arg max of logits, several times faster than numpy's and the graphs' own.

Pure: numpy and numba. The kernel releases the GIL.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from services.segment.engines.engine import Floats, Labels


def arg_max(logits: Floats, labels: Labels) -> None:
    """Fill `labels` (h, w) with the first class of the largest logit; `logits` is (h, w, C).

    Values that are not finite give labels without meaning, never an error.
    """
    _fill(logits, labels)


def warm() -> None:
    """Compile the kernel for both label types, or load it from numba's cache."""
    logits = np.zeros((1, 1, 2), np.float32)
    arg_max(logits, np.zeros((1, 1), np.uint8))
    arg_max(logits, np.zeros((1, 1), np.uint16))


@njit(cache=True, nogil=True)
def _fill(logits, labels):  # type: ignore[no-untyped-def]
    """Find the largest, then where it is: two loops that vectorise, unlike one that does both."""
    height, width, classes = logits.shape
    for i in range(height):
        for j in range(width):
            pixel = logits[i, j]
            largest = pixel[0]
            for k in range(1, classes):
                largest = max(largest, pixel[k])
            first = 0
            while pixel[first] < largest:
                first += 1
            labels[i, j] = first
