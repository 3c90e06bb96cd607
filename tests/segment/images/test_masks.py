"""COCO's run-length encoding, read back by a decoder that shares nothing with the encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.segment.images.masks import Mask, encode_masks


def decoded(counts: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """Read COCO's string: five bits a character, the sixth bit for more, the last fifth a sign."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = character - 48
        assert 0 <= bits < 64
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits >> 4 & 1) << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    assert shift == 0
    assert all(run > 0 for run in runs[1:])
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height).T


def check(labels: NDArray[Any], classes: int) -> None:
    masks = encode_masks(labels, classes)
    present = [label for label in np.unique(labels).tolist() if label < classes]
    assert [mask.class_id for mask in masks] == present
    for mask in masks:
        expected = labels == mask.class_id
        assert np.array_equal(decoded(mask.counts, *labels.shape), expected)
        assert mask.area == expected.sum()


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        # What pycocotools 2.0 writes. A count from the fourth on is less the one two before it.
        ([[1]], b"01"),
        ([[0, 1], [0, 1]], b"22"),
        ([[0, 1, 0], [0, 0, 1]], b"2120"),
        ([[1, 0, 1, 0, 0, 0, 0, 0, 1, 1]], b"011041"),
        ([[0] * 3 + [1] * 40 + [0] * 2 + [1]], b"3X12iN"),
        ([[1] * 1000] * 1000, b"0Pb`n0"),
    ],
)
def test_counts_are_those_of_pycocotools(rows: list[list[int]], counts: bytes) -> None:
    labels = np.array(rows, dtype=np.uint8)
    masks = {mask.class_id: mask for mask in encode_masks(labels, 2)}
    assert masks[1] == Mask(1, counts, int(labels.sum()))
    assert np.array_equal(decoded(counts, *labels.shape), labels == 1)


@settings(deadline=None, max_examples=200)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(1, 300),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
)
def test_every_mask_is_read_back(
    shape: tuple[int, int], classes: int, block: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes + 1, shape, dtype=np.uint16)  # one of them no class
    labels = coarse.repeat(block, 0).repeat(block, 1)[: shape[0], : shape[1]]
    check(labels, classes)
    if classes < 256:
        check(labels.astype(np.uint8), classes)


def test_long_runs_take_several_characters() -> None:
    labels = np.zeros((1000, 1000), dtype=np.uint8)
    labels[500:, 999] = 1
    labels[3, 3] = 1
    check(labels, 2)
