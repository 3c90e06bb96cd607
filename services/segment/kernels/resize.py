"""Pillow's bilinear resize on a GPU, byte for byte, with the model's input made in the same pass.

Pillow takes the mean of the pixels under a triangle, along one side and then the other, with
weights of 22 bits and bytes in between. All of that is integer arithmetic, so the order of a GPU's
threads changes nothing; the order of the sides does, and Pillow 13 changed that.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import PIL
from numba import cuda
from numpy.typing import NDArray

THREADS = (32, 8)
BITS = 22
_HEIGHTS_MAY_BE_FIRST = int(PIL.__version__.partition(".")[0]) >= 13
_HALF = 1 << (BITS - 1)
# Pictures come in few sizes.
_SIZES_KEPT = 64


@lru_cache(_SIZES_KEPT)
def weights(size: int, wanted: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return each output's first input, and the weights of that input and the following ones.

    All outputs have the same number of weights; those past an output's last input are 0.
    """
    scale = size / wanted
    support = max(scale, 1.0)
    centers = (np.arange(wanted) + 0.5) * scale
    first = np.maximum((centers - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centers + support + 0.5).astype(np.int64), size)
    taps = np.arange(int((last - first).max()))
    distance = np.abs((taps + first[:, None] - centers[:, None] + 0.5) * (1.0 / support))
    shares = np.where(taps < (last - first)[:, None], np.maximum(1.0 - distance, 0.0), 0.0)
    # Pillow adds the weights one after the other.
    shares /= np.cumsum(shares, axis=1)[:, -1:]
    return first.astype(np.int32), (shares * (1 << BITS) + 0.5).astype(np.int32)


def heights_first(size: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Return whether this Pillow resizes a (height, width) picture's heights before its widths.

    Pillow 13 does if the heights lose more than twice as many pixels.
    """
    lost = size[0] - wanted[0]
    return _HEIGHTS_MAY_BE_FIRST and lost > 0 and lost > 2 * (size[1] - wanted[1])


def launch(  # flat, as kernels are
    pixels: Any,
    first: Any,
    taps: Any,
    out: Any,
    size: tuple[int, int],
    *,
    heights: bool,
    gpu: int = 0,
) -> None:
    """Resize one side of (height, width, 3) bytes into `out`, of `size`, on a GPU."""
    cuda.select_device(gpu)  # type: ignore[no-untyped-call]
    _resize[_blocks(size), THREADS](pixels, first, taps, out, heights)


def launch_last(  # noqa: PLR0917  # flat, as kernels are
    pixels: Any,
    first: Any,
    taps: Any,
    table: Any,
    out: Any,
    size: tuple[int, int],
    *,
    heights: bool,
    gpu: int = 0,
) -> None:
    """Resize the other side into `out` (3, height, width) float32, of `size`.

    `table` (3, 256) is the result for each byte of a channel.
    """
    cuda.select_device(gpu)  # type: ignore[no-untyped-call]
    _resize_to_values[_blocks(size), THREADS](pixels, first, taps, table, out, heights)


def _blocks(size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    return -(-width // THREADS[0]), -(-height // THREADS[1])


@cuda.jit(device=True)  # type: ignore[no-untyped-call]
def _mean(pixels, first, taps, y, x, channel, heights):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Return a byte: the mean of the pixels under an output's triangle."""
    total = np.int32(_HALF)
    place = y if heights else x
    for tap in range(taps.shape[1]):
        weight = taps[place, tap]
        if weight != 0:  # past the last input there is no pixel
            row = first[y] + tap if heights else y
            column = x if heights else first[x] + tap
            total += weight * np.int32(pixels[row, column, channel])
    return min(max(total >> BITS, 0), 255)


@cuda.jit
def _resize(pixels, first, taps, out, heights):  # type: ignore[no-untyped-def]
    x, y = cuda.grid(2)  # type: ignore[attr-defined]
    if y < out.shape[0] and x < out.shape[1]:
        for channel in range(3):
            out[y, x, channel] = _mean(pixels, first, taps, y, x, channel, heights)


@cuda.jit
def _resize_to_values(pixels, first, taps, table, out, heights):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    x, y = cuda.grid(2)  # type: ignore[attr-defined]
    if y < out.shape[1] and x < out.shape[2]:
        for channel in range(3):
            byte = _mean(pixels, first, taps, y, x, channel, heights)
            out[channel, y, x] = table[channel, byte]
