"""Upsampling and arg max in one pass, without the (height, width, classes) tensor.

The labels equal bilinear interpolation of the logits (align_corners=False, as in
torch.nn.functional.interpolate) followed by arg max over the classes, the first class winning a
tie. Two facts make this two orders of magnitude cheaper:

* Bilinear weights are convex. If the four low-resolution corners around a cell of output pixels
  have one arg max, that class wins in the whole cell: nothing is interpolated.
* Otherwise a class can win only if its largest corner reaches the smallest corner of every class
  that is the arg max of a corner. Few classes do; only those are interpolated.

Ties: in exact arithmetic both shortcuts give the first class, like arg max. In float32 two
different values may round to one; then the label is a class whose interpolated value equals the
largest one, though perhaps not the first such class. This was seen once in 12.6 million pixels.

Pure: numpy and numba. The kernel releases the GIL. It is compiled on first use and cached on disk;
`warm` compiles it before a service takes requests.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from services.segment.engines.engine import Labels, Output

_HALF = np.float32(0.5)
# This many pixels of a cell are computed at once: four vectors of eight.
_LANES = 32


def label_map(output: Output, height: int, width: int) -> Labels:
    """Return the (height, width) label map of one picture, made where its logits are."""
    labels = output.upsampled(height, width)
    if labels is None:
        return upsample_argmax(output.logits, output.labels, height, width)
    return labels


def upsample_argmax(logits: NDArray[np.float32], labels: Labels, height: int, width: int) -> Labels:
    """Return the (height, width) label map of one picture.

    `logits` is (h, w, C) float32, `labels` its arg max (h, w). The result has the type of `labels`.
    Values that are not finite give meaningless labels, never an error. Raises ValueError if shapes
    or types do not fit, or a label is not a class.
    """
    if logits.ndim != 3 or labels.shape != logits.shape[:2] or 0 in logits.shape:
        raise ValueError(f"logits {logits.shape} and labels {labels.shape} do not fit")
    if logits.dtype != np.float32 or labels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"logits {logits.dtype}, labels {labels.dtype}: not the required types")
    if height < 1 or width < 1:
        raise ValueError(f"output size {height} x {width} is not positive")
    if labels.max() >= logits.shape[2]:
        raise ValueError(f"label {labels.max()}: there are {logits.shape[2]} classes")
    out: Labels = np.empty((height, width), dtype=labels.dtype)
    fill(
        np.ascontiguousarray(logits),
        np.ascontiguousarray(labels),
        axis(logits.shape[0], height),
        axis(logits.shape[1], width),
        out,
    )
    return out


def warm() -> None:
    """Compile the kernel for both label types, or load it from numba's cache."""
    logits = np.zeros((2, 2, 2), dtype=np.float32)
    upsample_argmax(logits, np.zeros((2, 2), dtype=np.uint8), 3, 3)
    upsample_argmax(logits, np.zeros((2, 2), dtype=np.uint16), 3, 3)


