"""The best classes and their probabilities against the softmax of every class at every pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.segment.images.top_classes import SCALE, top_classes
from services.segment.images.upsample import upsample_argmax
from tests.segment.images.test_upsample import brute_force, outputs, sides


def softmax(values: NDArray[np.float32]) -> NDArray[np.float64]:
    powers = np.exp(values.astype(np.float64) - values.max(axis=2, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=2, keepdims=True)
    return shares


@settings(deadline=None, max_examples=150)
@given(
    st.tuples(sides, sides, st.integers(1, 30)),
    st.tuples(outputs, outputs),
    st.integers(1, 16),
    st.tuples(
        st.integers(0, 2**32 - 1), st.floats(0.01, 60), st.sampled_from([np.uint8, np.uint16])
    ),
)
def test_equals_the_softmax_of_all_classes(
    shape: tuple[int, int, int], size: tuple[int, int], k: int, draw: tuple[int, float, Any]
) -> None:
    k = min(k, shape[2])
    seed, spread, kind = draw
    logits = (np.random.default_rng(seed).normal(size=shape) * spread).astype(np.float32)
    labels = upsample_argmax(logits, logits.argmax(2).astype(kind), *size)
    found = top_classes(logits, labels, k)
    assert found.classes.shape == found.probabilities.shape == (k, *size)
    assert found.classes.dtype == kind
    assert np.array_equal(found.classes[0], labels)
    shares = softmax(brute_force(logits, *size))
    chosen = np.take_along_axis(shares, found.classes.transpose(1, 2, 0).astype(np.intp), 2)
    # One unit for the rounding of a sum in float32.
    np.testing.assert_allclose(found.probabilities.transpose(1, 2, 0), chosen * SCALE, atol=1.001)
    expected = -np.sort(-shares, axis=2)[..., :k]
    np.testing.assert_allclose(chosen, expected, rtol=1e-4 * spread + 1e-5, atol=1e-9)
    assert all(len(set(ids)) == k for ids in found.classes.reshape(k, -1).T.tolist())


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_equal_classes_come_in_their_order(h: int, w: int, k: int, seed: int) -> None:
    """Small integers at a power of two: float32 is exact, so ties are true ones."""
    logits = np.random.default_rng(seed).integers(0, 3, (h, w, 5)).astype(np.float32)
    labels = upsample_argmax(logits, logits.argmax(2).astype(np.uint8), 4 * h, 4 * w)
    found = top_classes(logits, labels, k)
    order = np.argsort(-brute_force(logits, 4 * h, 4 * w), axis=2, kind="stable")[..., :k]
    assert np.array_equal(found.classes.transpose(1, 2, 0), order)


def test_one_class_is_certain() -> None:
    found = top_classes(np.zeros((2, 3, 1), np.float32), np.zeros((5, 5), np.uint8), 1)
    assert (found.probabilities == SCALE).all()


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_give_some_class(value: float) -> None:
    logits = np.random.default_rng(3).normal(size=(4, 4, 3)).astype(np.float32)
    logits[1, 2] = value
    labels = upsample_argmax(logits, logits.argmax(2).astype(np.uint8), 9, 9)
    found = top_classes(logits, labels, 3)
    assert (np.sort(found.classes, axis=0) == np.arange(3)[:, None, None]).all()
