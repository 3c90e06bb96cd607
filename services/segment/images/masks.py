"""A label map as one mask for each class, in COCO's compressed run-length encoding.

A mask's counts are the lengths of its alternating runs of 0 and 1, columns first, beginning with 0.
From the fourth on, each count has the count two before it subtracted. A count is written five bits
a character, the lowest first, from "0" up. One walk over the map makes all masks, since each run
belongs to one class; a first walk finds the sizes. Pure: numpy, numba.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from services.segment.engines.engine import Labels


@dataclass(frozen=True)
class Mask:
    """The pixels of the class `class_id`: `area`, at least 1, and the compressed counts."""

    class_id: int
    counts: bytes
    area: int


def encode_masks(labels: Labels, classes: int) -> list[Mask]:
    """Return the masks of the classes that are present, by id.

    Labels of `classes` or above are not classes.
    """
    flat = np.ascontiguousarray(labels.T).reshape(-1)
    sizes, areas = _walk(flat, np.zeros(classes, dtype=np.int64), np.empty(0, dtype=np.uint8))
    ends = np.cumsum(sizes)
    starts = ends - sizes
    text = np.empty(int(ends[-1]), dtype=np.uint8)
    _walk(flat, starts, text)
    return [
        Mask(index, text[starts[index] : ends[index]].tobytes(), int(areas[index]))
        for index in np.flatnonzero(areas).tolist()
    ]


def warm() -> None:
    """Compile the kernel for both label types, or load it from numba's cache."""
    encode_masks(np.zeros((1, 1), dtype=np.uint8), 1)
    encode_masks(np.zeros((1, 1), dtype=np.uint16), 1)


@njit(cache=True, nogil=True)
def _walk(labels, starts, text):  # type: ignore[no-untyped-def]
    """Write each class's characters from its start, if `text` is not empty; count them.

    Returns the number of characters and of pixels for each class.
    """
    classes = starts.size
    sizes = np.zeros(classes, dtype=np.int64)
    areas = np.zeros(classes, dtype=np.int64)
    ends = np.zeros(classes, dtype=np.int64)  # of each class's last run
    # The last two counts of each class, and the number of its counts.
    zeros = np.zeros(classes, dtype=np.int64)
    ones = np.zeros(classes, dtype=np.int64)
    runs = np.zeros(classes, dtype=np.int64)
    begin = 0
    while begin < labels.size:
        label = labels[begin]
        end = begin + 1
        while end < labels.size and labels[end] == label:
            end += 1
        index = np.int64(label)
        if index < classes:
            gap, length = begin - ends[index], end - begin
            before = runs[index]
            at = starts[index] + sizes[index]
            # The first gap and the first two runs are written as they are.
            at = _write(gap - zeros[index] if before > 1 else gap, text, at)
            at = _write(length - ones[index] if before > 0 else length, text, at)
            sizes[index] = at - starts[index]
            areas[index] += length
            ends[index] = end
            zeros[index], ones[index] = gap, length
            runs[index] += 1
        begin = end
    for k in range(classes):
        if runs[k] > 0 and ends[k] < labels.size:
            gap = labels.size - ends[k]
            at = starts[k] + sizes[k]
            at = _write(gap - zeros[k] if runs[k] > 1 else gap, text, at)
            sizes[k] = at - starts[k]
    return sizes, areas


@njit(cache=True, nogil=True)
def _write(value, text, at):  # type: ignore[no-untyped-def]
    """Write one number at `at`, if `text` is not empty; return the index after it."""
    more = True
    while more:
        bits = value & 0x1F
        value >>= 5
        more = value != (-1 if bits & 0x10 else 0)
        if text.size:
            text[at] = 48 + (bits | 0x20 if more else bits)
        at += 1
    return at
