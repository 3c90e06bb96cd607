"""The arg max beside the graph: numpy's, ties and all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from services.segment.engines.engine import Floats

pytest.importorskip("openvino")

from services.segment.engines.arg_max import arg_max

_FEW = st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 1.0, 2.0, np.inf])
_SHAPES = arrays.array_shapes(min_dims=3, max_dims=3, max_side=9)


@given(arrays.arrays(np.float32, _SHAPES, elements=_FEW))
def test_the_first_of_the_largest(logits: Floats) -> None:
    labels = np.empty(logits.shape[:2], np.uint8)
    arg_max(logits, labels)
    assert np.array_equal(labels, logits.argmax(2))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_number_does_no_harm(place: int) -> None:
    logits = np.array([[[1, 3, 2]]], np.float32)
    logits[..., place] = np.nan
    labels = np.empty((1, 1), np.uint16)
    arg_max(logits, labels)
    assert labels[0, 0] < 3
