"""Batches are filled up to the next of a few sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.segment.engines.cuda import bucket, bucket_sizes


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        (1, (1,)),
        (2, (1, 2)),
        (8, (1, 2, 4, 8)),
        (12, (1, 2, 4, 8, 12)),
        (33, (1, 2, 4, 8, 16, 32, 33)),
    ],
)
def test_sizes_are_powers_of_two_and_the_largest(most: int, sizes: tuple[int, ...]) -> None:
    assert bucket_sizes(most) == sizes


@given(st.integers(1, 256), st.data())
def test_the_next_size_holds_the_batch_and_less_than_doubles_it(
    most: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, most))
    size = bucket(count, bucket_sizes(most))
    assert count <= size <= most
    assert size < 2 * count


@pytest.mark.parametrize("count", [0, 9])
def test_a_batch_that_fits_none(count: int) -> None:
    with pytest.raises(ValueError, match="fits none"):
        bucket(count, bucket_sizes(8))


def test_no_batch_has_no_sizes() -> None:
    with pytest.raises(ValueError, match="is none"):
        bucket_sizes(0)
