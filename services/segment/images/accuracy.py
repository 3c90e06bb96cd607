"""How well label maps agree with masks, by mmsegmentation's definitions. Pure: numpy.

Everything is computed from counts of pixels, which add up: pairs may be counted in any order, in
parts and in parallel, with figures equal to the last bit. Over the pixels of all pairs that a mask
does not leave out, and for each class,

    IoU      = common / (mask + predicted - common)      mIoU its mean over classes with either
    accuracy = common / mask                             mAcc its mean over classes in a mask
    aAcc     = sum of common / sum of mask
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.segment.engines.engine import Labels

Mask = Labels
Counts = NDArray[np.int64]
# In place of a class id: a pixel that is left out, and a value without meaning.
LEFT_OUT, NO_CLASS = -1, -2
# Counting takes some 30 bytes a pixel, so it is done on this many pixels at a time.
_CHUNK = 1 << 20


@dataclass(frozen=True)
class MaskMeaning:
    """The meaning of a mask's values for a model of `classes` classes.

    A value is a class id; with `zero_is_none`, 0 is left out and other values are a class id plus
    1. `ignore` is the value to leave out; None means the largest of the mask's type.
    """

    classes: int
    zero_is_none: bool = False
    ignore: int | None = None

    def ids(self, mask: Mask) -> NDArray[np.int32]:
        """Return the class id of each value of the mask's type, or LEFT_OUT, or NO_CLASS."""
        values = 256**mask.dtype.itemsize
        ids = np.arange(values, dtype=np.int32) - int(self.zero_is_none)
        ids[ids >= self.classes] = NO_CLASS
        # With `zero_is_none`, 0 became -1, which is LEFT_OUT.
        ignore = values - 1 if self.ignore is None else self.ignore
        if ignore < values:
            ids[ignore] = LEFT_OUT
        return ids

    def unknown_value(self, mask: Mask) -> int | None:
        """Return a mask value that is neither a class nor left out; None if there is none."""
        ids = self.ids(mask)
        for part in _chunks(mask):
            wrong = ids[part] == NO_CLASS
            if wrong.any():
                return int(part[wrong].min())
        return None


@dataclass(frozen=True, eq=False)
class Tally:
    """Pixels by class, and the number left out; `a + b` is what both counted together.

    `mask`, `predicted` and `common` are (classes,). `confusion` is (classes, classes), with rows
    for the mask's class and columns for the prediction's, or None if it was not requested. `lower`
    and `higher` count pixels whose label is one below and one above the mask's class.
    """

    mask: Counts
    predicted: Counts
    common: Counts
    ignored: int
    confusion: Counts | None
    lower: int = 0
    higher: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.mask + other.mask,
            self.predicted + other.predicted,
            self.common + other.common,
            self.ignored + other.ignored,
            None
            if self.confusion is None or other.confusion is None
            else self.confusion + other.confusion,
            self.lower + other.lower,
            self.higher + other.higher,
        )

    @property
    def pixels(self) -> int:
        """Number of pixels that count."""
        return int(self.mask.sum())


@dataclass(frozen=True)
class Figures:
    """Shares in [0, 1]; those of a class are None if there is nothing to divide by.

    `one_lower` and `one_higher` are the pixel accuracy with all of the mask's classes one lower or
    higher: if far larger than the accuracy, the mask's values were misread.
    """

    pixel_accuracy: float
    one_lower: float
    one_higher: float
    mean_iou: float
    mean_accuracy: float
    iou: list[float | None]
    accuracy: list[float | None]


def empty_tally(classes: int, *, confusion: bool) -> Tally:
    """Return the tally of no pixels."""
    none = np.zeros(classes, np.int64)
    matrix = np.zeros((classes, classes), np.int64) if confusion else None
    return Tally(none, none, none, 0, matrix)


def count(mask: Mask, labels: Labels, meaning: MaskMeaning, *, confusion: bool) -> Tally:
    """Count the pixels of a (height, width) mask and of the label map of that size.

    Values that `meaning.unknown_value` finds are left out: call that first. Raises ValueError if
    the shapes differ or a label is not below `meaning.classes`.
    """
    if mask.shape != labels.shape:
        raise ValueError(f"a mask of {mask.shape} and labels of {labels.shape}")
    classes = meaning.classes
    if labels.size and int(labels.max()) >= classes:
        raise ValueError(f"label {int(labels.max())} of {classes} classes")
    ids = meaning.ids(mask)
    total = empty_tally(classes, confusion=confusion)
    for values, found in zip(_chunks(mask), _chunks(labels), strict=True):
        wanted = ids[values]
        counts = wanted >= 0
        total += _tally(wanted[counts], found[counts], classes, values.size, confusion=confusion)
    return total


def figures(tally: Tally) -> Figures:
    """Return the figures of the counts. Raises ValueError if no pixel was counted."""
    if not tally.pixels:
        raise ValueError("no pixel counts")
    either = tally.mask + tally.predicted - tally.common
    iou, accuracy = _shares(tally.common, either), _shares(tally.common, tally.mask)
    return Figures(
        pixel_accuracy=int(tally.common.sum()) / tally.pixels,
        one_lower=tally.lower / tally.pixels,
        one_higher=tally.higher / tally.pixels,
        mean_iou=_mean(iou),
        mean_accuracy=_mean(accuracy),
        iou=iou,
        accuracy=accuracy,
    )


def _tally(
    wanted: NDArray[np.int32], found: Labels, classes: int, pixels: int, *, confusion: bool
) -> Tally:
    matrix = None
    if confusion:
        cells = wanted.astype(np.int64) * classes + found
        matrix = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    return Tally(
        np.bincount(wanted, minlength=classes),
        np.bincount(found, minlength=classes),
        np.bincount(wanted[wanted == found], minlength=classes),
        pixels - wanted.size,
        matrix,
        int(np.count_nonzero(found + np.int32(1) == wanted)),
        int(np.count_nonzero(found == wanted + np.int32(1))),
    )


def _chunks(values: Labels) -> Iterator[Labels]:
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        yield flat[start : start + _CHUNK]


def _shares(parts: Counts, wholes: Counts) -> list[float | None]:
    pairs = zip(parts.tolist(), wholes.tolist(), strict=True)
    return [part / whole if whole else None for part, whole in pairs]


def _mean(shares: list[float | None]) -> float:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known)
