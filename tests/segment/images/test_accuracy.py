"""The figures of an evaluation, against the definitions written out pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from services.segment.images import accuracy as accuracy_module
from services.segment.images.accuracy import (
    Figures,
    MaskMeaning,
    Tally,
    count,
    empty_tally,
    figures,
)

CLASSES = 5
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
VALUES = st.sampled_from([*range(CLASSES), 255])


def _pair(shape: tuple[int, int]) -> st.SearchStrategy[Pair]:
    return st.tuples(
        arrays.arrays(np.uint8, shape, elements=VALUES),
        arrays.arrays(np.uint8, shape, elements=st.integers(0, CLASSES - 1)),
    )


PAIRS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(_pair), min_size=1, max_size=5
)


PLAIN = MaskMeaning(CLASSES)


def tally(pairs: list[Pair], meaning: MaskMeaning = PLAIN) -> Tally:
    total = empty_tally(meaning.classes, confusion=True)
    for mask, labels in pairs:
        total += count(mask, labels, meaning, confusion=True)
    return total


def by_hand(pairs: list[Pair], classes: int) -> tuple[float, float, float]:
    """mmsegmentation's intersect_and_union and total_area_to_metrics, a pixel at a time."""
    intersect, predicted, wanted = [0] * classes, [0] * classes, [0] * classes
    for mask, labels in pairs:
        for value, label in zip(mask.flat, labels.flat, strict=True):
            if value == 255:
                continue
            wanted[value] += 1
            predicted[label] += 1
            intersect[value] += int(value == label)
    iou = [
        i / (p + w - i) for i, p, w in zip(intersect, predicted, wanted, strict=True) if p + w - i
    ]
    accuracy = [i / w for i, w in zip(intersect, wanted, strict=True) if w]
    return (
        sum(intersect) / sum(wanted),
        sum(iou) / len(iou),
        sum(accuracy) / len(accuracy),
    )


def means(result: Figures) -> tuple[float, float, float]:
    return result.pixel_accuracy, result.mean_iou, result.mean_accuracy


def test_figures_computed_by_hand() -> None:
    """One pixel is left out, class 3 is nowhere, class 2 is never found.

    common 1, 2, 0, 0; mask 2, 2, 1, 0; predicted 2, 3, 0, 0; so IoU 1/3, 2/3, 0/1, none.
    """
    mask = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
    labels = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    total = tally([(mask, labels)], MaskMeaning(4))
    result = figures(total)
    assert result.iou == [1 / 3, 2 / 3, 0.0, None]
    assert result.accuracy == [1 / 2, 1.0, 0.0, None]
    assert means(result) == pytest.approx((3 / 5, 1 / 3, 1 / 2))
    assert (total.pixels, total.ignored) == (5, 1)
    assert total.confusion is not None
    assert total.confusion.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


@given(PAIRS)
def test_figures_are_those_of_the_definitions(pairs: list[Pair]) -> None:
    total = tally(pairs)
    if total.pixels:
        assert means(figures(total)) == pytest.approx(by_hand(pairs, CLASSES), abs=1e-12)
    else:
        with pytest.raises(ValueError, match="no pixel"):
            figures(total)


@pytest.mark.slow
@given(PAIRS, st.randoms(), st.integers(0, 5))
def test_order_and_parts_change_nothing(pairs: list[Pair], random: Any, cut: int) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    parts = tally(shuffled[cut:]) + tally(shuffled[:cut])
    whole = tally(pairs)
    for name in ("mask", "predicted", "common", "confusion"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))
    assert parts.ignored == whole.ignored
    if whole.pixels:
        assert figures(parts) == figures(whole)


@pytest.mark.slow
@given(PAIRS)
def test_the_confusion_matrix_has_the_counts_on_its_edges(pairs: list[Pair]) -> None:
    total = tally(pairs)
    assert total.confusion is not None
    assert np.array_equal(total.confusion.sum(axis=1), total.mask)
    assert np.array_equal(total.confusion.sum(axis=0), total.predicted)
    assert np.array_equal(np.diag(total.confusion), total.common)
    assert total.pixels + total.ignored == sum(mask.size for mask, _ in pairs)


