from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.corpus.bpb.scored_windows import (
    Window,
    guide_windows,
    packed_windows,
    rolling_windows,
    unscored,
)

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
def test_a_prefix_in_every_window_takes_the_place_of_its_first_token(
    data: st.DataObject, count: int, max_length: int
) -> None:
    context_length = data.draw(st.integers(1, max_length))
    plain = rolling_windows(range(count), -1, max_length, context_length)
    every = rolling_windows(range(count), -1, max_length, context_length, prefix_everywhere=True)
    for one, other in zip(plain, every, strict=True):
        assert list(other.inputs) == [-1, *one.inputs[1:]]
        assert list(other.targets) == list(one.targets)


def test_a_prefix_everywhere_needs_one() -> None:
    with pytest.raises(ValueError, match="needs a prefix"):
        next(rolling_windows([1, 2], None, 4, prefix_everywhere=True))


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


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9])
def test_windows_without_a_prefix_start_after_the_first_token(count: int) -> None:
    windows = list(rolling_windows(range(count), None, 4, 2))
    assert [t for w in windows for t in w.targets] == list(range(1, count))
    assert all(window.counted == len(window.targets) for window in windows)
    assert not windows or list(windows[0].inputs) == list(range(min(count - 1, 4)))


# Hugging Face's own loop, ten tokens, windows of 4, stride 2: (inputs, labels that count, weight).
GUIDE = [
    (1, []),
    (2, [([0], [1], 1)]),
    (4, [([0, 1, 2], [1, 2, 3], 3)]),
    (5, [([0, 1, 2], [1, 2, 3], 3), ([2, 3], [4], 0)]),
    (6, [([0, 1, 2], [1, 2, 3], 3), ([2, 3, 4], [4, 5], 1)]),
    (7, [([0, 1, 2], [1, 2, 3], 3), ([2, 3, 4], [4, 5], 1), ([4, 5], [6], 0)]),
]


@pytest.mark.parametrize(("count", "expected"), GUIDE)
def test_the_guides_windows_written_down_by_hand(count: int, expected: list[object]) -> None:
    windows = guide_windows(range(count), 4, 2)
    assert [(list(w.inputs), list(w.targets), w.counted) for w in windows] == expected


@given(st.data(), st.integers(0, 200), st.integers(2, 40))
def test_the_guide_scores_every_token_but_the_first_once(
    data: st.DataObject, count: int, max_length: int
) -> None:
    stride = data.draw(st.integers(1, max_length - 1))
    windows = list(guide_windows(range(count), max_length, stride))
    assert [target for window in windows for target in window.targets] == list(range(1, count))
    for index, window in enumerate(windows):
        assert window.counted == len(window.targets) - bool(index)
        whole = [*window.inputs, window.targets[-1]]
        assert whole == list(range(whole[0], whole[0] + len(whole)))
        assert len(whole) <= max_length
    assert sum(window.counted for window in windows) == max(0, count - max(1, len(windows)))


@pytest.mark.parametrize("stride", [0, 4])
def test_a_stride_outside_the_guides_window_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match="must be 1 to 3"):
        list(guide_windows([1, 2], 4, stride))


def test_palomas_last_window_is_not_filled_up() -> None:
    windows = list(rolling_windows(range(10), 99, 4, filled_up=False))
    assert [(list(one.inputs), list(one.targets)) for one in windows] == [
        ([99, 0, 1, 2], [0, 1, 2, 3]),
        ([3, 4, 5, 6], [4, 5, 6, 7]),
        ([7, 8], [8, 9]),
    ]


def test_levanters_windows_share_nothing() -> None:
    windows = list(packed_windows(range(10), 99, 4))
    assert [(list(one.inputs), list(one.targets)) for one in windows] == [
        ([99, 0, 1], [0, 1, 2]),
        ([3, 4, 5], [4, 5, 6]),
        ([7, 8], [8, 9]),
    ]
    assert list(unscored(10, 99, 4)) == [3, 7]
    assert list(packed_windows([], 99, 4)) == []


@given(st.integers(0, 60), st.sampled_from([None, 99]), st.integers(2, 12))
def test_levanter_scores_all_but_the_first_of_each_window(
    count: int, prefix: int | None, max_length: int
) -> None:
    windows = list(packed_windows(range(count), prefix, max_length))
    scored = [token for one in windows for token in one.targets]
    assert scored == [
        token for token in range(count) if token not in unscored(count, prefix, max_length)
    ]
    assert all(len(one.inputs) == len(one.targets) < max_length for one in windows)


@given(st.integers(0, 60), st.integers(1, 12))
def test_paloma_scores_every_token_once(count: int, max_length: int) -> None:
    windows = list(rolling_windows(range(count), 99, max_length, filled_up=False))
    assert [token for one in windows for token in one.targets] == list(range(count))
    stream = [99, *range(count)]
    for one in windows:
        assert len(one.inputs) == len(one.targets) <= max_length
        begin = one.targets[0]
        assert list(one.inputs) == stream[begin : begin + len(one.targets)]
