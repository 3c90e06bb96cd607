from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.bpb.windows import Window, rolling_windows

# Ten tokens, 0 to 9, prefix -1: written down by hand from the definition.
GOLDEN = [
    (3, 4, 1, [([-1, 0, 1], [0, 1, 2])]),
    (4, 4, 1, [([-1, 0, 1, 2], [0, 1, 2, 3])]),
    (5, 4, 1, [([-1, 0, 1, 2], [0, 1, 2, 3]), ([0, 1, 2, 3], [4])]),
    (
        10,
        4,
        1,
        [
            ([-1, 0, 1, 2], [0, 1, 2, 3]),
            ([3, 4, 5, 6], [4, 5, 6, 7]),
            ([5, 6, 7, 8], [8, 9]),
        ],
    ),
    (
        7,
        4,
        2,
        [
            ([-1, 0, 1, 2], [0, 1, 2, 3]),
            ([2, 3, 4, 5], [4, 5, 6]),
        ],
    ),
    (6, 4, 4, [([-1, 0, 1, 2], [0, 1, 2, 3]), ([0, 1, 2, 3], [4]), ([1, 2, 3, 4], [5])]),
    (3, 1, 1, [([-1], [0]), ([0], [1]), ([1], [2])]),
    (0, 4, 1, []),
]


@pytest.mark.parametrize(("count", "max_length", "context_length", "expected"), GOLDEN)
def test_windows_written_down_by_hand(
    count: int, max_length: int, context_length: int, expected: list[tuple[list[int], list[int]]]
) -> None:
    windows = rolling_windows(range(count), -1, max_length, context_length)
    assert [(list(w.inputs), list(w.targets)) for w in windows] == expected


@given(st.data(), st.integers(0, 200), st.integers(1, 40))
def test_every_token_is_scored_once_after_the_token_before_it(
    data: st.DataObject, count: int, max_length: int
) -> None:
    context_length = data.draw(st.integers(1, max_length))
    tokens = list(range(count))
    windows = list(rolling_windows(tokens, -1, max_length, context_length))
    assert [target for window in windows for target in window.targets] == tokens
    for index, window in enumerate(windows):
        assert 1 <= len(window.targets) <= len(window.inputs) <= max_length
        whole = [*window.inputs, window.targets[-1]]
        assert whole == list(range(whole[0], whole[0] + len(whole))), "inputs are consecutive"
        if index:
            context = len(window.inputs) - len(window.targets) + 1
            assert context >= context_length
            assert len(window.inputs) == max_length, "filled up from the back"


@pytest.mark.parametrize("context_length", [0, 5, -1])
def test_context_outside_the_window_is_refused(context_length: int) -> None:
    with pytest.raises(ValueError, match="must be 1 to 4"):
        list(rolling_windows([1], 0, 4, context_length))


def test_a_window_is_a_value() -> None:
    assert Window([1], [2]) == Window([1], [2])
