"""Labels of windows: mmsegmentation's on every pixel, in the memory of a few windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segment.images.top_classes import SCALE
from services.segment.windows.options import Grid, Inference, Plan, Settled, settled
from services.segment.windows.strips import Strip, bands, least_bytes
from tests.segment.tiny_model import STEP, Tiny
from tests.segment.windows.oracle import mean_logits, with_torch, wrong

CLASSES = 5
TINY = Tiny(height=32, width=32, classes=CLASSES, free_size=True)
MANIFEST = TINY.manifest()
NO_BOUND = 1 << 40


def low_resolution(part: Any) -> Any:
    """Logits (h, w, C) of (3, H, W), which differ from window to window at the same pixel."""
    height, width = -(-part.shape[1] // STEP), -(-part.shape[2] // STEP)
    grid = np.linspace(0, part.shape[2], CLASSES, dtype=np.float32) * part.mean()
    picked = part[0, ::STEP, ::STEP, None] * np.arange(CLASSES) + part[1, ::STEP, ::STEP, None]
    return np.sin(picked[:height, :width] + grid).astype(np.float32)


def made(
    pixels: Any, how: Settled, size: tuple[int, int], budget: int, *, top: int = 0
) -> tuple[Any, Any, int]:
    """Return labels, best classes and the most bytes of logits that were held."""
    plan = how.plan(pixels.shape[1], pixels.shape[2], NO_BOUND)
    assert plan.size == pixels.shape[1:]
    logits = MANIFEST.graph.logits_size(*(how.window or plan.size))
    strips, most = [], 0
    for band in bands(plan, how, logits, CLASSES, budget):
        strip = Strip(plan, band, size, CLASSES, "uint8", top=top)
        for row in range(len(plan.rows)):
            for column in band.windows:
                strip.put(row, column, low_resolution(part(pixels, plan, row, column)))
            most = max(most, held(strip))
            while strip.advance(row):
                pass
        strips.append(strip)
    labels = np.concatenate([strip.labels for strip in strips], axis=1)
    best = [strip.top for strip in strips if strip.top is not None]
    return labels, best, most


def part(pixels: Any, plan: Plan, row: int, column: int) -> Any:
    (top, bottom), (left, right) = plan.rows[row], plan.columns[column]
    return pixels[:, top:bottom, left:right]


def held(strip: Strip) -> int:
    return sum(logits.nbytes for row in strip._held.values() for _, logits in row)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, Settled, tuple[int, int], int]:
    height, width = draw(st.integers(32, 90)), draw(st.integers(32, 110))
    window = draw(st.integers(32, 60)), draw(st.integers(32, 60))
    stride = draw(st.integers(9, window[0])), draw(st.integers(9, window[1]))
    how = settled(Inference("none", windows=Grid(window, stride)), MANIFEST)
    size = draw(st.integers(1, 120)), draw(st.integers(1, 120))
    if draw(st.booleans()):
        size = height, width
    seed = draw(st.integers(0, 1 << 30))
    pixels = np.random.default_rng(seed).normal(size=(3, height, width)).astype(np.float32)
    return pixels, how, size, draw(st.sampled_from([0, 9000, 16000, NO_BOUND]))


@settings(max_examples=40, deadline=None)
@given(cases())
def test_labels_are_those_of_mmsegmentation_on_every_pixel(
    case: tuple[Any, Settled, tuple[int, int], int],
) -> None:
    pixels, how, size, budget = case
    assert how.window is not None
    expected = mean_logits(pixels, low_resolution, how.window, how.stride, size)
    labels, _, _ = made(pixels, how, size, budget)
    assert labels.shape == size
    assert wrong(labels, expected) == 0
    assert np.mean(labels == expected.argmax(2)) > 0.999


@pytest.mark.torch
def test_labels_are_those_of_mmsegmentation_with_torch() -> None:
    pytest.importorskip("torch")
    pixels = np.random.default_rng(0).normal(size=(3, 90, 137)).astype(np.float32)
    how = settled(Inference("none", windows=Grid((48, 40), (31, 27))), MANIFEST)
    assert how.window is not None
    for size in ((90, 137), (181, 60)):
        expected = mean_logits(pixels, low_resolution, how.window, how.stride, size, with_torch)
        labels, _, _ = made(pixels, how, size, 0)
        assert wrong(labels, expected) == 0


def test_a_whole_picture_is_interpolated_twice() -> None:
    """As mmsegmentation's "whole": to the resized size, and from that to the map's."""
    pixels = np.random.default_rng(1).normal(size=(3, 50, 70)).astype(np.float32)
    how = settled(Inference("none"), MANIFEST)
    labels, _, _ = made(pixels, how, (131, 77), NO_BOUND)
    expected = mean_logits(pixels, low_resolution, (50, 70), (50, 70), (131, 77))
    assert wrong(labels, expected) == 0


def test_best_classes_are_the_softmax_of_the_mean() -> None:
    pixels = np.random.default_rng(2).normal(size=(3, 60, 90)).astype(np.float32)
    how = settled(Inference("none", windows=Grid((32, 32), (20, 20))), MANIFEST)
    logits = mean_logits(pixels, low_resolution, (32, 32), (20, 20), (75, 81))
    labels, best, _ = made(pixels, how, (75, 81), 0, top=2)
    assert len(best) > 1
    classes = np.concatenate([one.classes for one in best], axis=2)
    assert np.array_equal(classes[0], labels)
    shares = np.exp(logits - logits.max(2, keepdims=True))
    shares /= shares.sum(2, keepdims=True)
    probabilities = np.concatenate([one.probabilities for one in best], axis=2)
    found = np.take_along_axis(shares, classes.transpose(1, 2, 0).astype(np.int64), axis=2)
    assert np.abs(probabilities.transpose(1, 2, 0) - SCALE * found).max() < 2


def sizes() -> Iterator[tuple[int, int]]:
    yield 64, 1000
    yield 1000, 64
    yield 300, 300


@pytest.mark.parametrize("size", list(sizes()))
def test_memory_is_bounded_by_the_windows(size: tuple[int, int]) -> None:
    how = settled(Inference("none", windows=Grid((32, 32), (21, 21))), MANIFEST)
    pixels = np.zeros((3, *size), np.float32)
    least = least_bytes(how, (8, 8), CLASSES)
    assert least == 3 * 3 * 4 * 8 * 8 * CLASSES
    for budget in (0, 3 * least):
        _, _, most = made(pixels, how, size, budget)
        assert 0 < most <= max(least, budget)
