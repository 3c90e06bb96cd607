"""Sizes and windows of a picture."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import InvalidArgument
from services.segment.windows.options import (
    MAX_WINDOWS,
    Edges,
    Grid,
    Inference,
    fitted,
    settled,
    spans,
)
from tests.segment.tiny_model import Tiny

MANIFEST = Tiny(free_size=True).manifest()  # of 64 x 96
FIXED = Tiny().manifest()
MANY = 10**9


@pytest.mark.parametrize(
    ("picture", "edges", "expected"),
    [
        # What mmcv.rescale_size gives for these, as ADE20K and Cityscapes are evaluated.
        ((512, 683), Edges(512, 2048), (512, 683)),
        ((480, 640), Edges(512, 2048), (512, 683)),
        ((683, 512), Edges(512, 2048), (683, 512)),
        ((256, 1500), Edges(512, 2048), (350, 2048)),
        ((1024, 2048), Edges(1024, 2048), (1024, 2048)),
        ((1, 10_000), Edges(512, 2048), (1, 2048)),
        ((100, 10_000), Edges(512), (512, 51200)),
    ],
)
def test_a_picture_gets_as_large_as_fits_both_edges(
    picture: tuple[int, int], edges: Edges, expected: tuple[int, int]
) -> None:
    assert fitted(*picture, edges) == expected


@given(st.integers(1, 400), st.integers(1, 120), st.integers(1, 120))
def test_windows_cover_a_side_and_end_at_its_border(size: int, window: int, stride: int) -> None:
    stride = min(stride, window)
    found = spans(size, window, stride)
    assert found[0][0] == 0
    assert found[-1][1] == size
    assert {end - start for start, end in found} == {min(window, size)}
    covered = {pixel for span in found for pixel in range(*span)}
    assert covered == set(range(size))
    # All but the last are at a multiple of the stride, and none appears twice.
    assert [start for start, _ in found[:-1]] == [i * stride for i in range(len(found) - 1)]
    assert len(set(found)) == len(found)


def test_aligned_sides_are_resized_in_a_second_step() -> None:
    how = settled(Inference(edges=Edges(64, 256, 32)), MANIFEST)
    plan = how.plan(100, 130, MANY)
    assert plan.sizes == ((64, 83), (64, 96))
    assert plan.size == (64, 96)
    assert settled(Inference(edges=Edges(64, 256, 32)), MANIFEST).plan(64, 96, MANY).sizes == (
        (64, 96),
    )


def test_what_is_left_open_is_the_models() -> None:
    how = settled(Inference(), MANIFEST)
    assert how.plain
    assert how.resampler == "pillow"
    slide = settled(Inference(windows=Grid()), MANIFEST)
    assert (slide.resize, slide.window, slide.stride) == ("keep_ratio", (64, 96), (42, 64))
    assert slide.edges == Edges(64, 256)
    native = MANIFEST.replaced(preprocessing=MANIFEST.preprocessing.replaced(resizes=False))
    assert settled(Inference(), native).resize == "none"
    assert settled(Inference(windows=Grid()), native).resize == "none"
    assert settled(Inference(edges=Edges(64)), native).resize == "keep_ratio"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (Inference("stretch", edges=Edges(64)), "inference.edges"),
        (Inference(edges=Edges(0)), "inference.edges.short"),
        (Inference(edges=Edges(64, 32)), "inference.edges.long"),
        (Inference(edges=Edges(64, 256, 257)), "inference.edges.multiple"),
        (Inference(windows=Grid((16, 64))), "inference.windows.size"),
        (Inference(windows=Grid((64, 96), (65, 1))), "inference.windows.stride"),
        (Inference(windows=Grid((64, 96), (0, 1))), "inference.windows.stride"),
        (Inference(windows=Grid((512, 512))), "inference.windows"),  # over four of the model's own
    ],
)
def test_what_no_model_computes_is_refused(asked: Inference, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        settled(asked, MANIFEST)
    assert caught.value.field == field


def test_a_graph_of_one_size_takes_windows_of_that_size_alone() -> None:
    assert settled(Inference(windows=Grid()), FIXED).plan(100, 200, MANY).size == (64, 128)
    with pytest.raises(InvalidArgument, match="64 x 96 only"):
        settled(Inference(windows=Grid((64, 64))), FIXED)
    with pytest.raises(InvalidArgument, match="give windows of its size"):
        settled(Inference("keep_ratio"), FIXED).plan(100, 300, MANY)


def test_a_picture_that_cannot_go_that_way_is_refused() -> None:
    native = settled(Inference("none"), MANIFEST)
    with pytest.raises(InvalidArgument, match="computes 24576 at once at most: give windows"):
        native.plan(200, 200, MANY)
    with pytest.raises(InvalidArgument, match="32 a side"):
        native.plan(31, 96, MANY)
    large = settled(Inference(edges=Edges(1000), windows=Grid()), MANIFEST)
    with pytest.raises(InvalidArgument, match="at most"):
        large.plan(100, 100, 999_999)
    dense = replace(large, stride=(1, 1))
    with pytest.raises(InvalidArgument, match=f"{MAX_WINDOWS} are computed"):
        dense.plan(100, 100, MANY)