@pytest.mark.slow
@given(PAIRS)
def test_a_perfect_prediction_is_1(pairs: list[Pair]) -> None:
    total = tally([(labels, labels) for _, labels in pairs])
    assert means(figures(total)) == (1.0, 1.0, 1.0)


@pytest.mark.slow
@given(PAIRS)
def test_the_means_of_a_prediction_without_a_right_pixel_are_0(pairs: list[Pair]) -> None:
    shifted = ((labels + 1) % CLASSES for _, labels in pairs)
    total = tally([(mask, labels) for mask, (_, labels) in zip(shifted, pairs, strict=True)])
    assert means(figures(total)) == (0.0, 0.0, 0.0)


def test_zero_is_none_moves_every_class_by_one() -> None:
    meaning = MaskMeaning(CLASSES, zero_is_none=True)
    mask = np.array([[0, 1, 5, 255]], np.uint8)
    labels = np.array([[3, 0, 4, 2]], np.uint8)
    total = tally([(mask, labels)], meaning)
    assert total.ignored == 2
    assert total.common.tolist() == [1, 0, 0, 0, 1]
    assert figures(total).pixel_accuracy == 1.0


@pytest.mark.parametrize(
    ("meaning", "values", "unknown_value"),
    [
        (MaskMeaning(3), [0, 1, 2, 255], None),
        (MaskMeaning(3), [0, 7, 3], 3),
        (MaskMeaning(3, zero_is_none=True), [0, 3, 255], None),
        (MaskMeaning(3, zero_is_none=True), [0, 4], 4),
        (MaskMeaning(3, ignore=9), [9, 2], None),
        (MaskMeaning(3, ignore=9), [255], 255),
        (MaskMeaning(256), [255, 254], None),
    ],
)
def test_a_value_that_is_no_class(
    meaning: MaskMeaning, values: list[int], unknown_value: int | None
) -> None:
    assert meaning.unknown_value(np.array([values], np.uint8)) == unknown_value


def test_two_bytes_have_a_value_of_their_own_that_is_left_out() -> None:
    mask = np.array([[299, 65535, 255]], np.uint16)
    labels = np.array([[299, 0, 255]], np.uint16)
    total = count(mask, labels, MaskMeaning(300), confusion=False)
    assert (total.pixels, total.ignored) == (2, 1)
    assert total.confusion is None
    assert figures(total).mean_iou == 1.0


def test_large_maps_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    mask = rng.integers(0, CLASSES, (37, 41), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, (37, 41), dtype=np.uint8)
    whole = tally([(mask, labels)])
    monkeypatch.setattr(accuracy_module, "_CHUNK", 100)
    assert figures(tally([(mask, labels)])) == figures(whole)


def test_what_does_not_fit_is_an_error() -> None:
    mask = np.zeros((2, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        count(mask, mask.T, MaskMeaning(CLASSES), confusion=False)
    with pytest.raises(ValueError, match="label 5 of 5"):
        count(mask, mask + np.uint8(5), MaskMeaning(CLASSES), confusion=False)
    assert math.isclose(figures(tally([(mask, mask)])).mean_iou, 1)


@pytest.mark.slow
@given(PAIRS)
def test_neighbouring_classes_are_counted(pairs: list[Pair]) -> None:
    total = tally(pairs)
    counted = [
        (int(value), int(label))
        for mask, labels in pairs
        for value, label in zip(mask.flat, labels.flat, strict=True)
        if value != 255
    ]
    assert total.lower == sum(label == value - 1 for value, label in counted)
    assert total.higher == sum(label == value + 1 for value, label in counted)


def test_masks_that_are_one_off_show_it() -> None:
    labels = np.array([[0, 1, 2, 3, 3]], np.uint8)
    shifted = labels + np.uint8(1)  # as ADE20K stores them
    found = figures(tally([(shifted, labels)]))
    assert (found.pixel_accuracy, found.one_lower, found.one_higher) == (0, 1, 0)
    found = figures(tally([(labels, labels)], MaskMeaning(CLASSES, zero_is_none=True)))
    assert (found.pixel_accuracy, found.one_lower, found.one_higher) == (0, 0, 1)
