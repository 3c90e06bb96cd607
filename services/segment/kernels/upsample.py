"""`images.upsample` on a GPU: makes label maps next to the logits, so that only maps are copied.

A thread computes one pixel and skips the same work as the processor: if the four corners of its
cell have one label, the pixel gets it; otherwise a class is interpolated only if its largest corner
is at least the winner's smallest value in the cell. The arithmetic has the processor's order, but
the compiler may fuse a product and a sum, which rounds once instead of twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from services.segment.images.upsample import axis

THREADS = (32, 8)
"""Pixels of a block, along the width and the height."""


def positions(size: int, wanted: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return each output's lower neighbour among `size` inputs, and the weight of the upper one."""
    weights, spans = axis(size, wanted)
    return np.repeat(np.arange(size, dtype=np.int32), np.diff(spans)), weights


def launch(arrays: Sequence[Any], size: tuple[int, int], *, gpu: int = 0) -> None:
    """Fill the last of the arrays, (height, width) of `size`, on a GPU.

    The others are logits (h, w, C), labels (h, w), and `positions` of the heights and of the
    widths. All are arrays that a kernel accepts: on the GPU, or numpy's under the simulator.
    """
    cuda.select_device(gpu)  # type: ignore[no-untyped-call]
    height, width = size
    blocks = -(-width // THREADS[0]), -(-height // THREADS[1])
    _label[blocks, THREADS](*arrays)


@cuda.jit
def _label(logits, labels, lower, weights, out):  # type: ignore[no-untyped-def]
    x, y = cuda.grid(2)  # type: ignore[attr-defined]
    height, width = out.shape
    if y >= height or x >= width:
        return
    top, left = lower[y], lower[height + x]
    bottom = min(top + 1, logits.shape[0] - 1)
    right = min(left + 1, logits.shape[1] - 1)
    label = labels[top, left]
    if labels[top, right] == label and labels[bottom, left] == label:  # noqa: SIM102  # one load less
        if labels[bottom, right] == label:
            out[y, x] = label
            return
    bound = np.float32(-np.inf)
    for corner in range(4):
        k = labels[bottom if corner & 2 else top, right if corner & 1 else left]
        above = min(logits[top, left, k], logits[top, right, k])
        below = min(logits[bottom, left, k], logits[bottom, right, k])
        bound = max(bound, min(above, below))
    one = np.float32(1)
    down, after = weights[y], weights[height + x]
    up, before = one - down, one - after
    best = np.float32(-np.inf)
    winner = np.int32(label)  # remains if no value compares: logits that are NaN
    for k in range(logits.shape[2]):
        a, b = logits[top, left, k], logits[top, right, k]
        c, d = logits[bottom, left, k], logits[bottom, right, k]
        if a >= bound or b >= bound or c >= bound or d >= bound:
            value = up * (before * a + after * b) + down * (before * c + after * d)
            if value > best:
                best, winner = value, np.int32(k)
    out[y, x] = winner