def axis(size: int, wanted: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return torch's weights of the upper neighbour, and the outputs of each low-resolution cell.

    The weights are float32 (wanted,); outputs spans[i] up to spans[i + 1] lie between the inputs i
    and min(i + 1, size - 1).
    """
    scale = np.float32(size) / np.float32(wanted)
    source = scale * (np.arange(wanted, dtype=np.float32) + _HALF) - _HALF
    source = np.maximum(source, np.float32(0))
    lower = np.minimum(np.floor(source), np.float32(size - 1))
    weights = np.clip(source - lower, np.float32(0), np.float32(1))
    spans = np.searchsorted(lower, np.arange(size + 1, dtype=np.float32)).astype(np.int64)
    return weights, spans


@njit(cache=True, nogil=True)
def fill(logits, labels, vertical, horizontal, out):  # type: ignore[no-untyped-def]
    """Fill `out`, one row of low-resolution cells after the other.

    `vertical` and `horizontal` come from `axis`. Cells without outputs are skipped, so that parts
    of a map can be filled. Arrays are passed whole, with indices into them: each view would be
    reference-counted, atomically, for each cell.
    """
    height, width, classes = logits.shape
    (downs, rows), (afters, columns) = vertical, horizontal
    pixels = np.diff(rows).max() * np.diff(columns).max()
    pixels += -pixels % _LANES
    down, after = np.zeros(pixels, dtype=np.float32), np.zeros(pixels, dtype=np.float32)
    best, winners = np.empty(pixels, dtype=np.float32), np.empty(pixels, dtype=np.int32)
    reaching = np.zeros(classes + -classes % 8, dtype=np.uint8)
    eights = reaching.view(np.uint64)
    candidates = np.empty(classes, dtype=np.int32)
    mixed = np.empty(width, dtype=np.int64)
    for top in range(height):
        y0, y1 = rows[top], rows[top + 1]
        if y0 == y1:
            continue
        bottom = min(top + 1, height - 1)
        cells = _runs(labels, top, bottom, columns, out, y0, mixed)
        for y in range(y0 + 1, y1):
            for x in range(out.shape[1]):
                out[y, x] = out[y0, x]
        for cell in range(cells):
            left = mixed[cell]
            x0, x1 = columns[left], columns[left + 1]
            if x0 == x1:
                continue
            corners = (top, bottom, left, min(left + 1, width - 1))
            _reach(logits, corners, _bound(logits, labels, corners), reaching)
            count = _collect(reaching, eights, candidates)
            size = 0
            for y in range(y0, y1):
                for x in range(x0, x1):
                    down[size], after[size] = downs[y], afters[x]
                    size += 1
            size += -size % _LANES
            for pixel in range(size):
                best[pixel] = -np.inf
                # Remains if no value compares: logits that are NaN.
                winners[pixel] = labels[top, left]
            for candidate in range(count):
                k = candidates[candidate]
                _contest(k, _around(logits, corners, k), size, down, after, best, winners)
            pixel = 0
            for y in range(y0, y1):
                for x in range(x0, x1):
                    out[y, x] = winners[pixel]
                    pixel += 1


@njit(cache=True, nogil=True)
def _runs(labels, top, bottom, columns, out, y, mixed):  # type: ignore[no-untyped-def]  # noqa: PLR0917  # flat, see fill
    """Fill row `y` of `out` where the corners of cells have one label, run by run.

    Puts the columns of the other cells into `mixed`; returns their number.
    """
    width = labels.shape[1]
    cells = left = 0
    while left < width:
        label = labels[top, left]
        end = left
        while end < width and labels[top, end] == label == labels[bottom, end]:
            end += 1
        # The corners left up to end have one label, and so have the cells between them.
        last = end if end == width else end - 1
        if last > left:
            for x in range(columns[left], columns[last]):
                out[y, x] = label
            left = last
        else:
            mixed[cells] = left
            cells += 1
            left += 1
    return cells


@njit(cache=True, nogil=True)
def _around(logits, corners, k):  # type: ignore[no-untyped-def]
    """Return class `k` at the corners of a cell: the upper two, then the lower two."""
    top, bottom, left, right = corners
    return (
        logits[top, left, k],
        logits[top, right, k],
        logits[bottom, left, k],
        logits[bottom, right, k],
    )


@njit(cache=True, nogil=True)
def _bound(logits, labels, corners):  # type: ignore[no-untyped-def]
    """Return a value that the winner reaches everywhere in a cell.

    This is the largest, over the labels of the corners, of a class's smallest corner.
    """
    top, bottom, left, right = corners
    bound = np.float32(-np.inf)
    for k in (labels[top, left], labels[top, right], labels[bottom, left], labels[bottom, right]):
        a, b, c, d = _around(logits, corners, k)
        bound = max(bound, min(a, b, c, d))
    return bound


@njit(cache=True, nogil=True)
def _reach(logits, corners, bound, reaching):  # type: ignore[no-untyped-def]
    """Mark the classes whose largest corner reaches the bound.

    Comparisons are compiled to vector instructions here; `max`, which handles NaN, is not.
    """
    for k in range(logits.shape[2]):
        a, b, c, d = _around(logits, corners, k)
        above = a if a > b else b
        below = c if c > d else d
        reaching[k] = (above if above > below else below) >= bound


@njit(cache=True, nogil=True)
def _collect(reaching, eights, candidates):  # type: ignore[no-untyped-def]
    """Put the marked classes into `candidates`, in order; return their number.

    `eights` are the same bytes, eight at a time: nearly all of them are 0.
    """
    count = 0
    for eight in range(eights.size):
        if eights[eight]:
            for k in range(8 * eight, 8 * eight + 8):
                if reaching[k]:
                    candidates[count] = k
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _contest(k, around, size, down, after, best, winners):  # type: ignore[no-untyped-def]  # noqa: PLR0917  # flat, see fill
    """Give class `k` the pixels of a cell where its value exceeds the best so far."""
    top_left, top_right, bottom_left, bottom_right = around
    one = np.float32(1)
    for pixel in range(size):
        up, before = one - down[pixel], one - after[pixel]
        above = before * top_left + after[pixel] * top_right
        below = before * bottom_left + after[pixel] * bottom_right
        value = up * above + down[pixel] * below
        wins = value > best[pixel]
        best[pixel] = value if wins else best[pixel]
        winners[pixel] = k if wins else winners[pixel]
