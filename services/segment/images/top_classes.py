"""The best classes of each pixel with their probabilities, without the (H, W, classes) tensor.

A probability is the softmax over all classes of the logits that give the labels, interpolated at
the pixel as in `services.segment.images.upsample`. Pure: numpy and numba; the kernel releases the
GIL.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from services.segment.engines.engine import Labels
from services.segment.images.upsample import axis

# Scale of the probabilities: 1 becomes this.
SCALE = 65_535


@dataclass(frozen=True)
class TopClasses:
    """Class ids, of the label map's type, and probabilities times SCALE: (k, height, width) each.

    The first plane of `classes` is the label map.
    """

    classes: Labels
    probabilities: NDArray[np.uint16]


def top_classes(logits: NDArray[np.float32], labels: Labels, k: int) -> TopClasses:
    """Return the `k` best classes of every pixel of a label map, or all if there are fewer.

    `logits` is (h, w, C) float32, `labels` the (height, width) map made from them. Ties come in
    order of class, after the label. Logits that are not finite give meaningless values, never an
    error.
    """
    height, width = labels.shape
    classes: Labels = np.empty((k, height, width), dtype=labels.dtype)
    probabilities = np.empty((k, height, width), dtype=np.uint16)
    fill(
        np.ascontiguousarray(logits),
        np.ascontiguousarray(labels),
        axis(logits.shape[0], height),
        axis(logits.shape[1], width),
        (classes, probabilities),
    )
    return TopClasses(classes, probabilities)


def warm() -> None:
    """Compile the kernel for both label types, or load it from numba's cache."""
    logits = np.zeros((1, 1, 1), dtype=np.float32)
    top_classes(logits, np.zeros((1, 1), dtype=np.uint8), 1)
    top_classes(logits, np.zeros((1, 1), dtype=np.uint16), 1)


@njit(cache=True, nogil=True)
def fill(logits, labels, vertical, horizontal, planes):  # type: ignore[no-untyped-def]
    """Fill both planes, (k, height, width), pixel by pixel, as `upsample.fill` fills a map."""
    classes, probabilities = planes
    height, width, count = logits.shape
    (downs, rows), (afters, columns) = vertical, horizontal
    values = np.empty(count, dtype=np.float32)
    best = np.empty(classes.shape[0], dtype=np.int64)
    for i in range(height):
        below = min(i + 1, height - 1)
        for y in range(rows[i], rows[i + 1]):
            for j in range(width):
                right = min(j + 1, width - 1)
                around = (logits[i, j], logits[i, right], logits[below, j], logits[below, right])
                for x in range(columns[j], columns[j + 1]):
                    _interpolate(around, downs[y], afters[x], values)
                    _rank(values, np.int64(labels[y, x]), best)
                    largest = values[best[0]]
                    total = _exponentials(values, largest)
                    for k in range(best.size):
                        share = np.exp(values[best[k]] - largest) / total
                        classes[k, y, x] = best[k]
                        if share >= np.float32(0):  # excludes NaN
                            share = min(share, np.float32(1))  # a rounded sum may be too small
                            probabilities[k, y, x] = round(share * SCALE)
                        else:
                            probabilities[k, y, x] = 0


@njit(cache=True, nogil=True)
def _interpolate(around, down, after, values):  # type: ignore[no-untyped-def]
    top_left, top_right, bottom_left, bottom_right = around
    one = np.float32(1)
    up, before = one - down, one - after
    for c in range(values.size):
        top = before * top_left[c] + after * top_right[c]
        bottom = before * bottom_left[c] + after * bottom_right[c]
        values[c] = up * top + down * bottom


@njit(cache=True, nogil=True)
def _rank(values, label, best):  # type: ignore[no-untyped-def]
    """Put the label and then the indices of the largest other values into `best`."""
    best[0] = label
    held = 1
    for c in range(values.size):
        if c == label or best.size == 1:
            continue
        value = values[c]
        if held < best.size:
            held += 1
        elif not value > values[best[held - 1]]:
            continue
        slot = held - 1
        while slot > 1 and value > values[best[slot - 1]]:
            best[slot] = best[slot - 1]
            slot -= 1
        best[slot] = c


@njit(cache=True, nogil=True, fastmath=True)
def _exponentials(values, largest):  # type: ignore[no-untyped-def]
    """Return the sum of exp(value - largest), each exact to about six digits.

    Each is 2 ** x of an integer part, put into the exponent's bits, times a polynomial on [0, 1).
    The loop has no call and no branch, so eight classes are summed at a time.
    """
    total = np.float32(0)
    for c in range(values.size):
        x = max((values[c] - largest) * np.float32(1.4426950408889634), np.float32(-100))
        whole = np.floor(x)
        part = x - whole
        power = np.float32(1.8775767e-3)
        power = power * part + np.float32(8.9893397e-3)
        power = power * part + np.float32(5.5826318e-2)
        power = power * part + np.float32(2.4015361e-1)
        power = power * part + np.float32(6.9315308e-1)
        power = power * part + np.float32(9.9999994e-1)
        exponent = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23))
        total += power * exponent.view(np.float32)
    return total
