"""Label maps from the logits of windows, in the memory of a few windows for any picture size.

The computation is mmsegmentation's: each window's logits are interpolated to its own size, summed
in order where windows overlap, and divided by their number; the mean is interpolated to the label
map's size; its arg max is the label. None of this is ever held whole: the windows of a strip stay
in low resolution, and the mean is made a few rows at a time.

Pure: numpy and numba. The kernels release the GIL.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from services.segment.engines.arg_max import arg_max
from services.segment.engines.engine import Labels
from services.segment.images import top_classes, upsample
from services.segment.images.top_classes import TopClasses
from services.segment.windows.options import Plan, Settled, Size, Span

# Bytes of the rows of the mean that are made at a time.
_BLOCK_BYTES = 8 << 20
_Axis = tuple[NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class Band:
    """Columns of the resized picture, and the windows that cover them.

    A label lies between two columns, so the one at the end of `columns` is needed as well.
    """

    columns: Span
    windows: Sequence[int]


def least_bytes(how: Settled, logits: Size, classes: int) -> int:
    """Return the bytes of the narrowest strip, for windows whose logits are (h, w)."""
    if how.window is None:
        return _bytes(logits, classes)
    return _overlapping(how, 0) * _overlapping(how, 1) * _bytes(logits, classes)


def bands(plan: Plan, how: Settled, logits: Size, classes: int, budget: int) -> Iterator[Band]:
    """Yield parts of a picture whose strips take at most `budget` bytes, or are the narrowest.

    Windows at the border of two bands belong to both.
    """
    most = len(plan.columns)
    if how.window is not None:
        fitting = budget // (_overlapping(how, 0) * _bytes(logits, classes))
        most = max(fitting, _overlapping(how, 1))
    start, width = 0, plan.size[1]
    while start < width:
        first = next(index for index, span in enumerate(plan.columns) if span[1] > start)
        last = min(first + most, len(plan.columns))
        end = width if last == len(plan.columns) else plan.columns[last][0] - 1
        yield Band((start, end), range(first, last))
        start = end


class Strip:
    """Makes the labels of a band: (height, the band's share of the width)."""

    def __init__(
        self, plan: Plan, band: Band, size: Size, classes: int, kind: str, *, top: int = 0
    ) -> None:
        """`size` is that of the whole label map, `kind` its type; also makes `top` best classes."""
        self._plan, self._band, self._classes = plan, band, classes
        start, end = band.columns
        weights, cells = upsample.axis(plan.size[1], size[1])
        self.columns: Span = int(cells[start]), int(cells[end])
        """Columns of the label map."""
        first, last = self.columns
        self._left, self._width = start, min(end + 1, plan.size[1]) - start
        # The column after the band's last one has no labels of its own.
        outputs = np.minimum(cells[start : start + self._width + 1], last)
        self._horizontal: _Axis = weights[first:last], outputs - first
        self._vertical = upsample.axis(plan.size[0], size[0])
        self._counts = _counts(plan.rows, plan.size[0]), _counts(plan.columns, plan.size[1])
        shape = size[0], last - first
        self.labels: Labels = np.empty(shape, kind)
        self.top: TopClasses | None = None
        if top:
            self.top = TopClasses(np.empty((top, *shape), kind), np.empty((top, *shape), np.uint16))
        # Logits of windows that later rows need, by row and column.
        self._held: dict[int, list[tuple[int, NDArray[np.float32]]]] = {}
        self._done = 0
        self._before = np.empty((0, self._width, classes), np.float32)

    def put(self, row: int, column: int, logits: NDArray[np.float32]) -> None:
        """Add a window's logits (h, w, C); windows come in order."""
        self._held.setdefault(row, []).append((column, logits))

    def advance(self, row: int) -> bool:
        """Make some of the labels that no window after this row of windows affects.

        Returns whether more of them remain. A step takes milliseconds, so that other work of the
        same threads can run in between.
        """
        rows, height = self._plan.rows, self._plan.size[0]
        end = rows[row + 1][0] if row + 1 < len(rows) else height
        step = max(1, _BLOCK_BYTES // (4 * self._classes * self._width))
        if self._done < end:
            self._block(min(self._done + step, end))
        if self._done < end:
            return True
        for index in [index for index in self._held if rows[index][1] <= end]:
            del self._held[index]
        return False

    def _block(self, end: int) -> None:
        """Make the mean of some rows, and the labels between them and the row before."""
        before = len(self._before)
        mean = np.zeros((before + end - self._done, self._width, self._classes), np.float32)
        mean[:before] = self._before
        new = mean[before:]
        for row in sorted(self._held):
            for column, logits in self._held[row]:
                self._add(new, row, column, logits)
        vertical, horizontal = self._counts
        _divide(
            *(new, vertical[self._done : end]),
            horizontal[self._left : self._left + self._width],
        )
        low: Labels = np.empty(mean.shape[:2], self.labels.dtype)
        arg_max(mean, low)
        weights, cells = self._vertical
        first = self._done - before
        outputs = cells[first : end + 1].copy()
        if end < self._plan.size[0]:
            outputs[-1] = outputs[-2]  # the row below the last is not known yet
        upsample.fill(mean, low, (weights, outputs), self._horizontal, self.labels)
        if self.top is not None:
            planes = self.top.classes, self.top.probabilities
            top_classes.fill(mean, self.labels, (weights, outputs), self._horizontal, planes)
        self._before = mean[-1:].copy()
        self._done = end

    def _add(
        self, rows: NDArray[np.float32], row: int, column: int, logits: NDArray[np.float32]
    ) -> None:
        (top, bottom), (left, right) = self._plan.rows[row], self._plan.columns[column]
        if bottom <= self._done:
            return
        _add(
            *(rows, self._done, self._left, np.ascontiguousarray(logits), top, left),
            _cells(logits.shape[0], bottom - top),
            _cells(logits.shape[1], right - left),
        )


def warm() -> None:
    """Compile the kernels, or load them from numba's cache."""
    total, logits = np.zeros((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)
    one = np.ones(1, np.float32)
    _add(total, 0, 0, logits, 0, 0, _cells(1, 1), _cells(1, 1))
    _divide(total, one, one)


def _overlapping(how: Settled, axis: int) -> int:
    """Return the most windows that share a pixel along a side, including a moved one."""
    assert how.window is not None  # noqa: S101  (its callers look)
    return -(-how.window[axis] // how.stride[axis]) + 1


def _bytes(logits: Size, classes: int) -> int:
    return 4 * math.prod(logits) * classes


def _counts(windows: Sequence[Span], size: int) -> NDArray[np.float32]:
    """Return how many windows contain each pixel along a side."""
    counts = np.zeros(size, np.float32)
    for start, end in windows:
        counts[start:end] += 1
    return counts


def _cells(size: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each output's lower neighbour among `size` inputs, and the weight of the upper one."""
    weights, outputs = upsample.axis(size, wanted)
    return np.repeat(np.arange(size), np.diff(outputs)), weights


@njit(cache=True, nogil=True)
def _add(total, first, start, logits, top, left, vertical, horizontal):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Add a window at (`top`, `left`), interpolated, to rows from `first`, columns from `start`."""
    (tops, downs), (lefts, afters) = vertical, horizontal
    height, width, classes = logits.shape
    one = np.float32(1)
    for y in range(max(first, top), min(first + total.shape[0], top + tops.size)):
        above = tops[y - top]
        below, down = min(above + 1, height - 1), downs[y - top]
        up = one - down
        for x in range(max(start, left), min(start + total.shape[1], left + lefts.size)):
            near = lefts[x - left]
            far, after = min(near + 1, width - 1), afters[x - left]
            before = one - after
            for k in range(classes):
                over = before * logits[above, near, k] + after * logits[above, far, k]
                under = before * logits[below, near, k] + after * logits[below, far, k]
                total[y - first, x - start, k] += up * over + down * under


@njit(cache=True, nogil=True)
def _divide(total, vertical, horizontal):  # type: ignore[no-untyped-def]
    """Divide every pixel by the number of its windows."""
    for y in range(total.shape[0]):
        for x in range(total.shape[1]):
            count = vertical[y] * horizontal[x]
            if count != np.float32(1):
                for k in range(total.shape[2]):
                    total[y, x, k] /= count
