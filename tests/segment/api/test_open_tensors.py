"""Tensors of the Open Inference Protocol as pure functions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import InvalidArgument
from services.segment.api.open_tensors import from_numbers, from_raw, split


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_what_was_joined_is_split_again(elements: list[bytes]) -> None:
    raw = b"".join(len(element).to_bytes(4, "little") + element for element in elements)
    assert split(raw, len(elements), "x") == elements


@given(st.binary(max_size=40), st.integers(1, 5))
def test_any_bytes_are_split_whole_or_refused(raw: bytes, count: int) -> None:
    try:
        elements = split(raw, count, "x")
    except InvalidArgument as error:
        assert error.field == "x"  # noqa: PT017  # not every input is refused
    else:
        assert len(elements) == count
        assert sum(map(len, elements)) + 4 * count == len(raw)


def test_raw_elements_are_not_copied_and_numbers_mean_the_same() -> None:
    tensor = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    raw = tensor.tobytes()
    for index, (seen, typed) in enumerate(
        zip(
            from_raw(raw, tensor.shape, "x"),
            from_numbers(tensor.ravel().tolist(), tensor.shape, "x"),
            strict=True,
        )
    ):
        assert np.shares_memory(seen(), np.frombuffer(raw, np.uint8))
        np.testing.assert_array_equal(seen(), tensor[index])
        np.testing.assert_array_equal(typed(), tensor[index])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_found_anywhere(value: float) -> None:
    for place in np.ndindex(1, 3, 2, 2):
        tensor = np.zeros((1, 3, 2, 2), np.float32)
        tensor[place] = value
        (picture,) = from_raw(tensor.tobytes(), tensor.shape, "x")
        with pytest.raises(InvalidArgument, match="picture 0 has a value"):
            picture()
