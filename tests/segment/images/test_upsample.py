"""upsample_argmax against interpolating every class and taking the arg max."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.segment.images.upsample import upsample_argmax


def brute_force(logits: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return (height, width, C): every class interpolated, in float32, in torch's order."""

    def axis(
        size: int, wanted: int
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
        scale = np.float32(size) / np.float32(wanted)
        half = np.float32(0.5)
        source = np.maximum(scale * (np.arange(wanted, dtype=np.float32) + half) - half, 0)
        lower = np.minimum(source.astype(np.intp), size - 1)
        return lower, np.minimum(lower + 1, size - 1), (source - lower).astype(np.float32)

    top, bottom, down = axis(logits.shape[0], height)
    left, right, after = axis(logits.shape[1], width)
    down, after = down[:, None, None], after[None, :, None]
    one = np.float32(1)
    above = (one - after) * logits[top][:, left] + after * logits[top][:, right]
    below = (one - after) * logits[bottom][:, left] + after * logits[bottom][:, right]
    value: NDArray[np.float32] = (one - down) * above + down * below
    return value


sides = st.integers(1, 9)
outputs = st.integers(1, 40)


@settings(deadline=None, max_examples=150)
@given(
    st.tuples(sides, sides, st.integers(1, 12)),
    st.tuples(outputs, outputs),
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.uint8, np.uint16]),
    st.floats(0.1, 30),
)
def test_label_has_the_largest_interpolated_value(
    shape: tuple[int, int, int], size: tuple[int, int], seed: int, kind: Any, spread: float
) -> None:
    h, w, classes = shape
    rng = np.random.default_rng(seed)
    # Regions of one class with noise inside, as real logits have.
    favoured = rng.integers(0, classes, (h // 3 + 1, w // 3 + 1)).repeat(3, 0).repeat(3, 1)[:h, :w]
    logits = rng.normal(size=(h, w, classes)).astype(np.float32)
    np.put_along_axis(logits, favoured[..., None], np.float32(spread), axis=2)
    labels = upsample_argmax(logits, logits.argmax(2).astype(kind), *size)
    assert labels.shape == size
    assert labels.dtype == kind
    values = brute_force(logits, *size)
    chosen = np.take_along_axis(values, labels[..., None].astype(np.intp), 2)[..., 0]
    # numba may fuse a multiplication with an addition: one rounding less than numpy.
    np.testing.assert_allclose(chosen, values.max(axis=2), rtol=0, atol=1e-5 * spread)
    ordered = np.sort(values, axis=2)
    if classes > 1:
        clear = ordered[..., -1] - ordered[..., -2] > 1e-5 * spread
        assert np.array_equal(labels[clear], values.argmax(2)[clear])


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_first_class_wins_ties(h: int, w: int, factor: int, seed: int) -> None:
    """Small integers at a power of two: float32 is exact, so ties are true ones."""
    logits = np.random.default_rng(seed).integers(0, 3, (h, w, 5)).astype(np.float32)
    size = h * 2**factor, w * 2**factor
    labels = upsample_argmax(logits, logits.argmax(2).astype(np.uint8), *size)
    assert np.array_equal(labels, brute_force(logits, *size).argmax(2))


def test_more_classes_than_a_byte_holds() -> None:
    logits = np.random.default_rng(1).normal(size=(5, 4, 700)).astype(np.float32)
    labels = upsample_argmax(logits, logits.argmax(2).astype(np.uint16), 11, 17)
    assert labels.max() > 255
    assert (labels == brute_force(logits, 11, 17).argmax(2)).mean() > 0.99


@pytest.mark.torch
@pytest.mark.parametrize("size", [(64, 48), (16, 12), (7, 5), (1, 1), (1, 300), (131, 1)])
def test_agrees_with_torch(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(2).normal(size=(16, 12, 40)).astype(np.float32)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(logits).permute(2, 0, 1)[None],
        size=size,
        mode="bilinear",
        align_corners=False,
    )
    labels = upsample_argmax(logits, logits.argmax(2).astype(np.uint8), *size)
    assert np.array_equal(labels, resized[0].argmax(0).numpy())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_give_some_class(value: float) -> None:
    logits = np.random.default_rng(3).normal(size=(4, 4, 3)).astype(np.float32)
    logits[1, 2] = value
    labels = upsample_argmax(logits, logits.argmax(2).astype(np.uint8), 9, 9)
    assert labels.max() < 3


@pytest.mark.parametrize(
    ("logits", "labels", "size"),
    [
        (np.zeros((2, 2, 3), np.float32), np.zeros((2, 3), np.uint8), (4, 4)),
        (np.zeros((2, 2), np.float32), np.zeros((2, 2), np.uint8), (4, 4)),
        (np.zeros((2, 2, 3), np.float64), np.zeros((2, 2), np.uint8), (4, 4)),
        (np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.int64), (4, 4)),
        (np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.uint8), (0, 4)),
        (np.zeros((2, 0, 3), np.float32), np.zeros((2, 0), np.uint8), (4, 4)),
        (np.zeros((2, 2, 3), np.float32), np.full((2, 2), 3, np.uint8), (4, 4)),
    ],
)
def test_what_does_not_fit_is_refused(
    logits: NDArray[np.float32], labels: NDArray[np.uint8], size: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match=r"logits|size|classes"):
        upsample_argmax(logits, labels, *size)
